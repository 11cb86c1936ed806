//! `$NACL`: libsodium's secret box under a key from Argon2i.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use crypto_secretbox::aead::{AeadInPlace as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, Tag, XSalsa20Poly1305};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::SealError;
use crate::password::Password;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The wallets' one salt; every file has it.
const SALT: [u8; 16] = [
    0x13, 0x71, 0x83, 0xdf, 0xf1, 0x5a, 0x09, 0xbc, 0x9c, 0x90, 0xb5, 0x51, 0x87, 0x39, 0xe9, 0xb1,
];
/// libsodium's `SENSITIVE` limits for Argon2i 1.3, in KiB and passes.
const MEMORY_KIB: u32 = 512 * 1024;
const PASSES: u32 = 8;

/// Nonce, authenticator and the box's content, as they follow the prefix.
pub(crate) struct Sealed {
    nonce: [u8; NONCE_BYTES],
    tag: [u8; TAG_BYTES],
    ciphertext: Zeroizing<Vec<u8>>,
}

impl Sealed {
    pub(super) fn read(body: &[u8]) -> Result<Self, SealError> {
        let short = SealError::Damaged("its encrypted part is cut short");
        let (nonce, rest) = body.split_first_chunk().ok_or(short)?;
        let (tag, ciphertext) = rest.split_first_chunk().ok_or(short)?;
        Ok(Self { nonce: *nonce, tag: *tag, ciphertext: Zeroizing::new(ciphertext.to_vec()) })
    }

    pub(super) fn open(self, password: &Password) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let key = derive(password)?;
        let mut text = self.ciphertext;
        XSalsa20Poly1305::new(Key::from_slice(&*key))
            .decrypt_in_place_detached(
                Nonce::from_slice(&self.nonce),
                b"",
                &mut text,
                Tag::from_slice(&self.tag),
            )
            .map_err(|_| SealError::WrongPassword)?;
        Ok(text)
    }
}

/// Nonce, authenticator and ciphertext.
pub(super) fn seal(
    secret: &[u8],
    password: &Password,
    nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, SealError> {
    let key = derive(password)?;
    let mut text = Zeroizing::new(secret.to_vec());
    let tag = XSalsa20Poly1305::new(Key::from_slice(&*key))
        .encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", &mut text)
        .map_err(|_| SealError::Damaged("too long to encrypt"))?;
    Ok([&nonce[..], &tag, &text].concat())
}

fn derive(password: &Password) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let refused = |_| SealError::Damaged("Argon2 refuses this password");
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(refused)?;
    let memory = SealError::Memory { mebibytes: MEMORY_KIB as usize / 1024 };
    let mut blocks: Vec<Block> = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| memory)?;
    blocks.resize(params.block_count(), Block::default());
    let mut key = Zeroizing::new([0; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2i, Version::V0x13, params);
    let derived =
        argon2.hash_password_into_with_memory(password.as_bytes(), &SALT, &mut *key, &mut blocks);
    blocks.iter_mut().for_each(|block| block.zeroize());
    derived.map_err(refused)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with PyNaCl 1.6.2: `nacl.pwhash.argon2i.kdf` with its sensitive limits,
    /// `nacl.secret.SecretBox`, nonce 0…23.
    const OF_PYNACL: &str = "000102030405060708090a0b0c0d0e0f101112131415161787ea3bb04ba6f1f3e7b2a3e425fac7589a6a3bde0934037cfc101c407310f883df1eebf87f";

    #[test]
    fn a_box_of_libsodium_opens_and_is_made_alike() {
        let body = hex::decode(OF_PYNACL).unwrap();
        let opened = Sealed::read(&body).unwrap().open(&Password::new("correct horse"));
        assert_eq!(*opened.unwrap(), b"{\"secretSeed\":\"0x01\"}");
        let sealed = seal(
            b"{\"secretSeed\":\"0x01\"}",
            &Password::new("correct horse"),
            body[..24].try_into().unwrap(),
        );
        assert_eq!(hex::encode(sealed.unwrap()), OF_PYNACL);
    }

    #[test]
    fn a_box_without_nonce_or_authenticator_is_damaged() {
        for length in [0, 23, 24, 39] {
            assert!(
                matches!(Sealed::read(&vec![0; length]), Err(SealError::Damaged(_))),
                "{length}"
            );
        }
        assert!(Sealed::read(&[0; 40]).is_ok());
    }
}

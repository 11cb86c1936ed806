//! `gAAAAA`: a Fernet token, which is a version, a time, an initial vector, ciphertext and
//! authenticator in URL-safe base64.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::error::SealError;
use crate::password::Password;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const VERSION: u8 = 0x80;
const TIME_BYTES: usize = 8;
const BLOCK: usize = 16;
const HEADER_BYTES: usize = 1 + TIME_BYTES + BLOCK;
const AUTHENTICATOR_BYTES: usize = 32;
/// The wallets' one salt; every file has it.
const SALT: &[u8] = b"Iguesscyborgslikemyselfhaveatendencytobeparanoidaboutourorigins";
const ROUNDS: NonZeroU32 = NonZeroU32::new(10_000_000).unwrap();

/// A token whose length is right.
pub(crate) struct Sealed {
    token: Vec<u8>,
}

impl Sealed {
    pub(super) fn read(text: &[u8]) -> Result<Self, SealError> {
        let damaged = SealError::Damaged("its encrypted part is not a Fernet token");
        let token = BASE64.decode(text.trim_ascii()).map_err(|_| damaged)?;
        let ciphertext =
            token.len().checked_sub(HEADER_BYTES + AUTHENTICATOR_BYTES).ok_or(damaged)?;
        if token[0] != VERSION || ciphertext == 0 || !ciphertext.is_multiple_of(BLOCK) {
            return Err(damaged);
        }
        Ok(Self { token })
    }

    pub(super) fn open(self, password: &Password) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut derived = Zeroizing::new([0; 32]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            SALT,
            password.as_bytes(),
            &mut *derived,
        );
        let (signed, authenticator) = self.token.split_at(self.token.len() - AUTHENTICATOR_BYTES);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derived[..BLOCK]);
        hmac::verify(&key, signed, authenticator).map_err(|_| SealError::WrongPassword)?;
        let damaged = SealError::Damaged("its encrypted part does not decrypt");
        let mut vector = [0; BLOCK];
        vector.copy_from_slice(&signed[1 + TIME_BYTES..HEADER_BYTES]);
        let mut text = Zeroizing::new(signed[HEADER_BYTES..].to_vec());
        let key = UnboundCipherKey::new(&AES_128, &derived[BLOCK..])
            .and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
        let key = key.map_err(|_| damaged)?;
        let context = DecryptionContext::Iv128(FixedLength::from(vector));
        let length = key.decrypt(&mut text, context).map_err(|_| damaged)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `cryptography` 43.0.3:
    /// `Fernet(urlsafe_b64encode(pbkdf2_hmac(...))).encrypt(b'{"secretSeed":"0x01"}')`.
    /// bittensor-wallet 1.0.0 opens it; later versions never wrote such files and do not open it.
    const OF_PYTHON: &str = "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD1KfV9npkq2MQFp03p9nOUlR9OcGxtfwF7Mlh3RzY7eqz-WKQDghZ6zifz3eWJn4bJgyT_9Q4a1TywGX5JjvnZg=";

    #[test]
    fn a_token_of_the_python_library_opens_with_its_password_only() {
        let open =
            |password| Sealed::read(OF_PYTHON.as_bytes()).unwrap().open(&Password::new(password));
        assert_eq!(*open("correct horse").unwrap(), b"{\"secretSeed\":\"0x01\"}");
        assert_eq!(open("correct hors").err(), Some(SealError::WrongPassword));
    }

    #[test]
    fn a_cut_token_is_damaged() {
        assert!(Sealed::read(format!("{OF_PYTHON}\n").as_bytes()).is_ok());
        for text in ["gAAAAA", &OF_PYTHON[..OF_PYTHON.len() - 4], &OF_PYTHON[..64], "gAAAAA****"] {
            assert!(matches!(Sealed::read(text.as_bytes()), Err(SealError::Damaged(_))), "{text}");
        }
    }
}

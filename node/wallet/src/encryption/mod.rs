//! The three encryptions of Bittensor wallets, recognised by how a file begins.
//!
//! | begins with | written by | key from the password | cipher |
//! |---|---|---|---|
//! | `$NACL` | wallets since 2023 | Argon2i, 512 MiB, fixed salt | XSalsa20-Poly1305 |
//! | `$ANSIBLE_VAULT` | wallets before | PBKDF2, 10 000 rounds, the file's salt | AES-256-CTR, HMAC |
//! | `gAAAAA` | the oldest | PBKDF2, 10 000 000 rounds, fixed salt | Fernet: AES-128-CBC, HMAC |
//!
//! A file is parsed before it is decrypted: a damaged one costs neither a password nor seconds of
//! key derivation.

mod error;
mod fernet;
mod nacl;
mod vault;

use zeroize::Zeroizing;

use crate::password::Password;
pub(super) use error::SealError;

/// How a key file is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// `$NACL`: what the Python wallet writes today.
    Nacl,
    /// `$ANSIBLE_VAULT`.
    AnsibleVault,
    /// `gAAAAA`.
    Fernet,
}

impl Encryption {
    const ALL: [Self; 3] = [Self::Nacl, Self::AnsibleVault, Self::Fernet];

    /// What a file of this kind begins with.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Nacl => b"$NACL",
            Self::AnsibleVault => b"$ANSIBLE_VAULT",
            Self::Fernet => b"gAAAAA",
        }
    }

    /// The encryption of these bytes; `None` if they are not encrypted.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| bytes.starts_with(kind.prefix()))
    }

    /// A name for people and scripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nacl => "nacl",
            Self::AnsibleVault => "ansible-vault",
            Self::Fernet => "fernet",
        }
    }
}

/// A parsed encrypted file.
pub(super) enum Sealed {
    Nacl(nacl::Sealed),
    AnsibleVault(vault::Sealed),
    Fernet(fernet::Sealed),
}

impl Sealed {
    /// Parses a file.
    pub(super) fn read(kind: Encryption, bytes: &[u8]) -> Result<Self, SealError> {
        let body = bytes.get(kind.prefix().len()..).unwrap_or_default();
        Ok(match kind {
            Encryption::Nacl => Self::Nacl(nacl::Sealed::read(body)?),
            Encryption::AnsibleVault => Self::AnsibleVault(vault::Sealed::read(body)?),
            Encryption::Fernet => Self::Fernet(fernet::Sealed::read(bytes)?),
        })
    }

    /// Decrypts it. Takes seconds, and for `$NACL` half a gibibyte of memory.
    pub(super) fn open(self, password: &Password) -> Result<Zeroizing<Vec<u8>>, SealError> {
        match self {
            Self::Nacl(sealed) => sealed.open(password),
            Self::AnsibleVault(sealed) => sealed.open(password),
            Self::Fernet(sealed) => sealed.open(password),
        }
    }
}

/// Encrypts as the Python wallet does today. Takes seconds and half a gibibyte of memory.
pub(super) fn encrypt(secret: &[u8], password: &Password) -> Result<Vec<u8>, SealError> {
    let mut file = Encryption::Nacl.prefix().to_vec();
    file.extend(nacl::seal(secret, password, rand::random())?);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(body: Vec<u8>, text in "[0-9a-f\n;. A-Z$]{0,400}", base in "[A-Za-z0-9_=-]{0,300}") {
            for kind in Encryption::ALL {
                for body in [&body[..], text.as_bytes(), base.as_bytes()] {
                    let bytes = [kind.prefix(), body].concat();
                    prop_assert_eq!(Encryption::of(&bytes), Some(kind));
                    let _ = Sealed::read(kind, &bytes);
                }
            }
            let _ = Encryption::of(&body);
        }
    }
}

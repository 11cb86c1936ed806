//! Why an encrypted file cannot be opened.

use std::path::Path;

use crate::error::WalletError;

/// Why a file cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    /// It is malformed.
    Damaged(&'static str),
    /// Its authenticator does not match the password.
    WrongPassword,
    /// There is not enough memory to derive the key.
    Memory { mebibytes: usize },
}

impl SealError {
    /// The error of the file at `path`, whose password came from `source_name`.
    pub(crate) fn at(self, path: &Path, source_name: &str) -> WalletError {
        let path = path.to_owned();
        match self {
            SealError::Damaged(reason) => WalletError::Malformed { path, reason },
            SealError::WrongPassword => {
                WalletError::WrongPassword { path, source_name: source_name.to_owned() }
            }
            SealError::Memory { mebibytes } => WalletError::Memory { path, mebibytes },
        }
    }
}

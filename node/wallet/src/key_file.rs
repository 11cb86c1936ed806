//! A key file: read, decrypted, and checked against its address.

use std::path::{Path, PathBuf};

use leoma_protocol::Hotkey;
use sp_core::{Pair as _, sr25519};
use zeroize::Zeroizing;

use crate::background::in_background;
use crate::content::{self, Content, ContentError, KeyFormat};
use crate::encryption::{Encryption, SealError, Sealed};
use crate::error::WalletError;
use crate::file::{self, public_path};
use crate::password::{self, Found, PasswordSources, Process, Surroundings};
use crate::settings::{WalletSettings, coldkey_path, hotkey_path};

/// Loads the key pair of a hotkey, with its password if it is encrypted.
///
/// # Errors
/// [`WalletError`] with the file and what is wrong with it.
pub async fn load_hotkey(wallet: &WalletSettings) -> Result<sr25519::Pair, WalletError> {
    load(hotkey_path(wallet), wallet.passwords.clone()).await
}

/// Loads the key pair of a wallet's coldkey, with its password if it is encrypted.
///
/// # Errors
/// [`WalletError`] with the file and what is wrong with it.
pub async fn load_coldkey(wallet: &WalletSettings) -> Result<sr25519::Pair, WalletError> {
    load(coldkey_path(wallet), wallet.coldkey_passwords.clone()).await
}

async fn load(path: PathBuf, passwords: PasswordSources) -> Result<sr25519::Pair, WalletError> {
    in_background(move || {
        let file = KeyFile::open(&path)?;
        file::warn_if_open(&path, file.is_open);
        Ok(file.load(&passwords)?.pair)
    })
    .await
}

/// What a key's address was checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckedAgainst {
    /// The address in the file itself.
    File,
    /// The public half beside it.
    PublicFile,
    /// Nothing: neither file states an address.
    Nothing,
}

/// A key and how it was read.
pub struct LoadedKey {
    /// The key.
    pub pair: sr25519::Pair,
    /// How its file holds it.
    pub format: KeyFormat,
    /// What its address was checked against.
    pub checked_against: CheckedAgainst,
}

impl std::fmt::Debug for LoadedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedKey")
            .field("hotkey", &Hotkey::from(self.pair.public()))
            .finish_non_exhaustive()
    }
}

/// A key file that was read and not yet decrypted.
pub struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    mode: Option<u32>,
    is_open: bool,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`WalletError`]; also for a file that others can change.
    pub fn open(path: &Path) -> Result<Self, WalletError> {
        let file::Opened { bytes, mode, is_open } = file::open(path)?;
        Ok(Self { path: path.to_owned(), bytes, mode, is_open })
    }

    /// Its encryption; `None` if it is not encrypted.
    pub fn encryption(&self) -> Option<Encryption> {
        Encryption::of(&self.bytes)
    }

    /// The file's permission bits, where the system has them.
    pub const fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// Whether others than the owner, and than us if we read it as a member of its group, can read
    /// the file.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Decrypts the file if it is encrypted, reads its key and checks it against its address. An
    /// encrypted file may take seconds, half a gibibyte of memory and a password prompt: see
    /// [`in_background`].
    ///
    /// # Errors
    /// [`WalletError`] with what is wrong.
    pub fn load(&self, passwords: &PasswordSources) -> Result<LoadedKey, WalletError> {
        self.load_in(passwords, &Process)
    }

    pub(crate) fn load_in(
        &self,
        passwords: &PasswordSources,
        surroundings: &dyn Surroundings,
    ) -> Result<LoadedKey, WalletError> {
        let content = match self.encryption() {
            None => content::read(&self.bytes),
            Some(kind) => content::read(&self.decrypt(kind, passwords, surroundings)?),
        };
        let Content { pair, format, address } =
            content.map_err(|error| self.content_error(error))?;
        let found = Hotkey::from(pair.public());
        let (expected, checked_against) = match address {
            Some(address) => (address, CheckedAgainst::File),
            None => match known_address(&self.path)? {
                // Early wallets also wrote bare public keys. Read as a seed, one would give another
                // key.
                Some(known) if self.is_digits_of(&known) => {
                    let reason = "holds the public key, not the secret one";
                    return Err(WalletError::Malformed { path: self.path.clone(), reason });
                }
                Some(known) => (known.to_string(), CheckedAgainst::PublicFile),
                None => (found.to_string(), CheckedAgainst::Nothing),
            },
        };
        if expected != found.to_string() {
            return Err(WalletError::WrongAddress { path: self.path.clone(), found, expected });
        }
        Ok(LoadedKey { pair, format, checked_against })
    }

    fn decrypt(
        &self,
        kind: Encryption,
        passwords: &PasswordSources,
        surroundings: &dyn Surroundings,
    ) -> Result<Zeroizing<Vec<u8>>, WalletError> {
        let path = || self.path.clone();
        let sealed = || Sealed::read(kind, &self.bytes).map_err(|error| error.at(&self.path, ""));
        let first = sealed()?;
        let Found { password, otherwise, source_name } =
            password::find(&path(), passwords, surroundings)?;
        let opened = match (first.open(&password), otherwise) {
            (Err(SealError::WrongPassword), Some(other)) => sealed()?.open(&other),
            (opened, _) => opened,
        };
        opened.map_err(|error| error.at(&self.path, &source_name))
    }

    fn content_error(&self, error: ContentError) -> WalletError {
        let path = self.path.clone();
        match error {
            ContentError::Malformed(reason) => WalletError::Malformed { path, reason },
            ContentError::CryptoType(found) => WalletError::CryptoType { path, found },
            ContentError::PolkadotExport => WalletError::PolkadotExport { path },
        }
    }

    /// Whether the file is this public key in hexadecimal, as early wallets wrote it.
    fn is_digits_of(&self, hotkey: &Hotkey) -> bool {
        let text = self.bytes.trim_ascii();
        text.strip_prefix(b"0x")
            .unwrap_or(text)
            .eq_ignore_ascii_case(hex::encode(hotkey.as_bytes()).as_bytes())
    }
}

/// The address in the public half beside a key file; `None` if there is no such file.
///
/// # Errors
/// [`WalletError`] if it cannot be read, can be changed by others, or states no address: a damaged
/// public half must not be taken for an absent one.
pub fn known_address(path: &Path) -> Result<Option<Hotkey>, WalletError> {
    let public = public_path(path);
    let opened = match file::open(&public) {
        Err(error) if error.is_absent() => return Ok(None),
        other => other?,
    };
    let json: Option<serde_json::Value> = serde_json::from_slice(&opened.bytes).ok();
    let stated = json.as_ref().and_then(|json| json.get("ss58Address")?.as_str()?.parse().ok());
    let reason = "is the public half of a key and states no ss58Address; remove it, or write it again from the key";
    stated.map(Some).ok_or(WalletError::Malformed { path: public, reason })
}

/// The address of a key file: from the file itself or, if it is encrypted or absent, from the
/// public half beside it. `None` if neither shows it without a password.
///
/// # Errors
/// [`WalletError`]: if the file exists and cannot be used, its public half is not used instead.
pub fn address_of(path: &Path) -> Result<Option<Hotkey>, WalletError> {
    let file = match KeyFile::open(path) {
        Err(error) if error.is_absent() => return known_address(path)?.map(Some).ok_or(error),
        other => other?,
    };
    if file.encryption().is_some() {
        return known_address(path);
    }
    Ok(Some(file.load(&PasswordSources::default())?.pair.public().into()))
}

//! A new hotkey, written as the Python wallet writes one.

use std::path::{Path, PathBuf};

use leoma_protocol::Hotkey;
use serde::Serialize;
use sp_core::{Pair as _, sr25519};
use zeroize::{Zeroize as _, Zeroizing};

use crate::encryption;
use crate::error::WalletError;
use crate::file::{self, public_path};
use crate::password::{self, PasswordSources, Process, Surroundings};

/// More than the longest file: a buffer that grows would leave copies of the secret in memory.
const JSON_BYTES: usize = 4096;

/// A hotkey that exists in memory only.
pub struct NewHotkey {
    pair: sr25519::Pair,
    phrase: Zeroizing<String>,
    seed: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for NewHotkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewHotkey").field("hotkey", &self.hotkey()).finish_non_exhaustive()
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The secret half.
    pub path: PathBuf,
    /// The public half.
    pub public_path: PathBuf,
    /// Where the replaced key is kept.
    pub replaced: Option<PathBuf>,
}

/// The secret half. Names and forms are the Python wallet's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretJson<'a> {
    account_id: &'a str,
    crypto_type: u8,
    private_key: &'a str,
    public_key: &'a str,
    secret_phrase: &'a str,
    secret_seed: &'a str,
    ss58_address: &'a str,
}

impl NewHotkey {
    /// Draws a key from the system's randomness: a mnemonic of 12 words.
    pub fn generate() -> Self {
        let (pair, phrase, mut seed) = sr25519::Pair::generate_with_phrase(None);
        let new = Self { pair, phrase: Zeroizing::new(phrase), seed: Zeroizing::new(seed) };
        seed.zeroize();
        new
    }

    /// The public half.
    pub fn hotkey(&self) -> Hotkey {
        self.pair.public().into()
    }

    /// The mnemonic: the key can be restored from it.
    pub fn mnemonic(&self) -> &str {
        &self.phrase
    }

    /// Writes the key to `path`, encrypted under a password from `encrypt` where given, and its
    /// public half beside it. With `replace`, existing files are renamed; otherwise they are an
    /// error. May take seconds and ask for a password: see
    /// [`in_background`](crate::in_background).
    ///
    /// # Errors
    /// [`WalletError`]. No existing key is lost, but it may have been renamed. The new key may be
    /// complete and only its public half be missing.
    pub fn write(
        &self,
        path: &Path,
        encrypt: Option<&PasswordSources>,
        replace: bool,
    ) -> Result<Written, WalletError> {
        self.write_in(path, encrypt, replace, &Process)
    }

    pub(super) fn write_in(
        &self,
        path: &Path,
        encrypt: Option<&PasswordSources>,
        replace: bool,
        surroundings: &dyn Surroundings,
    ) -> Result<Written, WalletError> {
        let public = public_path(path);
        for place in [path, &public] {
            if !replace && file::is_taken(place) {
                return Err(WalletError::Exists { path: place.to_owned() });
            }
        }
        let secret = self.secret_json();
        let sealed = match encrypt {
            None => None,
            Some(sources) => {
                let found = password::choose(path, sources, surroundings)?;
                let sealed = encryption::encrypt(&secret, &found.password);
                Some(sealed.map_err(|error| error.at(path, &found.source_name))?)
            }
        };
        file::make_folder_of(path)?;
        let replaced = if replace { file::set_aside(path)? } else { None };
        // The secret first: a public half alone would look like a lost key.
        file::write_new(path, sealed.as_deref().unwrap_or(&secret))?;
        file::write_new(&public, self.public_json().to_string().as_bytes())?;
        Ok(Written { path: path.to_owned(), public_path: public, replaced })
    }

    fn secret_json(&self) -> Zeroizing<Vec<u8>> {
        let mut raw = self.pair.to_raw_vec();
        let private = Zeroizing::new(format!("0x{}", *Zeroizing::new(hex::encode(&raw))));
        raw.zeroize();
        let seed = Zeroizing::new(format!("0x{}", *Zeroizing::new(hex::encode(*self.seed))));
        let public = self.public_hex();
        let mut json = Zeroizing::new(Vec::with_capacity(JSON_BYTES));
        let fields = SecretJson {
            account_id: &public,
            crypto_type: 1,
            private_key: &private,
            public_key: &public,
            secret_phrase: &self.phrase,
            secret_seed: &seed,
            ss58_address: &self.hotkey().to_string(),
        };
        // Neither the writer nor the map's keys can fail.
        let _always_written = serde_json::to_writer(&mut *json, &fields);
        json
    }

    fn public_json(&self) -> serde_json::Value {
        let public = self.public_hex();
        serde_json::json!({"accountId": public, "cryptoType": 1, "publicKey": public, "ss58Address": self.hotkey()})
    }

    fn public_hex(&self) -> String {
        format!("0x{}", hex::encode(self.hotkey().as_bytes()))
    }
}

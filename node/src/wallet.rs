//! Reading a hotkey from a Bittensor wallet folder.

use std::path::{Path, PathBuf};

use leoma_protocol::Hotkey;
use serde::Deserialize;
use sp_core::{Pair as _, sr25519};

use crate::config::WalletConfig;

/// A hotkey file is a few hundred bytes; anything larger is not one.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why a hotkey cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The file cannot be read.
    #[error("hotkey {}: {source} (set WALLET_PATH, WALLET_NAME and HOTKEY_NAME, or create it with `btcli wallet new_hotkey`)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file has another form.
    #[error("hotkey {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The secret and the address in the file are of two keys.
    #[error("hotkey {}: its secret belongs to {found}, its address is {expected}", path.display())]
    WrongAddress {
        /// The file.
        path: PathBuf,
        /// The key of the secret.
        found: Hotkey,
        /// The address in the file.
        expected: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HotkeyFile {
    secret_phrase: Option<String>,
    secret_seed: Option<String>,
    private_key: Option<String>,
    ss58_address: Option<String>,
    #[serde(rename = " ss58Address")]
    legacy_ss58_address: Option<String>,
    // Of a polkadot.js export.
    encoded: Option<serde::de::IgnoredAny>,
    encoding: Option<serde::de::IgnoredAny>,
}

/// The file of a hotkey: `{path}/{wallet}/hotkeys/{hotkey}`.
#[must_use]
pub fn hotkey_path(wallet: &WalletConfig) -> PathBuf {
    wallet.path.join(&wallet.wallet).join("hotkeys").join(&wallet.hotkey)
}

/// Loads the key pair of a hotkey.
///
/// # Errors
/// [`WalletError`] with the file and what is wrong with it.
pub fn load_hotkey(wallet: &WalletConfig) -> Result<sr25519::Pair, WalletError> {
    let path = hotkey_path(wallet);
    let unreadable = |source| WalletError::Unreadable { path: path.clone(), source };
    let malformed = |reason| WalletError::Malformed { path: path.clone(), reason };
    if std::fs::metadata(&path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(malformed("too large for a hotkey file"));
    }
    let bytes = std::fs::read(&path).map_err(unreadable)?;
    if [&b"$NACL"[..], b"$ANSIBLE_VAULT", b"gAAAAA"].iter().any(|prefix| bytes.starts_with(prefix)) {
        return Err(malformed(
            "is encrypted; a validator's hotkey must be stored unencrypted (only the coldkey needs a password)",
        ));
    }
    let file: HotkeyFile = serde_json::from_slice(&bytes)
        .map_err(|_| malformed("not a hotkey file (JSON with secretPhrase, secretSeed or privateKey)"))?;
    if file.encoded.is_some() || file.encoding.is_some() {
        return Err(malformed("is a polkadot.js export; import it with `btcli wallet regen_hotkey --json`"));
    }
    let pair = pair_of(&file).map_err(malformed)?;
    let expected = file.ss58_address.or(file.legacy_ss58_address);
    let found = Hotkey::from(pair.public());
    match expected {
        Some(expected) if expected != found.to_string() => Err(WalletError::WrongAddress { path, found, expected }),
        _ => {
            warn_if_open(&path);
            Ok(pair)
        }
    }
}

fn pair_of(file: &HotkeyFile) -> Result<sr25519::Pair, &'static str> {
    if let Some(phrase) = &file.secret_phrase {
        return sr25519::Pair::from_phrase(phrase.trim(), None)
            .map(|(pair, _)| pair)
            .map_err(|_| "secretPhrase is not a mnemonic");
    }
    let secret = match (&file.secret_seed, &file.private_key) {
        (Some(seed), _) => seed,
        (None, Some(private)) => private,
        (None, None) => return Err("holds no secret (secretPhrase, secretSeed or privateKey): is it the public half?"),
    };
    let bytes = hex::decode(secret.trim_start_matches("0x")).map_err(|_| "its secret is not hexadecimal")?;
    sr25519::Pair::from_seed_slice(&bytes).map_err(|_| "its secret has neither 32 nor 64 bytes")
}

#[cfg(unix)]
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!(path = %path.display(), "others can read the hotkey file: run chmod 600 on it");
    }
}

#[cfg(not(unix))]
fn warn_if_open(_path: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

    fn load(content: &str) -> Result<sr25519::Pair, WalletError> {
        let folder = tempfile::tempdir().unwrap();
        let wallet = WalletConfig { path: folder.path().into(), wallet: "w".into(), hotkey: "h".into() };
        let path = hotkey_path(&wallet);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        load_hotkey(&wallet)
    }

    #[test]
    fn phrase_seed_and_private_key_give_the_same_hotkey() {
        let by_phrase =
            load(&format!(r#"{{"secretPhrase": "{PHRASE}", "ss58Address": "{ADDRESS}", "cryptoType": "1"}}"#)).unwrap();
        let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
        let by_seed = load(&format!(r#"{{"secretSeed": "{seed}", " ss58Address": "{ADDRESS}"}}"#)).unwrap();
        let private = hex::encode(by_phrase.to_raw_vec());
        let by_private = load(&format!(r#"{{"privateKey": "0x{private}"}}"#)).unwrap();
        assert_eq!(by_phrase.public(), by_seed.public());
        assert_eq!(by_phrase.public(), by_private.public());
    }

    #[test]
    fn errors_name_the_file_and_the_next_step_but_no_secret() {
        for (content, part) in [
            ("$NACLxxxx", "encrypted"),
            ("not json secret-seed", "not a hotkey file"),
            (r#"{"encoded": "x", "encoding": {}}"#, "polkadot.js"),
            (r#"{"ss58Address": "5x"}"#, "no secret"),
            (r#"{"secretSeed": "0x12"}"#, "neither 32 nor 64"),
            (r#"{"secretPhrase": "secret words here"}"#, "mnemonic"),
        ] {
            let error = load(content).err().unwrap().to_string();
            assert!(error.contains(part) && error.contains("hotkeys/h"), "{error}");
            assert!(!error.contains("secret words") && !error.contains("secret-seed"), "{error}");
        }
        let other = load(&format!(r#"{{"secretPhrase": "{PHRASE}", "ss58Address": "5Other"}}"#)).err().unwrap();
        assert!(matches!(other, WalletError::WrongAddress { .. }));
    }
}

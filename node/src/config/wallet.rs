//! The wallet and the passwords of its keys.

use leoma_wallet::{KeyKind, Password, PasswordSources, WalletSettings};

use super::error::ConfigError;
use super::values::{Values, file_name, path};

super::declare::settings! {
    /// the folder of wallets
    WALLET_PATH = setting("a folder", Some("~/.bittensor/wallets"));
    /// the wallet
    WALLET_NAME = setting("a folder's name", Some("default"));
    /// the hotkey in that wallet
    HOTKEY_NAME = setting("a file's name", Some("default"));
    /// password of an encrypted hotkey; the Python wallet's BT_PW_ variable for the file takes
    /// precedence
    WALLET_PASSWORD = secret("a text");
    /// a file that holds the hotkey's password, if WALLET_PASSWORD is not set
    WALLET_PASSWORD_FILE = setting("a file", None);
    /// a file that holds the password of an encrypted coldkey
    COLDKEY_PASSWORD_FILE = setting("a file", None);
}

pub(super) fn read(values: &Values) -> Result<WalletSettings, ConfigError> {
    Ok(WalletSettings {
        path: values.parsed(&WALLET_PATH, path)?,
        wallet: values.parsed(&WALLET_NAME, file_name)?,
        hotkey: values.parsed(&HOTKEY_NAME, file_name)?,
        passwords: PasswordSources {
            kind: KeyKind::Hotkey,
            // Not trimmed: a password may begin or end with a space.
            value: values.get(&WALLET_PASSWORD).map(|found| Password::new(&*found.text)),
            file: values.optional(&WALLET_PASSWORD_FILE, path)?,
        },
        coldkey_passwords: PasswordSources {
            kind: KeyKind::Coldkey,
            value: None,
            file: values.optional(&COLDKEY_PASSWORD_FILE, path)?,
        },
    })
}

//! The wallet and the passwords of its keys.

use leoma_wallet::{KeyKind, Password, PasswordSources, WalletSettings};

use super::error::ConfigError;
use super::values::{Values, file_name};

super::declare::settings! {
    /// the folder of wallets
    WALLET_PATH = setting("a folder", Some("~/.bittensor/wallets"));
    /// the wallet
    WALLET_NAME = setting("a folder's name", Some("default"));
    /// the hotkey in that wallet
    HOTKEY_NAME = setting("a file's name", Some("default"));
    /// password of an encrypted hotkey; the Python wallet's BT_PW_ variable for the file takes
    /// precedence
    WALLET_PASSWORD = password("a text");
    /// a file that holds the hotkey's password, if WALLET_PASSWORD is not set
    WALLET_PASSWORD_FILE = setting("a file", None);
    /// a file that holds the password of an encrypted coldkey
    COLDKEY_PASSWORD_FILE = setting("a file", None);
}

pub(super) fn read(values: &Values) -> Result<WalletSettings, ConfigError> {
    // Those in the environment are looked up by the wallet itself.
    let variables = || {
        let password = |(name, text): (&String, &String)| (name.clone(), Password::new(&**text));
        values.wallet_variables.iter().map(password).collect()
    };
    Ok(WalletSettings {
        path: values.path(&WALLET_PATH)?,
        wallet: values.parsed(&WALLET_NAME, file_name)?,
        hotkey: values.parsed(&HOTKEY_NAME, file_name)?,
        passwords: PasswordSources {
            kind: KeyKind::Hotkey,
            variables: variables(),
            // Not trimmed: a password may begin or end with a space. Only a line end at its end is
            // dropped.
            value: values
                .get(&WALLET_PASSWORD)
                .map(|found| Password::new(found.text.trim_end_matches(['\r', '\n']))),
            file: values.optional_path(&WALLET_PASSWORD_FILE)?,
        },
        coldkey_passwords: PasswordSources {
            kind: KeyKind::Coldkey,
            variables: variables(),
            value: None,
            file: values.optional_path(&COLDKEY_PASSWORD_FILE)?,
        },
    })
}

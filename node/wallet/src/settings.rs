//! Where a wallet's keys and their passwords are.

use std::path::PathBuf;

use crate::password::PasswordSources;

/// Where the keys of one wallet are, and where their passwords may be found.
#[derive(Clone, Debug)]
pub struct WalletSettings {
    /// Folder of wallets.
    pub path: PathBuf,
    /// The wallet's name.
    pub wallet: String,
    /// The hotkey's name.
    pub hotkey: String,
    /// Where the password of an encrypted hotkey may be found.
    pub passwords: PasswordSources,
    /// Where the password of an encrypted coldkey may be found.
    pub coldkey_passwords: PasswordSources,
}

/// The file of a hotkey: `{path}/{wallet}/hotkeys/{hotkey}`.
pub fn hotkey_path(wallet: &WalletSettings) -> PathBuf {
    wallet.path.join(&wallet.wallet).join("hotkeys").join(&wallet.hotkey)
}

/// The file of a wallet's coldkey: `{path}/{wallet}/coldkey`.
pub fn coldkey_path(wallet: &WalletSettings) -> PathBuf {
    wallet.path.join(&wallet.wallet).join("coldkey")
}

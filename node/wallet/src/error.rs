//! Why a key file cannot be used or written.

use std::path::PathBuf;

use leoma_protocol::Hotkey;

/// Why a key cannot be used. Never holds key material or a password.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum WalletError {
    /// The file cannot be read.
    #[error(
        "key file {} cannot be read (are WALLET_PATH, WALLET_NAME and HOTKEY_NAME right? `leoma wallet new-hotkey` makes a hotkey)",
        path.display()
    )]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// The file is somebody else's.
    #[error("key file {} cannot be read: {reason}", path.display())]
    Denied { path: PathBuf, reason: String },
    /// The path is not a plain file.
    #[error("key file {}: {what}", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// Others can change the file, and could have replaced the key.
    #[error("key file {}: others can change it (mode {mode:04o}); make sure that it is yours, then run chmod 600 on it", path.display())]
    Writable { path: PathBuf, mode: u32 },
    /// The file is malformed.
    #[error("key file {}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: &'static str },
    /// The key is of a kind that cannot sign for this subnet.
    #[error(
        "key file {}: its cryptoType is {found}, but only sr25519 keys (cryptoType 1) sign for this subnet",
        path.display()
    )]
    CryptoType { path: PathBuf, found: String },
    /// The file is another program's.
    #[error(
        "key file {}: is a polkadot.js export, which has a form and a password of its own; import it with `btcli wallet regen_hotkey --json` (a coldkey with `regen_coldkey`)",
        path.display()
    )]
    PolkadotExport { path: PathBuf },
    /// The secret does not belong to the address in the file or beside it.
    #[error("key file {}: its secret belongs to {found}, its address is {expected}", path.display())]
    WrongAddress { path: PathBuf, found: Hotkey, expected: String },
    /// A password is needed and none was given.
    #[error(
        "key file {}: it is encrypted, and no password is set: {ways}, or run this on a terminal to be asked",
        path.display()
    )]
    NeedsPassword { path: PathBuf, ways: String },
    /// The password does not decrypt the file.
    #[error("key file {}: the password from {source_name} is wrong, or the encrypted file is damaged; a plain password goes into WALLET_PASSWORD or a file that WALLET_PASSWORD_FILE names", path.display())]
    WrongPassword { path: PathBuf, source_name: String },
    /// The given password cannot be used.
    #[error("the password in {source_name} cannot be used: {reason}")]
    Password { source_name: String, reason: String },
    /// The key derivation needs more memory than there is.
    #[error("key file {}: deriving its key takes {mebibytes} MiB of memory, which this machine does not have free", path.display())]
    Memory { path: PathBuf, mebibytes: usize },
    /// The file exists already.
    #[error(
        "key file {}: exists already; choose another name with --hotkey-name, or replace it with --force (the old key is kept beside it)",
        path.display()
    )]
    Exists { path: PathBuf },
    /// The file cannot be written.
    #[error("key file {} cannot be written", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    /// The program is stopping.
    #[error("stopped before the key was read")]
    Stopped,
}

impl WalletError {
    /// Whether the file does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

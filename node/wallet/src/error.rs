//! Why a key file cannot be used or written.

use std::path::PathBuf;

use leoma_protocol::Hotkey;

/// Why a key cannot be used. Never holds key material or a password.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The file cannot be read.
    #[error(
        "key file {} cannot be read (are WALLET_PATH, WALLET_NAME and HOTKEY_NAME right? `leoma wallet new-hotkey` makes a hotkey)",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// There is something else in the file's place.
    #[error("key file {}: {what}", path.display())]
    NotAFile {
        /// The place.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// Others could have exchanged the key.
    #[error("key file {}: others can change it (mode {mode:04o}); make sure that it is yours, then run chmod 600 on it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file has another form.
    #[error("key file {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key of a kind that cannot sign here.
    #[error(
        "key file {}: its cryptoType is {found}, but only sr25519 keys (cryptoType 1) sign for this subnet",
        path.display()
    )]
    CryptoType {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: String,
    },
    /// A file of another program.
    #[error(
        "key file {}: is a polkadot.js export, which has a form and a password of its own; import it with `btcli wallet regen_hotkey --json` (a coldkey with `regen_coldkey`)",
        path.display()
    )]
    PolkadotExport {
        /// The file.
        path: PathBuf,
    },
    /// The secret and the address in the file, or beside it, are of two keys.
    #[error("key file {}: its secret belongs to {found}, its address is {expected}", path.display())]
    WrongAddress {
        /// The file.
        path: PathBuf,
        /// The key of the secret.
        found: Hotkey,
        /// The address in the file.
        expected: String,
    },
    /// A file that is encrypted or shall be, and no password.
    #[error(
        "key file {}: its encryption needs a password, and none is known: {ways}, or run this on a terminal to be asked",
        path.display()
    )]
    NeedsPassword {
        /// The file.
        path: PathBuf,
        /// Where it could have been given.
        ways: String,
    },
    /// The password does not decrypt the file.
    #[error("key file {}: the password from {source_name} is wrong, or the encrypted file is damaged", path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
        /// Where the password was found.
        source_name: String,
    },
    /// A password was given in a way that cannot be used.
    #[error("the password in {source_name} cannot be used: {reason}")]
    Password {
        /// Where it was found.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// The key derivation needs more memory than there is.
    #[error("key file {}: deriving its key takes {mebibytes} MiB of memory, which this machine does not have free", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// How much.
        mebibytes: usize,
    },
    /// A key is there already.
    #[error(
        "key file {}: exists already; choose another name with --hotkey-name, or replace it with --force (the old key is kept beside it)",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("key file {} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The program ends before the key was read.
    #[error("stopped before the key was read")]
    Stopped,
}

impl WalletError {
    /// Whether there simply is no such file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

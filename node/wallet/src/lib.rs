//! Key files of Bittensor wallets: every form that wallets ever wrote can be read, and hotkeys are
//! written as the Python wallet writes them.
//!
//! | part | file |
//! |---|---|
//! | opening and writing files, their modes | `file.rs` |
//! | encrypted files | `encryption/` |
//! | where a password comes from | `password.rs` |
//! | what a decrypted file holds | `content.rs` |
//! | a key: opened, decrypted, checked | `key_file.rs` |
//! | a new hotkey | `create.rs` |
//! | where the keys lie | `settings.rs` |
//! | slow work off the async threads | `background.rs` |
//!
//! A key is checked against the address in its file or, if there is none, in the public half beside
//! it, so that a damaged or replaced secret is never used.

mod background;
mod content;
mod create;
mod encryption;
mod error;
mod file;
mod key_file;
mod password;
mod settings;
#[cfg(test)]
mod tests;

pub use background::in_background;
pub use content::KeyFormat;
pub use create::{NewHotkey, Written};
pub use encryption::Encryption;
pub use error::WalletError;
pub use file::{create_private, mode_of, public_path};
pub use key_file::{
    CheckedAgainst, KeyFile, LoadedKey, address_of, known_address, load_coldkey, load_hotkey,
};
pub use password::{KeyKind, Password, PasswordSources, restore_terminal};
pub use settings::{WalletSettings, coldkey_path, hotkey_path};

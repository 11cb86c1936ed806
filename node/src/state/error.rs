//! Why the state cannot be used.

use std::path::PathBuf;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum StateError {
    /// The folder cannot be made or locked.
    #[error("state folder {}: {reason}", path.display())]
    Folder { path: PathBuf, reason: String },
    /// The database failed: disk full, corrupt, locked.
    #[error("state database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database is damaged.
    #[error("state database {} is damaged ({detail}); restore the folder from a copy", path.display())]
    Corrupt { path: PathBuf, detail: String },
    /// The record of what was signed is gone.
    #[error("{} is missing, and with it what was signed; restore it from a copy of the same age as state.sqlite or a newer one. Starting without it risks signing twice", path.display())]
    NoGuard { path: PathBuf },
    /// The folder belongs to another network or hotkey.
    #[error("state folder {} belongs to {found}, not to {expected}; set LEOMA_STATE_DIR to another folder", path.display())]
    Foreign { path: PathBuf, found: String, expected: String },
    /// A stored value that cannot be read back.
    #[error("state database: a stored {what} is malformed")]
    Malformed { what: &'static str },
    /// The process is stopping.
    #[error("the state is being closed")]
    Closing,
}

/// What every method of the state returns.
pub(super) type Result<T, E = StateError> = std::result::Result<T, E>;

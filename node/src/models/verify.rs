//! The files of a model against its lock.

use std::path::Path;

use serde::Serialize;

use super::lock::{Lock, LockedFile};
use super::pull::{PullError, sum_of};

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum FileState {
    /// It is what the lock says.
    Matches,
    /// It is not there, or not whole.
    Missing,
    /// It has other bytes.
    Differs {
        /// What was found.
        found: String,
    },
}

/// Reads every file of the lock again, in its order.
///
/// # Errors
/// A file cannot be read.
pub(crate) async fn verify(
    lock: &Lock,
    folder: &Path,
) -> Result<Vec<(LockedFile, FileState)>, PullError> {
    let mut states = Vec::with_capacity(lock.files.len());
    for file in &lock.files {
        let path = folder.join(&file.name);
        let state = match state(file, folder) {
            FileState::Matches => match (sum_of(&path).await?, file.sha256) {
                (found, Some(expected)) if found == expected => FileState::Matches,
                (_, None) => FileState::Missing,
                (found, Some(_)) => FileState::Differs { found: format!("sha256 {found}") },
            },
            other => other,
        };
        states.push((file.clone(), state));
    }
    Ok(states)
}

/// What a look at a file's size says.
pub(crate) fn state(file: &LockedFile, folder: &Path) -> FileState {
    match std::fs::metadata(folder.join(&file.name)) {
        Ok(found) if found.len() == file.size => FileState::Matches,
        Ok(found) => FileState::Differs { found: format!("{} bytes", found.len()) },
        Err(_) => FileState::Missing,
    }
}

//! What was pulled, in a file beside it.

use std::io;
use std::path::{Path, PathBuf};

use leoma_protocol::Digest;
use serde::{Deserialize, Serialize};

/// The lock's name in a model's folder.
const NAME: &str = "leoma-lock.json";
/// Largest lock that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The version of the file.
const VERSION: u32 = 1;

/// A model's commit, and its files as that commit has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    version: u32,
    /// `owner/name` in the registry.
    pub(crate) repository: String,
    /// The commit.
    pub(crate) revision: String,
    /// The files, in the order in which they are pulled.
    pub(crate) files: Vec<LockedFile>,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockedFile {
    /// Its name.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// `None` until a small file is there: the registry states sums of large files alone.
    pub(crate) sha256: Option<Digest>,
    /// Whether the sum is the registry's. If not, it is what was downloaded first.
    pub(crate) stated: bool,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// It is not a lock.
    #[error("{path} is not a lock of this release ({reason}): delete the folder and pull again")]
    Malformed { path: PathBuf, reason: String },
}

impl Lock {
    pub(super) const fn new(repository: String, revision: String, files: Vec<LockedFile>) -> Self {
        Self { version: VERSION, repository, revision, files }
    }

    /// The lock in a model's folder; `None` where nothing was pulled.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, LockError> {
        let path = folder.join(NAME);
        let size = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LockError::Io { path, source }),
        };
        let malformed = |reason: String| LockError::Malformed { path: path.clone(), reason };
        if size > MAX_BYTES {
            return Err(malformed(format!("{size} bytes")));
        }
        let text =
            std::fs::read(&path).map_err(|source| LockError::Io { path: path.clone(), source })?;
        let lock: Self =
            serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        let is_name = |file: &LockedFile| is_plain_name(&file.name);
        let is_whole = is_commit(&lock.revision) && lock.files.iter().all(is_name);
        if lock.version != VERSION || !is_whole {
            return Err(malformed(format!("version {}, or odd names", lock.version)));
        }
        Ok(Some(lock))
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// [`LockError::Io`].
    pub(super) fn write(&self, folder: &Path) -> Result<(), LockError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|text| {
            let file = tempfile::NamedTempFile::new_in(folder)?;
            std::fs::write(file.path(), text)?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map(drop).map_err(|source| LockError::Io { path, source })
    }
}

/// The full hash of a commit.
pub(super) fn is_commit(sha: &str) -> bool {
    sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A name of a file in the folder itself.
fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

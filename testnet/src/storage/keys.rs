//! Buckets and their keys, and the file that lists them.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use leoma_storage::{BucketConfig, DEFAULT_REGION, Secret};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};

/// Most buckets of one server: a subnet has at most 256 neurons, and one source bucket.
const MAX_BUCKETS: usize = 300;
/// Largest keys file that is read: [`MAX_BUCKETS`] entries of about 300 bytes, with room for other
/// spacing.
const MAX_FILE_BYTES: u64 = 512 * 1024;
/// Lengths of generated keys, as AWS's.
const ACCESS_LENGTH: usize = 20;
const SECRET_LENGTH: usize = 40;

/// An access key id and its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The access key id, unique on the server.
    pub access: String,
    /// The secret access key.
    pub secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("access", &self.access).finish_non_exhaustive()
    }
}

impl KeyPair {
    fn generate() -> Self {
        let text =
            |length| rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect();
        Self { access: text(ACCESS_LENGTH), secret: text(SECRET_LENGTH) }
    }
}

/// A bucket: a key that reads and writes it, and one that only reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketKeys {
    /// The bucket's name: 3 to 63 lower-case letters, digits, `-` or `.`.
    pub bucket: String,
    /// Reads, lists, writes, deletes.
    pub write: KeyPair,
    /// Reads and lists.
    pub read: KeyPair,
}

impl BucketKeys {
    /// A bucket with new random keys.
    pub fn generate(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), write: KeyPair::generate(), read: KeyPair::generate() }
    }

    /// How the bucket's owner opens it on the server at `endpoint`.
    pub fn writer(&self, endpoint: &str) -> BucketConfig {
        self.config(endpoint, &self.write)
    }

    /// How everyone else opens it.
    pub fn reader(&self, endpoint: &str) -> BucketConfig {
        self.config(endpoint, &self.read)
    }

    fn config(&self, endpoint: &str, keys: &KeyPair) -> BucketConfig {
        BucketConfig {
            endpoint: endpoint.to_owned(),
            bucket: self.bucket.clone(),
            region: DEFAULT_REGION.to_owned(),
            access_key: Secret::new(&keys.access),
            secret_key: Secret::new(&keys.secret),
        }
    }
}

/// Keys that a server cannot start with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("keys file {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The file is not a list of buckets.
    #[error(
        "keys file {path} must be JSON `[{{bucket, write: {{access, secret}}, read: {{access, secret}}}}]`: line {line}"
    )]
    Malformed {
        path: PathBuf,
        /// Where the parser stopped. Its message is left out, as it may quote a key.
        line: usize,
    },
    /// One of the buckets.
    #[error("bucket `{bucket}`: {reason}")]
    Bucket { bucket: String, reason: &'static str },
    /// More buckets than a subnet needs.
    #[error("{count} buckets are more than {MAX_BUCKETS}")]
    TooMany { count: usize },
}

/// Reads a keys file.
///
/// # Errors
/// [`KeysError`] names the file and the reason.
pub(crate) fn read_keys(path: &Path) -> Result<Vec<BucketKeys>, KeysError> {
    let file = |source| KeysError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(file)?.len() > MAX_FILE_BYTES {
        return Err(file(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = std::fs::read(path).map_err(file)?;
    let keys: Vec<BucketKeys> = serde_json::from_slice(&text)
        .map_err(|error| KeysError::Malformed { path: path.to_owned(), line: error.line() })?;
    check(&keys)?;
    Ok(keys)
}

/// Writes a keys file that only its owner can read.
///
/// # Errors
/// [`KeysError`] names the file and the reason.
pub fn write_keys(path: &Path, keys: &[BucketKeys]) -> Result<(), KeysError> {
    check(keys)?;
    let file = |source| KeysError::File { path: path.to_owned(), source };
    let text = serde_json::to_vec_pretty(keys).map_err(|error| file(error.into()))?;
    let mut open = std::fs::OpenOptions::new();
    let mut target =
        open.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(file)?;
    target.write_all(&text).map_err(file)
}

/// Names that S3 allows, each once; access keys, each once.
pub(super) fn check(keys: &[BucketKeys]) -> Result<(), KeysError> {
    if keys.len() > MAX_BUCKETS {
        return Err(KeysError::TooMany { count: keys.len() });
    }
    let (mut buckets, mut accesses) = (HashSet::new(), HashSet::new());
    for entry in keys {
        let refuse = |reason| {
            Err(KeysError::Bucket {
                bucket: entry.bucket.escape_debug().take(80).collect(),
                reason,
            })
        };
        if !s3s::path::check_bucket_name(&entry.bucket) {
            return refuse("the name must have 3 to 63 lower-case letters, digits, `-` or `.`");
        }
        if !buckets.insert(&entry.bucket) {
            return refuse("it is listed twice");
        }
        for pair in [&entry.write, &entry.read] {
            if pair.access.is_empty() || pair.secret.is_empty() {
                return refuse("an access key or secret is empty");
            }
            if !accesses.insert(&pair.access) {
                return refuse("an access key is used twice; write and read keys must differ");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_file_reads_back_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let keys =
            vec![BucketKeys::generate("leoma-source"), BucketKeys::generate("leoma-validator-1")];
        write_keys(&path, &keys).unwrap();
        assert_eq!(read_keys(&path).unwrap(), keys);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{keys:?}").contains(&keys[0].write.secret));
    }

    #[test]
    fn bad_keys_are_named() {
        let one = BucketKeys::generate("leoma-one");
        let same_keys = BucketKeys { read: one.write.clone(), ..one.clone() };
        assert!(
            check(&[one.clone(), one.clone()]).unwrap_err().to_string().contains("listed twice")
        );
        assert!(check(&[same_keys]).unwrap_err().to_string().contains("used twice"));
        for name in ["../etc", "A", ".hidden", ""] {
            assert!(
                check(&[BucketKeys { bucket: name.to_owned(), ..one.clone() }]).is_err(),
                "{name}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "{}").unwrap();
        assert!(read_keys(&path).unwrap_err().to_string().contains("must be JSON"));
    }
}

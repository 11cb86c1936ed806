//! What can go wrong with an object, sorted by what the caller should do about it.

use std::fmt;
use std::time::Duration;

use leoma_protocol::Digest;

use crate::scrub::Cause;

/// The object (or, with an empty key, the bucket) that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// The store and bucket, such as `s3://leoma-validator-7`.
    pub bucket: String,
    /// The key in it; empty when the whole bucket is meant.
    pub key: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}", self.bucket)
        } else {
            write!(f, "{}/{}", self.bucket, self.key)
        }
    }
}

/// Why an operation on a bucket failed.
///
/// "No such object" is never among them: reads answer that with `None`, and only when the store
/// itself said so. Every text in here is free of keys, signatures and query strings.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The keys are wrong, expired, or do not reach this object.
    #[error("{object}: access denied: {reason}")]
    PermissionDenied {
        /// What was asked for.
        object: ObjectName,
        /// The store's answer, in short.
        reason: String,
        /// The client's account of it.
        #[source]
        cause: Cause,
    },
    /// The object exists with other bytes. Objects are written once, so this stops the task.
    #[error("{object}: holds other bytes than ours (sha256 {ours})")]
    Conflict {
        /// What was to be written.
        object: ObjectName,
        /// SHA-256 of what we would have written.
        ours: Digest,
        /// SHA-256 of what is there; `None` if it is longer than ours.
        theirs: Option<Digest>,
    },
    /// The object is larger than the caller takes. Nothing beyond the limit was kept.
    #[error("{object}: larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        object: ObjectName,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// No complete answer within the deadline.
    #[error("{object}: no answer within {after:?} ({attempts} attempts)")]
    Timeout {
        /// What was asked for.
        object: ObjectName,
        /// How long was waited in all.
        after: Duration,
        /// How often it was tried.
        attempts: u32,
    },
    /// The store cannot be reached, is overloaded, or broke off; retries are used up.
    #[error("{object}: unavailable after {attempts} attempts: {reason}")]
    Unavailable {
        /// What was asked for.
        object: ObjectName,
        /// How often it was tried.
        attempts: u32,
        /// The last answer, in short.
        reason: String,
        /// The client's account of it.
        #[source]
        cause: Cause,
    },
    /// The disk or the quota behind the bucket is used up.
    #[error("{object}: no space left: {reason}")]
    Full {
        /// What was to be written.
        object: ObjectName,
        /// The store's answer, in short.
        reason: String,
        /// The client's account of it.
        #[source]
        cause: Cause,
    },
    /// Trying again will not help before someone changes the configuration: bucket, region,
    /// endpoint or key name.
    #[error("{object}: misconfigured: {reason}")]
    Misconfigured {
        /// What was asked for.
        object: ObjectName,
        /// What is wrong.
        reason: String,
        /// The client's account of it.
        #[source]
        cause: Cause,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anyone's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unavailable { .. })
    }

    /// A short name for metrics and status pages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Conflict { .. } => "conflict",
            Self::TooLarge { .. } => "too_large",
            Self::Timeout { .. } => "timeout",
            Self::Unavailable { .. } => "unavailable",
            Self::Full { .. } => "full",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }
}

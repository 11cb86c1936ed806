//! Errors of a bucket, sorted by what the caller should do about them.

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
/// "No such object" is not an error: reads return `None`, and only when the store itself reported
/// it. No text in here contains keys, signatures or query strings.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The keys are wrong or expired, or do not give access to this object.
    #[error("{object}: access denied: {reason}")]
    PermissionDenied {
        /// The object that was read or written.
        object: ObjectName,
        /// The store's answer in short.
        reason: String,
        /// The client's error, for `Debug`: it repeats the reason.
        cause: Cause,
    },
    /// The store refused the time at which the request was signed, even after it was signed again:
    /// this machine's clock is wrong.
    #[error("{object}: the store says that this machine's clock is wrong: {reason}")]
    Clock {
        /// The object that was read or written.
        object: ObjectName,
        /// The store's answer in short.
        reason: String,
        /// The client's error.
        cause: Cause,
    },
    /// The object exists with other bytes. Objects are written once, so this stops the task.
    #[error("{object}: exists with bytes other than ours (sha256 {ours})")]
    Conflict {
        /// The object that was to be written.
        object: ObjectName,
        /// SHA-256 of the bytes to be written.
        ours: Digest,
        /// SHA-256 of the bytes in the bucket; `None` if they are longer than ours.
        theirs: Option<Digest>,
    },
    /// The object is larger than the caller's limit.
    #[error("{object}: larger than {limit} bytes")]
    TooLarge {
        /// The object that was read or written.
        object: ObjectName,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// There was no complete answer within the deadline.
    #[error("{object}: no answer within {after:?} ({attempts} attempts)")]
    Timeout {
        /// The object that was read or written.
        object: ObjectName,
        /// The time waited in all.
        after: Duration,
        /// The number of attempts.
        attempts: u32,
    },
    /// The store cannot be reached, is overloaded, or broke off, on every attempt.
    #[error("{object}: unavailable after {attempts} attempts: {reason}")]
    Unavailable {
        /// The object that was read or written.
        object: ObjectName,
        /// The number of attempts.
        attempts: u32,
        /// The last answer in short.
        reason: String,
        /// The client's error, for `Debug`: it repeats the reason.
        cause: Cause,
    },
    /// The disk or the quota behind the bucket is full.
    #[error("{object}: no space left: {reason}")]
    Full {
        /// The object that was to be written.
        object: ObjectName,
        /// The store's answer in short.
        reason: String,
        /// The client's error, for `Debug`: it repeats the reason.
        cause: Cause,
    },
    /// The configuration has to be changed: bucket, region, endpoint or key name.
    #[error("{object}: misconfigured: {reason}")]
    Misconfigured {
        /// The object that was read or written.
        object: ObjectName,
        /// What is wrong.
        reason: String,
        /// The client's error, for `Debug`: it repeats the reason.
        cause: Cause,
    },
}

impl StoreError {
    /// Whether the same call may succeed later although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unavailable { .. })
    }

    /// A short name for metrics and status pages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Clock { .. } => "clock",
            Self::Conflict { .. } => "conflict",
            Self::TooLarge { .. } => "too_large",
            Self::Timeout { .. } => "timeout",
            Self::Unavailable { .. } => "unavailable",
            Self::Full { .. } => "full",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }
}

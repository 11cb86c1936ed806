//! What a task's bucket holds. Its owner may have put anything there, so everything is bounded and
//! held to what the producer signed.

use bytes::Bytes;
use leoma_protocol::verdict::{Envelope, VerdictEntry};
use leoma_protocol::{Digest, TaskId};
use leoma_scoring::media::Limits;
use leoma_storage::{Bucket, Key, PeerBucket, StoreError, TaskKey, TaskObject};

use crate::corpus::{MAX_PROOF_BYTES, TaskMetadata, is_known_schema};

/// Why an object of a task could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// The bucket does not have it: not yet, or not any more.
    #[error("{0} is not in the bucket")]
    Absent(String),
    /// Its owner has given us no access to the bucket.
    #[error("no access to the bucket")]
    NoAccess,
    /// The bucket could not be read.
    #[error("failed to read {what}: {reason}")]
    Failed {
        /// The object.
        what: String,
        /// The kind of failure, which names neither addresses nor keys.
        reason: &'static str,
    },
    /// Another release wrote it.
    #[error("{0}")]
    Unknown(String),
    /// What it is checked against could not be read: the chain, or the owner's bucket.
    #[error("{0}")]
    Ours(String),
    /// It contradicts what its owner signed.
    #[error("{0}")]
    Contradicts(String),
}

impl Unread {
    /// A read that was cut off because it took too long.
    pub(crate) fn slow(what: &str) -> Self {
        Self::Failed { what: what.to_owned(), reason: TIMEOUT }
    }

    /// Whether another try may succeed.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::NoAccess | Self::Absent(_) | Self::Failed { .. } | Self::Ours(_))
    }

    /// Who keeps the bytes from us, as far as this one error shows.
    pub(crate) fn kept_by(&self) -> KeptBy {
        match self {
            // What a store answers, its owner answers for: it may be any server that its owner runs.
            Self::NoAccess | Self::Absent(_) | Self::Contradicts(_) => KeptBy::Producer,
            // Such a server may also say that our clock is wrong. Then other stores say so too.
            Self::Failed { reason: TIMEOUT | "unavailable" | "clock", .. } => KeptBy::Anyone,
            Self::Failed { .. } => KeptBy::Producer,
            Self::Unknown(_) | Self::Ours(_) => KeptBy::Us,
        }
    }
}

/// [`StoreError::kind`] of a store that did not answer in time.
const TIMEOUT: &str = "timeout";

/// Who keeps bytes from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptBy {
    /// Their owner.
    Producer,
    /// Their owner, or the network between us.
    Anyone,
    /// This machine, or a release that it does not know.
    Us,
}

/// A bucket that holds a task.
#[async_trait::async_trait]
pub(crate) trait Objects: Sync {
    /// The object of at most `max_bytes`.
    async fn object(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError>;
}

#[async_trait::async_trait]
impl Objects for Bucket {
    async fn object(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        self.get(key, max_bytes).await
    }
}

#[async_trait::async_trait]
impl Objects for PeerBucket {
    async fn object(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        self.get(key, max_bytes).await
    }
}

/// What all entries of a task are scored against.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// `metadata.json`.
    pub(crate) metadata: TaskMetadata,
    /// `original_clip.mp4`.
    pub(crate) clip: Bytes,
}

/// Reads a task's metadata and clip, as the producer of `envelope` signed them.
///
/// # Errors
/// The first [`Unread`] that applies.
pub(crate) async fn read_task(
    bucket: &impl Objects,
    envelope: &Envelope,
) -> Result<Published, Unread> {
    let task_id = envelope.task_id;
    let bytes = read(bucket, task_id, TaskObject::Metadata, MAX_PROOF_BYTES).await?;
    let metadata = parse(&bytes, envelope)?;
    let most = Limits::ANSWER.file_bytes as u64;
    let clip = read(bucket, task_id, TaskObject::OriginalClip, most).await?;
    let found = Digest::of(&clip);
    if found != metadata.clip.clip_sha256 {
        return Err(Unread::Contradicts(format!(
            "original_clip.mp4 is sha256 {found}, metadata.json says {}",
            metadata.clip.clip_sha256
        )));
    }
    Ok(Published { metadata, clip })
}

/// The video that an entry was written for; `None` where there was none.
///
/// # Errors
/// The first [`Unread`] that applies.
pub(crate) async fn read_video(
    bucket: &impl Objects,
    task_id: TaskId,
    entry: &VerdictEntry,
) -> Result<Option<Bytes>, Unread> {
    let Some(signed) = entry.video_sha256 else { return Ok(None) };
    let most = Limits::ANSWER.file_bytes as u64;
    let video = read(bucket, task_id, TaskObject::GeneratedVideo(entry.hotkey), most).await?;
    let found = Digest::of(&video);
    if found != signed {
        return Err(Unread::Contradicts(format!(
            "the video is sha256 {found}, the entry says {signed}"
        )));
    }
    Ok(Some(video))
}

/// An object of a task, of at most `most` bytes.
///
/// # Errors
/// The first [`Unread`] that applies.
pub(crate) async fn read<B: Objects + ?Sized>(
    bucket: &B,
    task_id: TaskId,
    object: TaskObject,
    most: u64,
) -> Result<Bytes, Unread> {
    let key = TaskKey::new(task_id, object);
    let what = key.to_string();
    match bucket.object(&key.into(), most).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Unread::Absent(what)),
        Err(StoreError::TooLarge { limit, .. }) => {
            Err(Unread::Contradicts(format!("{what} has more than {limit} bytes")))
        }
        Err(error) => Err(Unread::Failed { what, reason: error.kind() }),
    }
}

fn parse(bytes: &[u8], envelope: &Envelope) -> Result<TaskMetadata, Unread> {
    if let Some(signed) = envelope.metadata_sha256
        && Digest::of(bytes) != signed
    {
        return Err(Unread::Contradicts(format!(
            "metadata.json is sha256 {}, the envelope says {signed}",
            Digest::of(bytes)
        )));
    }
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| Unread::Contradicts(format!("metadata.json is not JSON: {error}")))?;
    let schema = &value["clip"]["schema"];
    if !is_known_schema(schema) {
        let finding =
            format!("metadata.json has schema {schema}, which this release does not read");
        return Err(Unread::Unknown(finding));
    }
    let metadata: TaskMetadata = serde_json::from_value(value)
        .map_err(|error| Unread::Contradicts(format!("metadata.json is malformed: {error}")))?;
    let theirs = (metadata.task_id, metadata.netuid, metadata.genesis, metadata.validator);
    let signed =
        (envelope.task_id, envelope.network.netuid, envelope.network.genesis, envelope.validator);
    if theirs != signed || metadata.judge != envelope.judge {
        return Err(Unread::Contradicts(
            "metadata.json has another task, validator, chain or judge than the envelope".into(),
        ));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A producer's store may be any server that it runs.
    #[test]
    fn nothing_that_a_store_says_makes_it_our_fault() {
        for reason in ["permission_denied", "misconfigured", "full", "conflict", "too_large"] {
            let unread = Unread::Failed { what: "7/metadata.json".to_owned(), reason };
            assert_eq!(unread.kept_by(), KeptBy::Producer, "{reason}");
        }
        // These are decided by what other stores say.
        for reason in ["timeout", "unavailable", "clock"] {
            let unread = Unread::Failed { what: "7/metadata.json".to_owned(), reason };
            assert_eq!(unread.kept_by(), KeptBy::Anyone, "{reason}");
        }
    }
}

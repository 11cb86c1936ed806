//! Whose fault it is that a producer's bytes could not be read.
//!
//! | what happened | whose |
//! |---|---|
//! | no grant came | the producer's |
//! | its store answers, and has no such object or other bytes, or denies us access | the producer's |
//! | its store does not answer, and other stores do | the producer's |
//! | its store does not answer, and no other does either | ours: our network |
//! | its store says that our clock is wrong, and others do not | the producer's |
//! | the others say so too, or a release wrote it that we do not know | ours |
//! | its store has given all, and the chain or the owner's bucket does not answer | ours |
//!
//! A refusal only delays a certificate, and others may see more than we do. So an honest producer
//! whose bucket is down for longer than its peers can wait loses that one file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::FileId;
use leoma_storage::{Key, PeerBuckets, SourceBucket, StoreError};
use tokio::time::timeout;

use crate::rescoring::Objects;

/// How long each of the other stores has for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Other peers' stores that are asked: one that answers is enough.
const MOST_ASKED: usize = 4;

/// A bucket that remembers whether something that was asked of it is still missing.
#[derive(Debug)]
pub(super) struct Followed<B> {
    bucket: B,
    awaited: Awaited,
}

/// Whether the newest read has not given its object: it is under way, or it failed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Awaited(Arc<AtomicBool>);

impl Awaited {
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, awaited: bool) {
        self.0.store(awaited, Ordering::Relaxed);
    }
}

impl<B> Followed<B> {
    pub(super) fn new(bucket: B) -> Self {
        Self::noting(bucket, Awaited::default())
    }

    /// The same for a bucket that is opened anew in each of several tries.
    pub(super) const fn noting(bucket: B, awaited: Awaited) -> Self {
        Self { bucket, awaited }
    }

    /// Whether the newest read has not given its object.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.is_true()
    }
}

#[async_trait::async_trait]
impl<B: Objects> Objects for Followed<B> {
    async fn object(&self, key: &Key, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        self.awaited.set(true);
        let object = self.bucket.object(key, max_bytes).await;
        if matches!(object, Ok(Some(_))) {
            self.awaited.set(false);
        }
        object
    }
}

/// Whether a store other than the producer's answers us, the subnet's own or a peer's: then it is
/// not our network that keeps the bytes away.
pub(super) async fn network_works(
    subnet: &SourceBucket,
    peers: &PeerBuckets,
    file: FileId,
) -> bool {
    if answers(subnet.allowlist(None)).await {
        return true;
    }
    for peer in peers.others(&file.producer, MOST_ASKED) {
        if answers(peer.verdict(file.task_id)).await {
            return true;
        }
    }
    false
}

/// Whether a store said anything but that our clock is wrong: a refusal came from there too.
async fn answers<T>(read: impl Future<Output = Result<T, StoreError>>) -> bool {
    match timeout(ANSWER_LIMIT, read).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => !error.is_transient() && !matches!(error, StoreError::Clock { .. }),
        Err(_) => false,
    }
}

//! Fetching of other validators' verdict files: from peers, else from the producer's bucket.

use std::time::Duration;

use leoma_protocol::{Digest, FileId};

use crate::metrics::{FetchOutcome, FetchSource};

use super::exchange::Exchange;

/// Attempts to fetch an announced file: its producer has it, so a failure is likely to pass.
const FETCH_TRIES: u32 = 5;
/// Pause after the first failed attempt; doubled after each further one.
const FETCH_PAUSE: Duration = Duration::from_secs(1);

impl Exchange {
    /// Fetches an announced or certified file in the background, unless we hold it.
    pub(super) fn fetch_in_background(&self, id: FileId, digest: Digest) {
        if self.library.holds_digest(id, digest) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            // Closed only on drop, which this clone prevents.
            let Ok(_permit) = this.fetches.clone().acquire_owned().await else { return };
            let mut pause = FETCH_PAUSE;
            for attempt in 1..=FETCH_TRIES {
                if this.library.holds_digest(id, digest) || this.fetch_once(id, digest).await {
                    return;
                }
                if attempt < FETCH_TRIES {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
            tracing::warn!(task = %id.task_id, producer = %id.producer, digest = digest.short(), "failed to fetch a verdict file");
        });
    }

    /// Fetches from any peer that holds the file, else from the producer's bucket, which gets it a
    /// little later than peers do.
    async fn fetch_once(&self, id: FileId, digest: Digest) -> bool {
        let accept = |bytes: &[u8]| self.library.take_in(id, bytes, Some(digest)).is_ok();
        match self.mesh.fetch_verdict(id, digest, accept).await {
            Ok(bytes) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Found);
                self.taken_in(id, digest, bytes, "mesh").await;
                true
            }
            Err(error) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Missing);
                tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "no peer has the file");
                self.fetch_from_bucket(id, Some(digest)).await == Some(true)
            }
        }
    }

    /// Offers a newly verified file to peers and attests to it.
    async fn taken_in(&self, id: FileId, digest: Digest, bytes: Vec<u8>, source: &str) {
        self.metrics.files_taken_in.inc();
        tracing::info!(task = %id.task_id, producer = %id.producer, digest = digest.short(), source, "verdict file accepted");
        self.serve(id, digest, bytes).await;
        self.attest(id, digest).await;
    }

    /// Fetches a producer's file from its bucket. Returns whether a valid file was found, with the
    /// announced digest where one is given; `None` when the bucket cannot be read.
    pub async fn fetch_from_bucket(&self, id: FileId, announced: Option<Digest>) -> Option<bool> {
        let bucket = self.buckets.get(&id.producer)?;
        match bucket.verdict(id.task_id).await {
            Ok(None) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Missing);
                Some(false)
            }
            Ok(Some(bytes)) => match self.library.take_in(id, &bytes, announced) {
                Ok(digest) => {
                    self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Found);
                    self.taken_in(id, digest, bytes.to_vec(), "bucket").await;
                    Some(true)
                }
                Err(error) => {
                    self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Refused);
                    self.metrics.files_refused.inc();
                    tracing::warn!(%error, "refused a verdict file from a bucket");
                    Some(false)
                }
            },
            Err(error) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Failed);
                tracing::warn!(task = %id.task_id, producer = %id.producer, %error, "failed to read a peer's bucket");
                None
            }
        }
    }

    /// Fetches the certified files that we do not hold.
    pub async fn fetch_certified(&self) {
        for (id, digest) in self.known.certified() {
            if !self.library.holds_digest(id, digest) {
                self.fetch_once(id, digest).await;
            }
        }
    }
}

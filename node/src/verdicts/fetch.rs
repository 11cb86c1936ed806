//! Fetching of other validators' verdict files: from peers, else from the producer's bucket.

use std::sync::{Arc, Mutex, PoisonError};

use leoma_protocol::mesh::{Acceptance, MeshError};
use leoma_protocol::verdict::VerifiedVerdict;
use leoma_protocol::{Digest, FileId};

use crate::metrics::{FetchOutcome, FetchSource};

use super::exchange::Exchange;
use super::library::LibraryError;

impl Exchange {
    /// Fetches an announced or certified file in the background, unless we hold it, for as long as
    /// it is needed.
    pub(super) fn fetch_in_background(&self, id: FileId, digest: Digest) {
        if self.library.holds_digest(id, digest) {
            return;
        }
        let Some(wanted) = self.fetches.want(id, digest) else { return };
        let this = self.clone();
        tokio::spawn(async move {
            let _wanted = wanted;
            let attempt = || async {
                this.library.holds_digest(id, digest) || this.fetch_now(id, digest).await
            };
            if !this.fetches.retry((id, digest), attempt).await {
                tracing::debug!(task = %id.task_id, producer = %id.producer, digest = digest.short(), "fetches this verdict file no longer, nothing needs it");
            }
        });
    }

    /// Fetches a file now, from any peer that holds it, else from its producer's bucket. Returns
    /// whether we hold it then.
    pub async fn fetch_once(&self, id: FileId, digest: Digest) -> bool {
        if self.library.holds_digest(id, digest) {
            return true;
        }
        let Some(_place) = self.fetches.place(id.producer).await else { return false };
        self.library.holds_digest(id, digest) || self.fetch_now(id, digest).await
    }

    /// Peers first: a bucket gets the file a little later.
    async fn fetch_now(&self, id: FileId, digest: Digest) -> bool {
        let taken: Mutex<Option<VerifiedVerdict>> = Mutex::new(None);
        let accept = |bytes: Arc<Vec<u8>>| async {
            let found = self.take_in(id, bytes, digest).await;
            match found {
                Ok(verified) => {
                    *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(verified);
                    Acceptance::Taken
                }
                Err(error) if error.is_ours() => {
                    tracing::error!(task = %id.task_id, producer = %id.producer, %error, "failed to accept a verdict file, through no fault of its sender");
                    Acceptance::OwnFault
                }
                Err(_) => Acceptance::Refused,
            }
        };
        let fetched = self.mesh.fetch_verdict(id, digest, accept).await;
        let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (fetched, taken) {
            (Ok(bytes), Some(verified)) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Found);
                self.taken_in(verified, bytes, "mesh").await;
                true
            }
            (Err(MeshError::OwnFault), _) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Failed);
                false
            }
            (fetched, _) => {
                self.metrics.fetched(FetchSource::Mesh, FetchOutcome::Missing);
                if let Err(error) = fetched {
                    tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "no peer has the file");
                }
                self.fetch_from_bucket(id, digest).await
            }
        }
    }

    async fn take_in(
        &self,
        id: FileId,
        bytes: Arc<Vec<u8>>,
        digest: Digest,
    ) -> Result<VerifiedVerdict, LibraryError> {
        let library = self.library.clone();
        self.state.on_disk(move |_| library.take_in(id, &bytes, Some(digest))).await
    }

    /// Offers a newly verified file to peers, and attests to it if it passes the checks.
    async fn taken_in(&self, verified: VerifiedVerdict, bytes: Arc<Vec<u8>>, source: &str) {
        let (id, digest) = (verified.id, verified.digest);
        self.metrics.files_taken_in.inc();
        tracing::info!(task = %id.task_id, producer = %id.producer, digest = digest.short(), source, "verdict file accepted");
        self.serve(id, digest, bytes).await;
        let arrived = self.heads.borrow().number;
        self.consider_in_background(verified, arrived);
    }

    /// Fetches a producer's announced file from its bucket. Returns whether it was found there.
    async fn fetch_from_bucket(&self, id: FileId, announced: Digest) -> bool {
        let Some(bucket) = self.buckets.get(&id.producer) else { return false };
        let bytes = match bucket.verdict(id.task_id).await {
            Ok(Some(bytes)) => Arc::new(bytes.to_vec()),
            Ok(None) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Missing);
                return false;
            }
            Err(error) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Failed);
                tracing::warn!(task = %id.task_id, producer = %id.producer, %error, "failed to read a peer's bucket");
                return false;
            }
        };
        match self.take_in(id, Arc::clone(&bytes), announced).await {
            Ok(verified) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Found);
                self.taken_in(verified, bytes, "bucket").await;
                true
            }
            Err(error) => {
                self.metrics.fetched(FetchSource::Bucket, FetchOutcome::Refused);
                self.metrics.files_refused.inc();
                tracing::warn!(%error, "refused a verdict file from a bucket");
                if let LibraryError::OtherDigest { found, .. } = error
                    && let Some(signed) = found.envelope
                    && let Err(error) = self.mesh.show_envelope(signed).await
                {
                    tracing::debug!(%error, "failed to show the mesh another file's envelope");
                }
                false
            }
        }
    }
}

//! Our own voice: files are announced and attested to, once it is known that nobody else signs for
//! this hotkey.

use leoma_protocol::mesh::{MeshError, Voice};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{Digest, FileId, TaskId};

use crate::state::{StateError, StoredFile};

use super::exchange::Exchange;

impl Exchange {
    /// Whether verdicts, attestations and weights may be signed: not before it is known that no
    /// other machine does.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.voice() == Voice::Alone
    }

    /// Returns when [`Self::may_sign`] holds; never while our hotkey is alive elsewhere.
    pub async fn until_may_sign(&self) {
        let mut voice = self.voice.clone();
        if voice.wait_for(|voice| *voice == Voice::Alone).await.is_err() {
            // The mesh has ended, and we with it.
            std::future::pending::<()>().await;
        }
    }

    /// Attests to a file that we hold. A file that cannot be attested to any more counts all the
    /// same where it is certified by others.
    pub async fn attest(&self, id: FileId, digest: Digest) {
        if !self.may_sign() {
            return; // What is held by then is attested to when we may: see `speak_up`.
        }
        match self.mesh.attest(id, digest).await {
            Ok(_) => {}
            Err(MeshError::NotSafe(error)) => {
                tracing::warn!(task = %id.task_id, producer = %id.producer, %error, "not attested")
            }
            Err(error) => {
                tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "attestation not sent")
            }
        }
    }

    /// Announces our own file, attests to it and serves it to peers.
    pub async fn announce(&self, verdict: &SignedVerdict) {
        let (id, digest) = (verdict.id, verdict.digest);
        self.serve(id, digest, verdict.bytes.clone()).await;
        if !self.may_sign() {
            return tracing::warn!(task = %id.task_id, "not announced: nothing is signed while this hotkey may run elsewhere too");
        }
        match self.signer.sign_announcement(self.library.network(), verdict) {
            Ok(announcement) => match self.mesh.announce(announcement).await {
                Ok(published) => {
                    tracing::info!(task = %id.task_id, digest = digest.short(), ?published, "verdict file announced")
                }
                Err(error) => tracing::warn!(task = %id.task_id, %error, "announcement not sent"),
            },
            Err(error) => tracing::error!(task = %id.task_id, %error, "not announced"),
        }
        self.attest(id, digest).await;
    }

    pub(super) async fn serve(&self, id: FileId, digest: Digest, bytes: Vec<u8>) {
        if let Err(error) = self.mesh.provide_verdict(id, digest, bytes).await {
            tracing::debug!(task = %id.task_id, %error, "file not served to peers");
        }
    }

    /// Serves the kept files of tasks from `first` on to peers, and speaks about them once we may.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn resume(&self, first: TaskId) -> Result<(), StateError> {
        for StoredFile { id, digest, bytes } in self.state.files_from(first)? {
            self.serve(id, digest, bytes).await;
        }
        let this = self.clone();
        tokio::spawn(async move {
            this.until_may_sign().await;
            if let Err(error) = this.speak_up(first).await {
                tracing::error!(%error, "kept files cannot be read, peers are not told of them again");
            }
        });
        Ok(())
    }

    /// Announces our own files again, as an announcement that waited for listeners when an earlier
    /// run ended is not on disk, and attests to all that we hold and whose certificate has not our
    /// word yet.
    async fn speak_up(&self, first: TaskId) -> Result<(), StateError> {
        tracing::info!("nobody else was heard to speak for this hotkey, signing from now on");
        let own = self.signer.hotkey();
        for StoredFile { id, digest, bytes } in self.state.files_from(first)? {
            if id.producer == own {
                self.announce(&SignedVerdict { id, digest, bytes }).await;
                continue;
            }
            if !self.known.has_vote_of(own, id) {
                self.attest(id, digest).await;
            }
        }
        Ok(())
    }
}

//! Our announcements and attestations. Nothing is signed before the mesh has found that no other
//! machine signs with this hotkey.

use leoma_protocol::mesh::{MeshError, Voice};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{Digest, FileId, TaskId};

use crate::state::{StateError, StoredFile};

use super::exchange::Exchange;

impl Exchange {
    /// Whether we may sign verdicts, attestations and weights: only once the mesh has found no other
    /// machine with this hotkey.
    pub fn may_sign(&self) -> bool {
        self.voice() == Voice::Alone
    }

    /// Waits until [`Self::may_sign`] holds; for ever while another machine runs this hotkey.
    pub async fn until_may_sign(&self) {
        let mut voice = self.voice.clone();
        if voice.wait_for(|voice| *voice == Voice::Alone).await.is_err() {
            // The mesh has ended: the validator is stopping.
            std::future::pending::<()>().await;
        }
    }

    /// Attests to a file that we hold. If we may no longer attest to it, it can still be certified
    /// by others.
    pub async fn attest(&self, id: FileId, digest: Digest) {
        if !self.may_sign() {
            return; // `speak_up` attests to everything we hold once we may sign.
        }
        match self.mesh.attest(id, digest).await {
            Ok(_) => {}
            Err(MeshError::NotSafe(error)) => {
                tracing::warn!(task = %id.task_id, producer = %id.producer, %error, "attestation refused by the signing guard")
            }
            Err(error) => {
                tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "failed to send an attestation")
            }
        }
    }

    /// Announces our own file, attests to it and serves it to peers.
    pub async fn announce(&self, verdict: &SignedVerdict) {
        let (id, digest) = (verdict.id, verdict.digest);
        self.serve(id, digest, verdict.bytes.clone()).await;
        if !self.may_sign() {
            return tracing::warn!(task = %id.task_id, "verdict file not announced: another machine may be running this hotkey, so nothing is signed");
        }
        match self.signer.sign_announcement(self.library.network(), verdict) {
            Ok(announcement) => match self.mesh.announce(announcement).await {
                Ok(published) => {
                    tracing::info!(task = %id.task_id, digest = digest.short(), ?published, "verdict file announced")
                }
                Err(error) => {
                    tracing::warn!(task = %id.task_id, %error, "failed to send the announcement of our verdict file")
                }
            },
            Err(error) => {
                tracing::error!(task = %id.task_id, %error, "failed to sign the announcement of our verdict file")
            }
        }
        self.attest(id, digest).await;
    }

    pub(super) async fn serve(&self, id: FileId, digest: Digest, bytes: Vec<u8>) {
        if let Err(error) = self.mesh.provide_verdict(id, digest, bytes).await {
            tracing::debug!(task = %id.task_id, %error, "failed to offer a verdict file to peers");
        }
    }

    /// Offers the stored files of tasks from `first` on to peers, then announces and attests to them
    /// once we may sign.
    pub async fn resume(&self, first: TaskId) -> Result<(), StateError> {
        for StoredFile { id, digest, bytes } in self.state.files_from(first)? {
            self.serve(id, digest, bytes).await;
        }
        let this = self.clone();
        tokio::spawn(async move {
            this.until_may_sign().await;
            if let Err(error) = this.speak_up(first).await {
                tracing::error!(%error, "failed to read the stored verdict files: they are not announced again");
            }
        });
        Ok(())
    }

    /// Announces our own files again, as an earlier run may have ended before its announcement was
    /// sent, and attests to all files whose certificate lacks our vote.
    async fn speak_up(&self, first: TaskId) -> Result<(), StateError> {
        tracing::info!("no other machine runs this hotkey, signing from now on");
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

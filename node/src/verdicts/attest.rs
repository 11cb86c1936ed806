//! Our announcements, attestations and disputes. Nothing is signed before the mesh has found that
//! no other machine signs with this hotkey.

use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::mesh::{MeshError, Voice};
use leoma_protocol::messages::{DisputeReason, Evidence, FileStatement};
use leoma_protocol::verdict::{SignedEnvelope, SignedVerdict, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Digest, FileId, TaskId};

use crate::state::{StateError, StoredFile};

use super::checks::Checked;
use super::exchange::Exchange;

/// How long a file whose block is ahead of our head is kept waiting: heads differ by a few blocks.
const AHEAD_PATIENCE: Duration = Duration::from_secs(120);

/// How long the next check of the miners is waited for: they are checked more often than that.
const MINERS_PATIENCE: Duration = Duration::from_secs(600);

impl Exchange {
    /// Whether we may sign verdicts, attestations and weights: only once the mesh has found no
    /// other machine with this hotkey, and the guard knows what peers have seen from us.
    pub fn may_sign(&self) -> bool {
        self.voice() == Voice::Alone && *self.recognised.borrow()
    }

    /// Waits until [`Self::may_sign`] holds; for ever while another machine runs this hotkey.
    pub async fn until_may_sign(&self) {
        let (mut voice, mut recognised) = (self.voice.clone(), self.recognised.subscribe());
        while !self.may_sign() {
            let changed = tokio::select! {
                changed = voice.changed() => changed,
                changed = recognised.changed() => changed,
            };
            if changed.is_err() {
                // The mesh has ended: the validator is stopping.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Checks a file that arrived at this head in the background, because that may take time, and
    /// attests to it or says why not.
    pub(super) fn consider_in_background(&self, verified: VerifiedVerdict, arrived: BlockNumber) {
        let this = self.clone();
        tokio::spawn(async move { this.consider(verified, Some(arrived)).await });
    }

    /// `arrived` is not known of files from before a restart.
    async fn consider(&self, verified: VerifiedVerdict, arrived: Option<BlockNumber>) {
        let (id, digest) = (verified.id, verified.digest);
        self.accuse(&verified).await;
        if !self.may_sign() || self.mesh.may_attest(id.task_id).await.is_err() {
            return; // `speak_up` considers what we hold once we may sign. A late file stays late.
        }
        let mut checked = self.check(&verified, arrived).await;
        match checked {
            Checked::Ahead(block) => self.until_head(block).await,
            // The producer may have found the miner invalid before we did.
            Checked::Refused(DisputeReason::Complete { .. }) => self.until_miners_checked().await,
            Checked::Passed(_) | Checked::Refused(_) | Checked::Undecided(_) => {}
        }
        let again = match &checked {
            Checked::Passed(_)
            | Checked::Refused(DisputeReason::Plausible { .. })
            | Checked::Undecided(_) => false,
            Checked::Refused(_) | Checked::Ahead(_) => true,
        };
        if again {
            checked = self.check(&verified, arrived).await;
        }
        match checked {
            Checked::Passed(plausibility) => {
                self.note_passed(id, plausibility);
                self.attest(id, digest).await;
            }
            Checked::Refused(reason) => self.dispute(id, digest, reason).await,
            Checked::Ahead(_) => self.dispute(id, digest, DisputeReason::Envelope).await,
            Checked::Undecided(reason) => {
                tracing::warn!(task = %id.task_id, producer = %id.producer, digest = digest.short(), reason, "a verdict file is neither attested to nor disputed");
            }
        }
    }

    /// Waits until the chain's head reaches a block, but not long.
    async fn until_head(&self, block: BlockNumber) {
        let mut heads = self.heads.clone();
        let reached = heads.wait_for(|head| head.number >= block);
        let _too_late = tokio::time::timeout(AHEAD_PATIENCE, reached).await;
    }

    /// Waits for our next check of the miners, but not for ever.
    async fn until_miners_checked(&self) {
        let mut validity = self.validity.subscribe();
        let _too_late = tokio::time::timeout(MINERS_PATIENCE, validity.changed()).await;
    }

    /// Attests to a file that we hold. If we may no longer attest to it, it can still be certified
    /// by others.
    async fn attest(&self, id: FileId, digest: Digest) {
        if !self.may_sign() {
            return;
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

    async fn dispute(&self, id: FileId, digest: Digest, reason: DisputeReason) {
        tracing::warn!(task = %id.task_id, producer = %id.producer, digest = digest.short(), %reason, "not attesting to a verdict file");
        if let Err(error) = self.mesh.dispute(id, digest, reason).await {
            tracing::debug!(task = %id.task_id, producer = %id.producer, %error, "failed to send a dispute");
        }
    }

    /// Publishes evidence if we hold another file that the producer signed for the same task.
    async fn accuse(&self, verified: &VerifiedVerdict) {
        let Some(signed) = &verified.envelope else { return };
        let others = self.library.of(verified.id);
        let Some(other) = others.iter().find(|other| other.digest != verified.digest) else {
            return;
        };
        let (library, id, digest) = (self.library.clone(), verified.id, other.digest);
        let read = self.state.on_disk(move |state| state.file(id, Some(digest))).await;
        let other: Option<SignedEnvelope> = match read {
            Ok(file) => file.and_then(|file| library.check(id, &file.bytes).ok()?.envelope),
            Err(error) => {
                tracing::error!(%error, "failed to read a stored verdict file");
                None
            }
        };
        let Some(other) = other else { return };
        let [one, other] = [signed.clone(), other].map(FileStatement::Published);
        if let Err(error) = self.mesh.publish(Evidence::from_files(one, other).into()).await {
            tracing::debug!(%error, "failed to send evidence");
        }
    }

    /// Announces our own file, attests to it and serves it to peers.
    pub async fn announce(&self, verdict: &SignedVerdict) {
        let (id, digest) = (verdict.id, verdict.digest);
        self.serve(id, digest, Arc::new(verdict.bytes.clone())).await;
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

    pub(super) async fn serve(&self, id: FileId, digest: Digest, bytes: Arc<Vec<u8>>) {
        if let Err(error) = self.mesh.provide_verdict(id, digest, bytes).await {
            tracing::debug!(task = %id.task_id, %error, "failed to offer a verdict file to peers");
        }
    }

    /// Offers the stored files of tasks from `first` on to peers, then announces and attests to
    /// them once we may sign. One file after the other: all together may take gigabytes.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn resume(&self, first: TaskId) -> Result<(), StateError> {
        for (id, digest) in self.state.on_disk(move |state| state.file_ids_from(first)).await? {
            if let Some(StoredFile { bytes, .. }) = self.stored(id, digest).await? {
                self.serve(id, digest, Arc::new(bytes)).await;
            }
        }
        let this = self.clone();
        tokio::spawn(async move {
            while this.recognise().await {
                if let Err(error) = this.speak_up(first).await {
                    tracing::error!(%error, "failed to read the stored verdict files: they are not announced again");
                }
                // Another machine may run our hotkey for a while, and be stopped.
                let mut voice = this.voice.clone();
                if voice.wait_for(|voice| *voice != Voice::Alone).await.is_err() {
                    return;
                }
                this.recognised.send_replace(false);
            }
        });
        Ok(())
    }

    async fn stored(&self, id: FileId, digest: Digest) -> Result<Option<StoredFile>, StateError> {
        self.state.on_disk(move |state| state.file(id, Some(digest))).await
    }

    /// Announces our own files again, as an earlier run may have ended before its announcement was
    /// sent, and considers all files whose certificate lacks our vote.
    async fn speak_up(&self, first: TaskId) -> Result<(), StateError> {
        tracing::info!("no other machine runs this hotkey, signing from now on");
        let own = self.signer.hotkey();
        for (id, digest) in self.state.on_disk(move |state| state.file_ids_from(first)).await? {
            let late = self.mesh.may_attest(id.task_id).await.is_err();
            if id.producer != own && (late || self.known.has_vote_of(own, id)) {
                continue;
            }
            let Some(StoredFile { bytes, .. }) = self.stored(id, digest).await? else { continue };
            if id.producer == own {
                self.announce(&SignedVerdict { id, digest, bytes }).await;
            } else if let Ok(verified) = self.library.check(id, &bytes) {
                self.consider(verified, None).await;
            }
        }
        Ok(())
    }
}

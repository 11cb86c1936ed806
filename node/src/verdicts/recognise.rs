//! What peers have seen from us before we sign anything.
//!
//! A state folder that was restored from an old copy does not know what it signed after the copy
//! was made. Peers send us all they hold while we listen for a double of our hotkey. Whatever
//! carries our signature goes into the guard before the first new signature; if the guard did not
//! know any of it, nothing new is signed about tasks up to the newest of these.

use std::time::Duration;

use leoma_protocol::mesh::{MeshError, Voice};
use leoma_protocol::messages::Attestation;
use leoma_protocol::{Digest, Hotkey, Network, SigningSlot, SlotKind};

use crate::state::{StateError, TakenOver};

use super::exchange::Exchange;

/// Pause before the guard is tried again, when it cannot be written.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why it is not known what peers have seen from us.
#[derive(Debug, thiserror::Error)]
enum RecogniseError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Mesh(#[from] MeshError),
}

impl Exchange {
    /// Waits until no double is heard, then takes over what peers have seen from us. Until that is
    /// done, nothing may be signed. Returns whether the mesh still runs.
    pub(super) async fn recognise(&self) -> bool {
        let mut voice = self.voice.clone();
        if voice.wait_for(|voice| *voice == Voice::Alone).await.is_err() {
            return false;
        }
        loop {
            match self.take_over().await {
                Ok(TakenOver { sealed_up_to: None, .. }) => break,
                Ok(TakenOver { unknown, contradicting, sealed_up_to: Some(task) }) => {
                    tracing::error!(
                        unknown, contradicting, %task,
                        "peers have statements of ours that this state does not know: it was restored from an old copy, or another machine signs with this hotkey; nothing new is signed about tasks up to this one"
                    );
                    break;
                }
                Err(RecogniseError::Mesh(_)) => return false,
                Err(error) => {
                    tracing::error!(%error, "failed to record what peers have seen from us: nothing is signed yet");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
        self.recognised.send_replace(true);
        true
    }

    async fn take_over(&self) -> Result<TakenOver, RecogniseError> {
        let shown = ours(&self.mesh.attestations().await?, self.signer.hotkey());
        Ok(self.state.on_disk(move |state| state.take_over_signed(&shown)).await?)
    }
}

/// What our attestations say that we signed. We attest to our own file as soon as it is signed.
fn ours(attestations: &[Attestation], own: Hotkey) -> Vec<(SigningSlot, Digest)> {
    let slot = |kind, Network { netuid, .. }: Network, one: &Attestation| SigningSlot {
        kind,
        netuid,
        task_id: one.file.task_id,
        subject: one.file.producer,
    };
    let of_us = attestations.iter().filter(|one| one.attester == own);
    of_us
        .flat_map(|one| {
            let attested = Some((slot(SlotKind::Attestation, one.network, one), one.digest));
            let produced = (one.file.producer == own)
                .then(|| (slot(SlotKind::VerdictFile, one.network, one), one.digest));
            attested.into_iter().chain(produced)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{FileId, Netuid, Signature, TaskId};

    use super::*;

    #[test]
    fn our_attestation_to_our_own_file_shows_both_signatures() {
        let [own, other] = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let attested = |attester, producer| Attestation {
            network,
            file: FileId { task_id: TaskId(7), producer },
            digest: Digest::of(b"file"),
            attester,
            signature: Signature([0; 64]),
        };
        let all = [attested(own, own), attested(own, other), attested(other, own)];
        let shown = ours(&all, own);
        let kinds: Vec<_> = shown.iter().map(|(slot, _)| (slot.kind, slot.subject)).collect();
        assert_eq!(
            kinds,
            [
                (SlotKind::Attestation, own),
                (SlotKind::VerdictFile, own),
                (SlotKind::Attestation, other)
            ]
        );
    }
}

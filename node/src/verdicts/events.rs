//! Handling of the mesh's events.

use leoma_protocol::Hotkey;
use leoma_protocol::codec::Wire as _;
use leoma_protocol::mesh::{GrantBytes, MeshEvent};
use leoma_protocol::messages::{Certificate, Evidence};
use leoma_storage::Granted;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::state::StateError;

use super::exchange::Exchange;
use super::memory::{keep_address_book, keep_sequence};

impl Exchange {
    /// Handles the mesh's events until `stop`. An event that cannot be stored, as when the disk is
    /// full, still takes effect in memory.
    pub async fn run(self, mut events: mpsc::Receiver<MeshEvent>, stop: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
            };
            if let Err(error) = self.handle(event) {
                tracing::error!(%error, "failed to store an event of the mesh");
            }
        }
    }

    fn handle(&self, event: MeshEvent) -> Result<(), StateError> {
        match event {
            MeshEvent::PeerUp { hotkey, .. } => self.connection(hotkey, true),
            MeshEvent::PeerDown { hotkey, .. } => self.connection(hotkey, false),
            MeshEvent::Announcement(announcement) => {
                self.fetch_in_background(announcement.file, announcement.digest)
            }
            MeshEvent::AttestationCounted { attestation, have, need } => {
                let (task, producer) = (attestation.file.task_id, attestation.file.producer);
                tracing::debug!(%task, %producer, attester = %attestation.attester, have, need, "attestation counted");
            }
            MeshEvent::Certified(certificate) => self.certified(&certificate)?,
            MeshEvent::CertificateConflict { kept, other } => tracing::error!(
                task = %kept.file.task_id, producer = %kept.file.producer, kept = kept.digest.short(), other = other.digest.short(),
                "two certificates for one task and producer: at least a third of the validators signed twice"
            ),
            MeshEvent::Evidence(evidence) => self.equivocated(&evidence)?,
            MeshEvent::Grant { from, payload } => self.granted(from, &payload),
            MeshEvent::Doppelganger { hotkey, ours, peers } => {
                if ours {
                    tracing::error!(%hotkey, ?peers, "another machine runs this hotkey: stop one of the two and restart; nothing is signed until then");
                } else {
                    tracing::warn!(%hotkey, ?peers, "a validator runs on two machines at once");
                }
            }
            MeshEvent::Refused { peer, reason, by } => {
                tracing::info!(%peer, %reason, ?by, "handshake refused")
            }
            MeshEvent::LinkReset { hotkey, .. } => {
                tracing::info!(%hotkey, "closed a one-sided connection, dialling again")
            }
            MeshEvent::Banned { peer, hotkey } => {
                tracing::warn!(%peer, hotkey = hotkey.map(|hotkey| hotkey.to_string()), "peer banned temporarily");
            }
            MeshEvent::Undelivered { topic } => {
                tracing::warn!(
                    ?topic,
                    "no peer received a message in time, peers will get it by catch-up"
                )
            }
            MeshEvent::AddressBook(book) => keep_address_book(&self.state, &book)?,
            MeshEvent::Sequence(sequence) => keep_sequence(&self.state, sequence)?,
            MeshEvent::Heard(_) => {}
        }
        Ok(())
    }

    fn connection(&self, hotkey: Hotkey, up: bool) {
        let peers = self.known.connected().len();
        tracing::info!(%hotkey, peers, "peer {}", if up { "up" } else { "down" });
    }

    fn certified(&self, certificate: &Certificate) -> Result<(), StateError> {
        let (id, digest) = (certificate.file, certificate.digest);
        let kept = certificate
            .to_wire()
            .map_or(Ok(()), |bytes| self.state.keep_certificate(id, digest, &bytes));
        tracing::info!(task = %id.task_id, producer = %id.producer, digest = digest.short(), attesters = certificate.votes.len(), "file certified");
        self.fetch_in_background(id, digest);
        kept
    }

    fn equivocated(&self, evidence: &Evidence) -> Result<(), StateError> {
        let key = evidence.key();
        let task_id = key.file.task_id;
        let kept = evidence
            .to_wire()
            .map_or(Ok(()), |bytes| self.state.keep_evidence(task_id, key.accused, &bytes));
        tracing::warn!(task = %task_id, validator = %key.accused, as_producer = key.as_producer, "validator signed two statements about one task");
        kept
    }

    fn granted(&self, from: Hotkey, payload: &GrantBytes) {
        match self.buckets.grant(from, payload.as_slice()) {
            Ok(Granted::Stored) => tracing::info!(%from, "bucket access granted"),
            Ok(Granted::StaticWins) => {
                tracing::debug!(%from, "bucket access granted, but PEER_VALIDATORS takes precedence")
            }
            Err(error) => tracing::warn!(%from, %error, "refused a peer's bucket grant"),
        }
    }
}

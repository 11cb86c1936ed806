//! Handling of the mesh's events.

use leoma_protocol::codec::Wire as _;
use leoma_protocol::mesh::{GrantBytes, MeshEvent};
use leoma_protocol::messages::{Certificate, Dispute, Evidence};
use leoma_protocol::{Hotkey, TaskId};
use leoma_storage::Granted;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::state::MeshRow;

use super::exchange::Exchange;
use super::keeper::{Keeper, Kept};

impl Exchange {
    /// Handles the mesh's events until `stop`. What is to be stored is written beside this loop, so
    /// that a slow disk holds up nothing.
    pub async fn run(self, mut events: mpsc::Receiver<MeshEvent>, stop: CancellationToken) {
        let keeper = Keeper::start(self.state.clone());
        while let Some(Some(event)) = stop.run_until_cancelled(events.recv()).await {
            self.handle(event, &keeper);
        }
        self.fetches.end();
    }

    fn handle(&self, event: MeshEvent, keeper: &Keeper) {
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
            MeshEvent::Certified(certificate) => self.certified(&certificate, keeper),
            MeshEvent::CertificateConflict { kept, other } => tracing::error!(
                task = %kept.file.task_id, producer = %kept.file.producer, kept = kept.digest.short(), other = other.digest.short(),
                "two certificates for one task and producer: more validators signed twice than may lie"
            ),
            MeshEvent::Evidence(evidence) => equivocated(&evidence, keeper),
            MeshEvent::Disputed { dispute, proven } => disputed(&dispute, proven, keeper),
            MeshEvent::Outdated { oldest } => self.outdated(oldest),
            MeshEvent::Grant { from, payload } => self.granted(from, &payload),
            MeshEvent::Doppelganger { hotkey, ours, peers } => {
                if ours {
                    tracing::error!(%hotkey, ?peers, "another machine runs this hotkey: stop one of the two; nothing is signed until it has fallen silent");
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
            MeshEvent::AddressBook(book) => keeper.keep(Kept::AddressBook(book)),
            MeshEvent::Sequence(sequence) => keeper.keep(Kept::Sequence(sequence)),
        }
    }

    fn connection(&self, hotkey: Hotkey, up: bool) {
        let peers = self.known.connected().len();
        tracing::info!(%hotkey, peers, "peer {}", if up { "up" } else { "down" });
    }

    fn certified(&self, certificate: &Certificate, keeper: &Keeper) {
        let (id, digest) = (certificate.file, certificate.digest);
        if let Ok(bytes) = certificate.to_wire() {
            keeper.keep(Kept::Row(MeshRow::Certificate { id, digest, bytes }));
        }
        tracing::info!(task = %id.task_id, producer = %id.producer, digest = digest.short(), attesters = certificate.votes.len(), "file certified");
        self.fetch_in_background(id, digest);
    }

    /// Forgets what nothing looks back on any more, whether or not weights are set here.
    fn outdated(&self, oldest: TaskId) {
        self.forget_passed_before(oldest);
        self.fetches.forget_before(oldest);
        let (library, state) = (self.library.clone(), self.state.clone());
        tokio::spawn(async move {
            if let Err(error) = state.on_disk(move |_| library.prune_before(oldest)).await {
                tracing::warn!(%error, "failed to forget old verdict files");
            }
        });
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

fn equivocated(evidence: &Evidence, keeper: &Keeper) {
    let key = evidence.key();
    let task_id = key.file.task_id;
    if let Ok(bytes) = evidence.to_wire() {
        keeper.keep(Kept::Row(MeshRow::Evidence { task_id, accused: key.accused, bytes }));
    }
    tracing::warn!(task = %task_id, validator = %key.accused, as_producer = key.as_producer, "validator signed two statements about one task");
}

fn disputed(dispute: &Dispute, proven: bool, keeper: &Keeper) {
    let Dispute { file, disputer, reason, .. } = dispute;
    if let Ok(bytes) = dispute.to_wire() {
        keeper.keep(Kept::Row(MeshRow::Dispute { id: *file, disputer: *disputer, bytes }));
    }
    tracing::info!(task = %file.task_id, producer = %file.producer, %disputer, %reason, "a validator does not attest to a verdict file");
    if proven {
        tracing::warn!(task = %file.task_id, producer = %file.producer, "a dispute is proven: nothing of this producer is attested to for a lookback");
    }
}

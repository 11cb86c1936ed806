//! The validator's end of a mesh.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};

use super::config::MeshError;
use super::core::{Holdings, Published, Voice};
use super::status::MeshStatus;
use crate::hello::PeerIdBytes;
use crate::messages::{
    Address, Announcement, Attestation, Dispute, DisputeDraft, DisputeReason, Evidence, Gossip,
    MessageError, MinerReport, MinerTally, TaskList,
};
use crate::verdict::SignedEnvelope;
use crate::{
    BlockNumber, Digest, FileId, GrantBytes, Hotkey, HotkeySigner, Network, NotSafe, TaskId,
};

/// Commands that may wait for the mesh: far more than a validator sends at a time.
pub(super) const MAX_WAITING_COMMANDS: usize = 256;
/// Peers that are asked for one file, one after the other.
const MAX_PEERS_ASKED: usize = 16;

#[derive(Debug)]
pub(super) enum Command {
    Publish(Box<Gossip>, oneshot::Sender<Result<Published, MessageError>>),
    MayAttest(TaskId, oneshot::Sender<Result<(), MessageError>>),
    Envelope(Box<SignedEnvelope>),
    Allowlists(Vec<TaskList>),
    Head(BlockNumber),
    Dial(Address),
    Forget(Address),
    Grant(Option<GrantBytes>),
    Provide(FileId, Digest, Arc<Vec<u8>>),
    Holders(FileId, Digest, oneshot::Sender<Vec<PeerIdBytes>>),
    FetchFrom(PeerIdBytes, FileId, Digest, oneshot::Sender<Option<Vec<u8>>>),
    BlameForVerdict(PeerIdBytes),
    Attestations(oneshot::Sender<Vec<Attestation>>),
    Evidence(oneshot::Sender<Vec<Evidence>>),
    Disputes(oneshot::Sender<Vec<Dispute>>),
    MinerTally(oneshot::Sender<BTreeMap<Hotkey, MinerTally>>),
    MinerReports(oneshot::Sender<Vec<Arc<MinerReport>>>),
    Status(oneshot::Sender<MeshStatus>),
    Shutdown(oneshot::Sender<()>),
}

/// What a caller says about a fetched file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Acceptance {
    /// It is the requested one, and was taken in.
    Taken,
    /// It is not: the peer that sent it is blamed, and the next one is asked.
    Refused,
    /// It could not be taken in for a reason that is ours, such as a full disk. Nobody is blamed,
    /// and nobody else is asked.
    OwnFault,
}

/// Whether a file is the requested one, where taking it in cannot fail.
impl From<bool> for Acceptance {
    fn from(requested: bool) -> Self {
        if requested { Self::Taken } else { Self::Refused }
    }
}

/// Talks to a running mesh. Clones talk to the same one.
#[derive(Clone, Debug)]
pub struct MeshHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) network: Network,
    pub(super) signer: HotkeySigner,
    pub(super) peer: PeerIdBytes,
    pub(super) voice: watch::Receiver<Voice>,
    pub(super) holdings: watch::Receiver<Arc<Holdings>>,
}

impl MeshHandle {
    /// Our libp2p identity.
    pub fn peer(&self) -> PeerIdBytes {
        self.peer
    }

    /// Whether we may sign for our hotkey, now and as it changes. Ask here before signing
    /// attestations, verdict files or weights.
    pub fn voice(&self) -> watch::Receiver<Voice> {
        self.voice.clone()
    }

    /// What to count with, now and as it changes: certificates, equivocations and who is
    /// connected. The last snapshot stays readable when the mesh has stopped.
    pub fn holdings(&self) -> watch::Receiver<Arc<Holdings>> {
        self.holdings.clone()
    }

    async fn tell(&self, command: Command) -> Result<(), MeshError> {
        self.commands.send(command).await.map_err(|_| MeshError::Stopped)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, MeshError> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| MeshError::Stopped)
    }

    /// Publishes a signed message. While nobody is subscribed to its topic, it is kept and goes out
    /// later.
    ///
    /// # Errors
    /// [`MeshError::Refused`] for a message that others would refuse, [`MeshError::Stopped`].
    pub async fn publish(&self, message: Gossip) -> Result<Published, MeshError> {
        Ok(self.ask(|reply| Command::Publish(Box::new(message), reply)).await??)
    }

    /// Announces our verdict file. While nobody is subscribed, the announcement is kept and goes
    /// out later.
    ///
    /// # Errors
    /// [`MeshError::Refused`] for an announcement that others would refuse, [`MeshError::Stopped`].
    pub async fn announce(&self, announcement: Announcement) -> Result<Published, MeshError> {
        self.publish(Gossip::Announcement(announcement)).await
    }

    /// Signs and publishes an attestation that we fetched and verified the file with this digest.
    /// Attesting to the same digest again is harmless.
    ///
    /// # Errors
    /// [`MeshError::Refused`] after the task's deadline for attestations, before anything is
    /// signed; [`MeshError::NotSafe`] after an attestation to another digest;
    /// [`MeshError::Stopped`].
    pub async fn attest(&self, file: FileId, digest: Digest) -> Result<Published, MeshError> {
        self.may_attest(file.task_id).await?;
        let (signer, network) = (self.signer.clone(), self.network);
        // The guard writes to a database.
        let signing =
            tokio::task::spawn_blocking(move || signer.sign_attestation(network, file, digest));
        let attestation =
            signing.await.map_err(|error| NotSafe::Unavailable(Box::new(error)))??;
        self.publish(Gossip::Attestation(attestation)).await
    }

    /// Whether an attestation of ours to a file of this task would come in time.
    ///
    /// # Errors
    /// [`MeshError::Refused`] if not, [`MeshError::Stopped`].
    pub async fn may_attest(&self, task: TaskId) -> Result<(), MeshError> {
        Ok(self.ask(|reply| Command::MayAttest(task, reply)).await??)
    }

    /// Signs and publishes that we do not attest to a file, and why.
    ///
    /// # Errors
    /// [`MeshError::Refused`] for a dispute that others would refuse, [`MeshError::Stopped`].
    pub async fn dispute(
        &self,
        file: FileId,
        digest: Digest,
        reason: DisputeReason,
    ) -> Result<Published, MeshError> {
        let draft = DisputeDraft { network: self.network, file, digest, reason };
        self.publish(Gossip::Dispute(self.signer.sign_dispute(draft))).await
    }

    /// Shows the mesh the envelope of a file that was found. If its producer announced another file
    /// of the task, both together are published as evidence.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn show_envelope(&self, signed: SignedEnvelope) -> Result<(), MeshError> {
        self.tell(Command::Envelope(Box::new(signed))).await
    }

    /// Sets the allowlists, with those that held earlier in the lookback. Connections of validators
    /// that are not on the newest list close at once.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn set_allowlists(&self, lists: Vec<TaskList>) -> Result<(), MeshError> {
        self.tell(Command::Allowlists(lists)).await
    }

    /// Tells the mesh the chain's head, which dates hellos, beacons and tasks.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn set_head(&self, head: BlockNumber) -> Result<(), MeshError> {
        self.tell(Command::Head(head)).await
    }

    /// Adds an address that is dialled whenever its owner is not connected, such as a validator's
    /// axon entry on the chain. A `/p2p/` part must match the key of the peer that answers.
    ///
    /// # Errors
    /// [`MeshError::Address`], [`MeshError::Stopped`].
    pub async fn dial(&self, address: Multiaddr) -> Result<(), MeshError> {
        let address = Address::new(address.to_string()).ok_or(MeshError::Address)?;
        self.tell(Command::Dial(address)).await
    }

    /// Undoes [`Self::dial`]: the address is no longer dialled. An open connection stays open.
    ///
    /// # Errors
    /// [`MeshError::Address`], [`MeshError::Stopped`].
    pub async fn forget(&self, address: Multiaddr) -> Result<(), MeshError> {
        let address = Address::new(address.to_string()).ok_or(MeshError::Address)?;
        self.tell(Command::Forget(address)).await
    }

    /// Sets the grant that every validator gets that is connected or connects later.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn set_grant(&self, grant: GrantBytes) -> Result<(), MeshError> {
        self.tell(Command::Grant(Some(grant))).await
    }

    /// Holds a verified verdict file for peers that ask for it.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn provide_verdict(
        &self,
        file: FileId,
        digest: Digest,
        bytes: impl Into<Arc<Vec<u8>>>,
    ) -> Result<(), MeshError> {
        self.tell(Command::Provide(file, digest, bytes.into())).await
    }

    /// Fetches a verdict file from a connected validator. Asks the producer and the attesters
    /// first, and blames every peer whose file `accept` refuses.
    ///
    /// # Errors
    /// [`MeshError::NotFound`], [`MeshError::OwnFault`], [`MeshError::Stopped`].
    pub async fn fetch_verdict<Accepting: Future<Output = Acceptance>>(
        &self,
        file: FileId,
        digest: Digest,
        accept: impl Fn(Arc<Vec<u8>>) -> Accepting,
    ) -> Result<Arc<Vec<u8>>, MeshError> {
        let holders = self.ask(|reply| Command::Holders(file, digest, reply)).await?;
        let mut asked = 0;
        for peer in holders.into_iter().take(MAX_PEERS_ASKED) {
            asked += 1;
            let fetched = self.ask(|reply| Command::FetchFrom(peer, file, digest, reply)).await?;
            let Some(bytes) = fetched.map(Arc::new) else { continue };
            match accept(Arc::clone(&bytes)).await {
                Acceptance::Taken => return Ok(bytes),
                Acceptance::Refused => self.tell(Command::BlameForVerdict(peer)).await?,
                Acceptance::OwnFault => return Err(MeshError::OwnFault),
            }
        }
        Err(MeshError::NotFound { file, digest, asked })
    }

    /// All attestations of the lookback, signed, in the order of file and digest.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn attestations(&self) -> Result<Vec<Attestation>, MeshError> {
        self.ask(Command::Attestations).await
    }

    /// The evidence of the lookback.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn evidence(&self) -> Result<Vec<Evidence>, MeshError> {
        self.ask(Command::Evidence).await
    }

    /// The disputes of the lookback.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn disputes(&self) -> Result<Vec<Dispute>, MeshError> {
        self.ask(Command::Disputes).await
    }

    /// What the fresh miner reports say of each miner.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn miner_tally(&self) -> Result<BTreeMap<Hotkey, MinerTally>, MeshError> {
        self.ask(Command::MinerTally).await
    }

    /// The newest miner report of each listed validator, fresh or not.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn miner_reports(&self) -> Result<Vec<Arc<MinerReport>>, MeshError> {
        self.ask(Command::MinerReports).await
    }

    /// The mesh's state, for an operator.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn status(&self) -> Result<MeshStatus, MeshError> {
        self.ask(Command::Status).await
    }

    /// Closes all connections and ends the mesh. Returns once that is done.
    pub async fn shutdown(&self) {
        // An error means that it has ended already.
        let _ = self.ask(Command::Shutdown).await;
    }
}

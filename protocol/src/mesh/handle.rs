//! The validator's end of a mesh.

use std::sync::Arc;

use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};

use super::config::MeshError;
use super::core::{Holdings, Published, Voice};
use super::status::MeshStatus;
use crate::hello::PeerIdBytes;
use crate::messages::{Address, Announcement, Attestation, Evidence, Gossip, MessageError};
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
    Allowlist(TaskId, Vec<Hotkey>),
    Interval(TaskId, u64),
    Head(BlockNumber),
    Dial(Address),
    Forget(Address),
    Grant(Option<GrantBytes>),
    Provide(FileId, Digest, Vec<u8>),
    Holders(FileId, Digest, oneshot::Sender<Vec<PeerIdBytes>>),
    FetchFrom(PeerIdBytes, FileId, Digest, oneshot::Sender<Option<Vec<u8>>>),
    BlameForVerdict(PeerIdBytes),
    Attestations(oneshot::Sender<Vec<Attestation>>),
    Evidence(oneshot::Sender<Vec<Evidence>>),
    Status(oneshot::Sender<MeshStatus>),
    Shutdown(oneshot::Sender<()>),
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
    /// [`MeshError::NotSafe`] after an attestation to another digest, [`MeshError::Refused`],
    /// [`MeshError::Stopped`].
    pub async fn attest(&self, file: FileId, digest: Digest) -> Result<Published, MeshError> {
        let (signer, network) = (self.signer.clone(), self.network);
        // The guard writes to a database.
        let signing =
            tokio::task::spawn_blocking(move || signer.sign_attestation(network, file, digest));
        let attestation =
            signing.await.map_err(|error| NotSafe::Unavailable(Box::new(error)))??;
        self.publish(Gossip::Attestation(attestation)).await
    }

    /// Sets the validators from a task on. Earlier tasks keep their list. Connections of validators
    /// that are no longer on the newest list close at once.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn set_allowlist_from(
        &self,
        task: TaskId,
        validators: Vec<Hotkey>,
    ) -> Result<(), MeshError> {
        self.tell(Command::Allowlist(task, validators)).await
    }

    /// Sets the number of blocks per task from a task on. Earlier tasks keep their numbers.
    ///
    /// # Errors
    /// [`MeshError::Stopped`].
    pub async fn set_interval_from(&self, task: TaskId, blocks: u64) -> Result<(), MeshError> {
        self.tell(Command::Interval(task, blocks)).await
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
        bytes: Vec<u8>,
    ) -> Result<(), MeshError> {
        self.tell(Command::Provide(file, digest, bytes)).await
    }

    /// Fetches a verdict file from a connected validator. Asks the producer and the attesters
    /// first, and blames every peer whose file `accept` refuses.
    ///
    /// # Errors
    /// [`MeshError::NotFound`], [`MeshError::Stopped`].
    pub async fn fetch_verdict(
        &self,
        file: FileId,
        digest: Digest,
        accept: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, MeshError> {
        let holders = self.ask(|reply| Command::Holders(file, digest, reply)).await?;
        let mut asked = 0;
        for peer in holders.into_iter().take(MAX_PEERS_ASKED) {
            asked += 1;
            match self.ask(|reply| Command::FetchFrom(peer, file, digest, reply)).await? {
                Some(bytes) if accept(&bytes) => return Ok(bytes),
                Some(_) => self.tell(Command::BlameForVerdict(peer)).await?,
                None => {}
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

//! What a mesh is started with.

use std::net::IpAddr;
use std::sync::Arc;

use libp2p::Multiaddr;
use libp2p::identity::Keypair;

use super::core::limits::GOSSIP_PER_SECOND;
use super::core::{Restored, Timing};
use crate::messages::TaskList;
use crate::{BlockNumber, ConsensusSchedule, HotkeySigner, Network};

/// The process's resident memory beyond which connections are refused. The whole validator counts,
/// models included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryLimit {
    /// This share of the machine's memory, or of the container's if that is less.
    Share(f64),
    /// This many bytes.
    Bytes(usize),
}

/// Bounds that an operator may change.
#[derive(Clone, Copy, Debug)]
pub struct MeshLimits {
    /// Inbound connections that may be in their handshake.
    pub pending_inbound: u32,
    /// Dials that may be under way.
    pub pending_outbound: u32,
    /// Established inbound connections: 256 validators, and as many that have not proved
    /// themselves.
    pub established_inbound: u32,
    /// Established connections in all.
    pub established: u32,
    /// Established connections to one peer: each side may have dialled once on each of two
    /// transports.
    pub per_peer: u32,
    /// Inbound connections from one IP address that may be in their handshake.
    pub pending_per_ip: usize,
    /// Inbound connections from one IP address that proved no hotkey. Validators' connections do
    /// not count.
    pub unproven_per_ip: usize,
    /// Resident memory of the process beyond which connections are refused.
    pub memory: MemoryLimit,
    /// Bytes of verdict files held for peers; the oldest tasks give way.
    pub held_verdict_bytes: usize,
    /// Gossip messages per second that a validator may send us in the long run, repetitions and
    /// control messages counted apart. Four times as many may come at once.
    pub gossip_per_second: u32,
}

impl Default for MeshLimits {
    fn default() -> Self {
        Self {
            pending_inbound: 256,
            pending_outbound: 64,
            established_inbound: 512,
            established: 768,
            per_peer: 4,
            // 64 validators on one host may start at once; this is a tenth of what may be pending
            // in all.
            pending_per_ip: 24,
            unproven_per_ip: 64,
            // Models and videos come and go. The rest is for the system's cache and other programs.
            memory: MemoryLimit::Share(0.8),
            held_verdict_bytes: 64 * 1024 * 1024,
            gossip_per_second: GOSSIP_PER_SECOND,
        }
    }
}

/// Relaying for validators that cannot be dialled. Off by default.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    /// Whether to relay connections between proven validators that cannot reach each other.
    pub serve: bool,
    /// Relays through which others reach us, each address ending with a peer id.
    pub via: Vec<Multiaddr>,
}

impl Relay {
    /// Whether relayed connections are used at all.
    pub(super) fn is_used(&self) -> bool {
        self.serve || !self.via.is_empty()
    }
}

/// What a mesh is started with. `Debug` shows no key.
#[derive(Clone)]
pub struct MeshConfig {
    /// Our libp2p identity. Its owner keeps it across restarts.
    pub keypair: Keypair,
    /// Where to listen; TCP and QUIC addresses.
    pub listen: Vec<Multiaddr>,
    /// Where others reach us, if not where we listen.
    pub external: Vec<Multiaddr>,
    /// Whether and how connections are relayed.
    pub relay: Relay,
    /// Addresses to dial first. They are never forgotten.
    pub bootnodes: Vec<Multiaddr>,
    /// Chain and subnet.
    pub network: Network,
    /// The consensus parameters by block; the digest of those in force is in every hello.
    pub consensus: Arc<ConsensusSchedule>,
    /// Signs for our hotkey.
    pub signer: HotkeySigner,
    /// The allowlists, with those that held earlier in the lookback.
    pub allowlists: Vec<TaskList>,
    /// The chain's head.
    pub head: BlockNumber,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// What an earlier run stored.
    pub restored: Restored,
    /// Bounds.
    pub limits: MeshLimits,
    /// Times.
    pub timing: Timing,
}

impl std::fmt::Debug for MeshConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshConfig")
            .field("peer", &self.keypair.public().to_peer_id())
            .field("listen", &self.listen)
            .field("bootnodes", &self.bootnodes)
            .field("network", &self.network)
            .field("signer", &self.signer)
            .field("allowlists", &self.allowlists.len())
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl MeshConfig {
    /// A configuration with the default bounds and times, no bootnodes, and nothing restored.
    pub fn new(
        keypair: Keypair,
        network: Network,
        consensus: Arc<ConsensusSchedule>,
        allowlists: Vec<TaskList>,
        signer: HotkeySigner,
    ) -> Self {
        Self {
            keypair,
            listen: Vec::new(),
            external: Vec::new(),
            relay: Relay::default(),
            bootnodes: Vec::new(),
            network,
            consensus,
            allowlists,
            signer,
            head: BlockNumber(0),
            mdns: false,
            restored: Restored::default(),
            limits: MeshLimits::default(),
            timing: Timing::default(),
        }
    }

    /// The TCP and QUIC addresses to listen on at `ip` and `port`. With port 0 the system chooses
    /// one for each.
    #[must_use]
    pub fn listen_on(ip: IpAddr, port: u16) -> [Multiaddr; 2] {
        use libp2p::multiaddr::Protocol;
        let base = Multiaddr::from(ip);
        [
            base.clone().with(Protocol::Tcp(port)),
            base.with(Protocol::Udp(port)).with(Protocol::QuicV1),
        ]
    }
}

impl MeshError {
    /// The error for an address that cannot be listened on. The transport's own text is empty if
    /// the system is the cause, so the causes are named.
    pub(super) fn of_listening(
        address: &Multiaddr,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        let causes = std::iter::successors(Some(error), |error| (*error).source());
        let is_taken = |error: &(dyn std::error::Error + 'static)| {
            let io = error.downcast_ref::<std::io::Error>();
            io.is_some_and(|io| io.kind() == std::io::ErrorKind::AddrInUse)
        };
        let (mut reason, mut taken) = (String::new(), false);
        for cause in causes {
            taken |= is_taken(cause);
            let text = cause.to_string();
            if !text.is_empty() && !reason.contains(&text) {
                reason = if reason.is_empty() { text } else { format!("{reason}: {text}") };
            }
        }
        if taken || reason.contains("in use") {
            reason.push_str(" (another process has the port? set LEOMA_MESH_LISTEN)");
        } else if reason.is_empty() {
            reason = format!("{error:?}");
        }
        Self::Listen { address: address.clone(), reason }
    }
}

/// Why the mesh did not start, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why not.
        reason: String,
    },
    /// A transport or the resolver cannot be set up.
    #[error("cannot set up the {what} transport: {reason}")]
    Transport {
        /// Which.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// Gossipsub refuses its settings.
    #[error("cannot set up gossip: {0}")]
    Gossip(String),
    /// Every other validator would refuse the message.
    #[error("the message would be refused")]
    Refused(#[from] crate::messages::MessageError),
    /// The message must not be signed.
    #[error(transparent)]
    NotSafe(#[from] crate::NotSafe),
    /// No connected peer has the file, or none sent one that the caller accepts.
    #[error(
        "no verdict file of task {} by {} with digest {} from {asked} peers",
        file.task_id, file.producer, digest.short()
    )]
    NotFound {
        /// The file.
        file: crate::FileId,
        /// The digest asked for.
        digest: crate::Digest,
        /// Peers that were asked.
        asked: usize,
    },
    /// The caller cannot take the file in, through no fault of a peer's.
    #[error("the verdict file could not be stored")]
    OwnFault,
    /// An address is longer than any that peers would take.
    #[error("the address is too long")]
    Address,
    /// The mesh has ended.
    #[error("the mesh has stopped")]
    Stopped,
}

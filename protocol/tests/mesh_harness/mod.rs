//! Meshes on loopback, and a peer that says whatever a test wants.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leoma_protocol::hello::{Hello, HelloDraft, PeerIdBytes};
use leoma_protocol::mesh::libp2p::futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _,
};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::request_response::{self, Message, OutboundRequestId, ProtocolSupport};
use leoma_protocol::mesh::libp2p::swarm::SwarmEvent;
use leoma_protocol::mesh::libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use leoma_protocol::mesh::{Mesh, MeshConfig, MeshEvent, MeshHandle, MeshStatus, Timing};
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid, Network, TaskId,
};
use sp_core::{Pair as _, sr25519};

pub const HEAD: BlockNumber = BlockNumber(10_000);
pub const INTERVAL: u64 = 100;
/// Far longer than anything takes on an idle machine: a full one must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

pub fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
}

pub fn hotkeys(numbers: impl IntoIterator<Item = u8>) -> Vec<Hotkey> {
    numbers.into_iter().map(|number| signer(number).hotkey()).collect()
}

pub fn quick() -> Timing {
    Timing {
        tick: Duration::from_millis(50),
        hello_deadline: Duration::from_secs(10),
        refusal_linger: Duration::from_millis(300),
        beacon_interval: Duration::from_millis(500),
        beacon_gap: Duration::from_millis(100),
        link_grace: Duration::from_secs(5),
        redial_first: Duration::from_millis(200),
        redial_most: Duration::from_secs(2),
        catchup_pause: Duration::from_millis(500),
        ..Timing::default()
    }
}

pub fn config(number: u8, members: &[Hotkey]) -> MeshConfig {
    let mut config =
        MeshConfig::new(Keypair::generate_ed25519(), network(), ConsensusParams::default(), INTERVAL, signer(number));
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
    config.allowlist = members.to_vec();
    config.head = HEAD;
    config.timing = quick();
    config
}

/// A mesh, and everything it said so far.
pub struct Node {
    pub handle: MeshHandle,
    pub log: Arc<Mutex<Vec<MeshEvent>>>,
    pub hotkey: Hotkey,
}

impl Node {
    pub fn start(config: MeshConfig) -> Self {
        let hotkey = config.signer.hotkey();
        let (handle, mut events) = Mesh::spawn(config).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                writer.lock().unwrap().push(event);
            }
        });
        Self { handle, log, hotkey }
    }

    pub async fn status(&self) -> MeshStatus {
        self.handle.status().await.unwrap()
    }

    /// A TCP address of this node, with its peer id.
    pub async fn address(&self) -> Multiaddr {
        self.addresses("/tcp/").await
    }

    pub async fn addresses(&self, transport: &str) -> Multiaddr {
        let found = until("a listen address", || async {
            let listening = self.status().await.listening;
            listening.into_iter().find(|address| address.as_str().contains(transport))
        });
        found.await.as_str().parse().unwrap()
    }

    pub fn heard<T>(&self, pick: impl Fn(&MeshEvent) -> Option<T>) -> Vec<T> {
        self.log.lock().unwrap().iter().filter_map(pick).collect()
    }

    pub async fn until_heard<T>(&self, what: &str, pick: impl Fn(&MeshEvent) -> Option<T>) -> T {
        until(what, || async { self.heard(&pick).pop() }).await
    }

    pub async fn mutual(&self) -> usize {
        self.status().await.peers.iter().filter(|peer| peer.view.mutual).count()
    }

    pub async fn until_mutual(&self, peers: usize) {
        until("mutual links", || async { (self.mutual().await >= peers).then_some(()) }).await;
    }
}

/// Polls until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut poll: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = poll().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A mesh of `count` validators, all connected through the first.
pub async fn mesh(count: u8) -> Vec<Node> {
    let members = hotkeys(1..=count);
    let first = Node::start(config(1, &members));
    let bootnode = first.address().await;
    let mut nodes = vec![first];
    for number in 2..=count {
        let mut config = config(number, &members);
        config.bootnodes = vec![bootnode.clone()];
        nodes.push(Node::start(config));
    }
    for node in &nodes {
        node.until_mutual(usize::from(count) - 1).await;
    }
    nodes
}

/// A verdict file that exists by name only.
pub fn verdict(signer: &HotkeySigner, task: u64, content: &[u8]) -> SignedVerdict {
    let id = FileId { task_id: TaskId(task), producer: signer.hotkey() };
    SignedVerdict { id, digest: Digest::of(content), bytes: content.to_vec() }
}

/// Bytes in, bytes out.
#[derive(Clone, Default)]
pub struct Raw;

#[allow(clippy::manual_async_fn, reason = "the trait is written so")]
impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> std::io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> std::io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read_request(protocol, io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> std::io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> std::io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.write_request(protocol, io, bytes).await
    }
}

/// A peer that speaks one request protocol, and says what it likes.
pub struct Hostile {
    pub swarm: Swarm<request_response::Behaviour<Raw>>,
    pub peer: PeerId,
}

impl Hostile {
    pub fn new(protocol: &'static str) -> Self {
        Self::with_key(protocol, Keypair::generate_ed25519())
    }

    pub fn with_key(protocol: &'static str, keypair: Keypair) -> Self {
        let peer = keypair.public().to_peer_id();
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| {
                let protocols = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
                request_response::Behaviour::with_codec(Raw, protocols, request_response::Config::default())
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
            .build();
        Self { swarm, peer }
    }

    pub fn peer_bytes(&self) -> PeerIdBytes {
        PeerIdBytes::new(&self.peer.to_bytes()).unwrap()
    }

    pub fn hello(&self, signer: &HotkeySigner, change: impl FnOnce(&mut HelloDraft)) -> Hello {
        let mut draft = HelloDraft {
            network: network(),
            peer: self.peer_bytes(),
            params: ConsensusParams::default().digest(),
            seq: 1,
            expires: BlockNumber(HEAD.0 + 100),
        };
        change(&mut draft);
        signer.sign_hello(draft)
    }

    pub async fn connect(&mut self, address: &Multiaddr) -> PeerId {
        self.swarm.dial(address.clone()).unwrap();
        let connected = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => return peer_id,
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, connected).await.expect("a connection")
    }

    /// Sends a request and waits for its answer; `None` when there is none.
    pub async fn ask(&mut self, peer: PeerId, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let asked: OutboundRequestId = self.swarm.behaviour_mut().send_request(&peer, bytes);
        let answered = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::Behaviour(request_response::Event::Message {
                        message: Message::Response { request_id, response },
                        ..
                    }) if request_id == asked => return Some(response),
                    SwarmEvent::Behaviour(request_response::Event::OutboundFailure { request_id, .. })
                        if request_id == asked =>
                    {
                        return None;
                    }
                    SwarmEvent::ConnectionClosed { num_established: 0, .. } => return None,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("an answer or a failure")
    }

    /// Waits until the other side has closed the connection; returns the requests that came meanwhile.
    pub async fn until_closed(&mut self) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        let closed = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::ConnectionClosed { num_established: 0, .. } => return,
                    SwarmEvent::Behaviour(request_response::Event::Message {
                        message: Message::Request { request, .. },
                        ..
                    }) => requests.push(request),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection to be closed");
        requests
    }
}

//! Meshes on loopback, and a peer that says whatever a test wants.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses a part")]

pub mod frames;
mod hostile;

use std::future::{Future, Ready, ready};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use hostile::{Hostile, Reading};
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{
    Acceptance, Mesh, MeshConfig, MeshEvent, MeshHandle, MeshStatus, Timing,
};
use leoma_protocol::messages::TaskList;
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, FileId, Hotkey, HotkeySigner,
    MemoryGuard, Netuid, Network, TaskId,
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

/// Parameters under which every validator has a turn at every task, and fifty tasks are open for
/// attestations at a time.
pub fn everybody_produces() -> ConsensusSchedule {
    ConsensusSchedule::from(params())
}

/// See [`everybody_produces`].
pub fn params() -> ConsensusParams {
    ConsensusParams { failover_grace: Some(1), settle_margin: 50, ..Default::default() }
}

/// One list for all tasks.
pub fn list_of(members: &[Hotkey]) -> TaskList {
    TaskList { from: TaskId(0), interval: INTERVAL, validators: members.to_vec() }
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
    let mut config = MeshConfig::new(
        Keypair::generate_ed25519(),
        network(),
        Arc::new(everybody_produces()),
        vec![list_of(members)],
        signer(number),
    );
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
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

    /// How many certificates this node counts with.
    pub fn certificates(&self) -> usize {
        self.handle.holdings().borrow().certificates.len()
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

/// Accepts the file with this digest.
pub fn only(digest: Digest) -> impl Fn(Arc<Vec<u8>>) -> Ready<Acceptance> {
    move |bytes| ready(Acceptance::from(Digest::of(&bytes) == digest))
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
    mesh_among(count, &hotkeys(1..=count), |_| ()).await
}

/// A mesh of `count` validators out of `members`, each configured by `adjust`.
pub async fn mesh_among(
    count: u8,
    members: &[Hotkey],
    adjust: impl Fn(&mut MeshConfig),
) -> Vec<Node> {
    let configured = |number| {
        let mut config = config(number, members);
        adjust(&mut config);
        config
    };
    let first = Node::start(configured(1));
    let bootnode = first.address().await;
    let mut nodes = vec![first];
    for number in 2..=count {
        let mut config = configured(number);
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

/// Lets `nodes` announce, attest to and certify a file of `task` by the first of them.
pub async fn agree(nodes: &[&Node], producer: &HotkeySigner, task: u64) {
    let file = verdict(producer, task, &task.to_be_bytes());
    nodes[0].handle.announce(producer.sign_announcement(network(), &file).unwrap()).await.unwrap();
    for node in nodes {
        let announced = |event: &MeshEvent| {
            matches!(event, MeshEvent::Announcement(a) if a.file == file.id).then_some(())
        };
        node.until_heard("the announcement", announced).await;
        node.handle.attest(file.id, file.digest).await.unwrap();
    }
    for node in nodes {
        let certified = |event: &MeshEvent| {
            matches!(event, MeshEvent::Certified(c) if c.file == file.id).then_some(())
        };
        node.until_heard("the certificate", certified).await;
    }
}

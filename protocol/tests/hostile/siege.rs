//! A siege: honest validators, one that turned hostile, and a bound on memory.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use leoma_protocol::Hotkey;
use leoma_protocol::hello::{HelloAnswer, HelloRefusal, PeerIdBytes};
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::{MeshConfig, MeshEvent, RefusedBy};
use tokio::sync::{Mutex, MutexGuard};

use super::harness::frames::GOSSIP_PROTOCOL;
use super::harness::*;

/// What all attacks together may add to the resident memory of this process, attackers and four
/// validators included. Some 80 MiB are used, most of them by the attackers. Without limits the
/// stuffed streams alone take more than this.
const MOST_GROWTH: usize = 384 * 1024 * 1024;
/// The hotkey number of the validator that turned hostile.
pub const INSIDER: u8 = 4;

pub fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

/// One test at a time; checks at its end that memory stayed bounded over all tests so far.
pub struct Turn(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

pub async fn turn() -> Turn {
    static TURNS: Mutex<()> = Mutex::const_new(());
    let turn = TURNS.lock().await;
    before_all();
    Turn(turn)
}

pub fn before_all() -> Option<usize> {
    static BEFORE: OnceLock<Option<usize>> = OnceLock::new();
    *BEFORE.get_or_init(resident)
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (Some(before), Some(now)) = (before_all(), resident()) else {
            println!("memory is not checked: there is no /proc here");
            return;
        };
        let growth = now.saturating_sub(before);
        println!("resident memory grew by {} MiB so far", growth >> 20);
        assert!(
            std::thread::panicking() || growth < MOST_GROWTH,
            "{} MiB of memory were taken",
            growth >> 20
        );
    }
}

/// Three honest validators that know each other. The fourth on the list is the insider.
pub struct Siege {
    pub nodes: Vec<Node>,
    pub members: Vec<Hotkey>,
    pub addresses: Vec<Multiaddr>,
    pub next_task: u64,
}

/// Patient enough for a machine that is busy with an attack.
pub fn patient(config: &mut MeshConfig) {
    config.timing.link_grace = PATIENCE;
    config.timing.hello_deadline = PATIENCE;
}

pub async fn besieged() -> Siege {
    besieged_with(patient).await
}

pub async fn besieged_with(adjust: impl Fn(&mut MeshConfig)) -> Siege {
    let members = hotkeys(1..=INSIDER);
    let nodes = mesh_among(3, &members, adjust).await;
    let mut addresses = Vec::new();
    for node in &nodes {
        addresses.push(node.address().await);
    }
    Siege { nodes, members, addresses, next_task: 99 }
}

impl Siege {
    pub fn target(&self) -> (&Node, &Multiaddr) {
        (&self.nodes[0], &self.addresses[0])
    }

    /// The honest ones are connected as ever, never parted, and agree on something new.
    pub async fn hold(&mut self) {
        let honest: Vec<Hotkey> = self.nodes.iter().map(|node| node.hotkey).collect();
        for node in &self.nodes {
            let parted = node.heard(|event| match event {
                MeshEvent::PeerDown { hotkey, .. } if honest.contains(hotkey) => Some(*hotkey),
                MeshEvent::Banned { hotkey: Some(hotkey), .. } if honest.contains(hotkey) => {
                    Some(*hotkey)
                }
                _ => None,
            });
            assert!(parted.is_empty(), "honest validators parted: {parted:?}");
            until("honest links", || async {
                let peers = node.status().await.peers;
                let mutual = peers.iter().filter(|peer| {
                    peer.view.mutual && peer.view.hotkey.is_some_and(|k| honest.contains(&k))
                });
                (mutual.count() + 1 == honest.len()).then_some(())
            })
            .await;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let mut nodes = vec![node];
            nodes.extend(
                self.nodes
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != index)
                    .map(|(_, node)| node),
            );
            agree(&nodes, &signer(index as u8 + 1), self.next_task).await;
        }
        self.next_task -= 1;
    }

    /// A validator joins, knowing one address of the first one only. It comes from an address of
    /// its own if that is a QUIC address: a TCP dial on loopback is always from 127.0.0.1, wherever
    /// its validator listens.
    pub async fn joined_by(&self, number: u8, bootnode: Multiaddr) -> Node {
        let mut config = config(number, &self.members);
        patient(&mut config);
        config.listen = MeshConfig::listen_on(Ipv4Addr::new(127, 0, 0, 2).into(), 0).to_vec();
        config.bootnodes = vec![bootnode];
        let node = Node::start(config);
        node.until_mutual(3).await;
        node
    }
}

pub async fn score(node: &Node, peer: PeerIdBytes) -> Option<f64> {
    node.status()
        .await
        .peers
        .into_iter()
        .find(|status| status.view.peer == peer)
        .map(|status| status.view.score)
}

/// Waits until a connected peer is blamed for about `points`; blame fades from the first second on.
pub async fn until_blamed(node: &Node, peer: PeerIdBytes, points: f64, what: &str) {
    until(what, || async {
        score(node, peer).await.is_some_and(|score| score <= -points * 0.9).then_some(())
    })
    .await;
}

pub async fn until_turned_away(node: &Node, address: &Multiaddr, number: u8) {
    let mut again = Hostile::new(GOSSIP_PROTOCOL);
    let peer = again.connect(address).await;
    let answer = again.say_hello(peer, &signer(number)).await;
    assert_eq!(
        answer,
        Some(HelloAnswer::Refused(HelloRefusal::Banned)),
        "a new peer id washed it off"
    );
    let banned = |event: &MeshEvent| {
        matches!(event, MeshEvent::Refused { reason: HelloRefusal::Banned, by: RefusedBy::Us, .. })
            .then_some(())
    };
    node.until_heard("the refusal", banned).await;
}

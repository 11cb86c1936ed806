//! Two machines with one hotkey, over real sockets.

use std::time::Duration;

use super::harness::*;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{MeshConfig, MeshEvent, Voice};

/// Time between beacons of one who is to hear something: it listens for two of them.
const PATIENT_INTERVAL: Duration = Duration::from_secs(3);

/// Waits until the voice is no longer `Listening`, and returns what it is then.
async fn first_word(node: &Node) -> Voice {
    let mut voice = node.handle.voice();
    let heard = async { *voice.wait_for(|voice| *voice != Voice::Listening).await.unwrap() };
    tokio::time::timeout(PATIENCE, heard).await.expect("an end of the listening")
}

fn double(event: &MeshEvent) -> Option<(bool, [PeerIdBytes; 2])> {
    match event {
        MeshEvent::Doppelganger { ours, peers, .. } => Some((*ours, *peers)),
        _ => None,
    }
}

fn beside(number: u8, bootnode: &Multiaddr) -> MeshConfig {
    let mut config = config(number, &hotkeys(1..=3));
    config.bootnodes = vec![bootnode.clone()];
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_never_gets_a_voice_and_the_first_hears_of_it() {
    let nodes = mesh(3).await;
    for node in &nodes {
        assert_eq!(first_word(node).await, Voice::Alone);
    }
    // It knows another validator only: the first machine is heard of by way of it.
    let mut config = beside(1, &nodes[1].address().await);
    // A dozen of the first one's beacons long: a busy machine must not look like silence.
    config.timing.beacon_interval = PATIENT_INTERVAL;
    let second = Node::start(config);
    assert_eq!(first_word(&second).await, Voice::Doubled);
    let mut peers = [nodes[0].handle.peer(), second.handle.peer()];
    peers.sort();
    assert_eq!(second.until_heard("its double", double).await, (true, peers));
    assert_eq!(nodes[0].until_heard("its double", double).await, (true, peers));
    assert_eq!(nodes[0].status().await.voice, Voice::Doubled);
    // To the others it is news about somebody else, and no reason to be silent.
    assert_eq!(nodes[2].until_heard("two of one", double).await, (false, peers));
    assert_eq!(nodes[2].status().await.voice, Voice::Alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_the_same_peer_id_and_a_lone_validator_are_no_doubles() {
    let members = hotkeys(1..=2);
    let staying = Node::start(config(1, &members));
    assert_eq!(first_word(&staying).await, Voice::Alone);
    let bootnode = staying.address().await;
    let keypair = Keypair::generate_ed25519();
    for _ in 0..2 {
        let life = Node::start(MeshConfig { keypair: keypair.clone(), ..beside(2, &bootnode) });
        life.until_mutual(1).await;
        assert_eq!(first_word(&life).await, Voice::Alone);
        life.handle.shutdown().await;
    }
    assert!(staying.heard(double).is_empty());
    assert_eq!(staying.status().await.voice, Voice::Alone);
}

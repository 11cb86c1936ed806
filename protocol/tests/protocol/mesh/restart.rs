//! A validator that comes back under the same peer id before its peers noticed that it was gone.
//!
//! A proxy between the two keeps the peer's side of the old connection open after the validator
//! died, as a cut cable or a vanished host does.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::harness::*;
use leoma_protocol::mesh::libp2p::futures::StreamExt as _;
use leoma_protocol::mesh::libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, PublishError,
};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::multiaddr::Protocol;
use leoma_protocol::mesh::libp2p::swarm::SwarmEvent;
use leoma_protocol::mesh::libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use leoma_protocol::mesh::{MeshConfig, MeshEvent, Timing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Forwards to `target` and never tells it that the other side is gone.
async fn proxy(target: &Multiaddr) -> Multiaddr {
    let port = target
        .iter()
        .find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None })
        .unwrap();
    let peer = target.iter().find(|part| matches!(part, Protocol::P2p(_))).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let here = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let (mut near_read, mut near_write) = near.into_split();
            let (mut far_read, mut far_write) = far.into_split();
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
                // The near side is gone. Keep the far side open.
                std::future::pending::<()>().await;
                drop(far_write);
            });
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count) = far_read.read(&mut buffer).await {
                    if count == 0 {
                        return;
                    }
                    let _ = near_write.write_all(&buffer[..count]).await;
                }
            });
        }
    });
    let base = Multiaddr::from(Ipv4Addr::LOCALHOST);
    base.with(Protocol::Tcp(here)).with(peer)
}

fn library_swarm(keypair: Keypair, topic: &IdentTopic) -> Swarm<gossipsub::Behaviour> {
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|keypair| {
            let config = gossipsub::ConfigBuilder::default().flood_publish(true).build().unwrap();
            gossipsub::Behaviour::new(MessageAuthenticity::Signed(keypair.clone()), config).unwrap()
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.behaviour_mut().subscribe(topic).unwrap();
    swarm
}

async fn drive<T>(
    swarm: &mut Swarm<gossipsub::Behaviour>,
    pick: impl Fn(SwarmEvent<gossipsub::Event>) -> Option<T>,
) -> T {
    loop {
        if let Some(found) = pick(swarm.select_next_some().await) {
            return found;
        }
    }
}

fn subscriber(event: SwarmEvent<gossipsub::Event>) -> Option<PeerId> {
    match event {
        SwarmEvent::Behaviour(gossipsub::Event::Subscribed { peer_id, .. }) => Some(peer_id),
        _ => None,
    }
}

/// The library's fault. When this fails, the library has mended it, and resetting links is no
/// longer needed for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_library_tells_a_returned_peer_no_subscriptions() {
    let topic = IdentTopic::new("a topic");
    let mut staying = library_swarm(Keypair::generate_ed25519(), &topic);
    staying.listen_on(Multiaddr::from(Ipv4Addr::LOCALHOST).with(Protocol::Tcp(0))).unwrap();
    let address = drive(&mut staying, |event| match event {
        SwarmEvent::NewListenAddr { address, .. } => Some(address),
        _ => None,
    });
    let address = address.await.with_p2p(*staying.local_peer_id()).unwrap();
    let detour = proxy(&address).await;

    let keypair = Keypair::generate_ed25519();
    let mut first = library_swarm(keypair.clone(), &topic);
    first.dial(detour).unwrap();
    let met =
        async { tokio::join!(drive(&mut staying, subscriber), drive(&mut first, subscriber)) };
    tokio::time::timeout(PATIENCE, met).await.expect("the first life to be told of subscriptions");
    drop(first);

    let mut second = library_swarm(keypair, &topic);
    second.dial(address).unwrap();
    let staying = tokio::spawn(async move {
        drive(&mut staying, |_| None::<()>).await;
    });
    let told = tokio::time::timeout(Duration::from_secs(5), drive(&mut second, subscriber)).await;
    assert!(told.is_err(), "gossipsub now tells its subscriptions on later connections too");
    assert!(second.is_connected(second.connected_peers().next().unwrap()));
    let published = second.behaviour_mut().publish(topic, b"does anybody hear me?".to_vec());
    assert!(matches!(published, Err(PublishError::NoPeersSubscribedToTopic)), "{published:?}");
    staying.abort();
}

/// Long past every test's end.
const NEVER: Duration = Duration::from_secs(3600);

/// Pings end what is left of a first life too, so most tests here do without.
fn without_pings(grace: Duration) -> Timing {
    Timing { link_grace: grace, ping_interval: NEVER, ping_timeout: NEVER, ..quick() }
}

fn life(keypair: &Keypair, bootnode: &Multiaddr, timing: Timing) -> MeshConfig {
    let config = config(2, &hotkeys([1, 2]));
    MeshConfig { keypair: keypair.clone(), bootnodes: vec![bootnode.clone()], timing, ..config }
}

fn staying(timing: Timing) -> Node {
    Node::start(MeshConfig { timing, ..config(1, &hotkeys([1, 2])) })
}

/// Lets a validator meet `staying` and die without a farewell.
async fn die(staying: &Node, keypair: &Keypair, timing: Timing) {
    let detour = proxy(&staying.address().await).await;
    let first_life = life(keypair, &detour, timing);
    // A runtime of its own, so that everything in it can be stopped dead.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = runtime.spawn(async move { Node::start(first_life) }).await.unwrap();
    staying.until_mutual(1).await;
    first.until_mutual(1).await;
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    // Its handle goes last: a mesh whose handles are gone says farewell, should it still run.
    drop(first);
}

/// Lets it come back under the same peer id.
async fn return_from_the_dead(staying: &Node, timing: Timing) -> Node {
    let keypair = Keypair::generate_ed25519();
    die(staying, &keypair, timing).await;
    Node::start(life(&keypair, &staying.address().await, timing))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_resets_a_returned_validator_is_not_heard() {
    let timing = without_pings(NEVER);
    let staying = staying(timing);
    let returned = return_from_the_dead(&staying, timing).await;
    returned
        .until_heard("the staying one", |event| {
            matches!(event, MeshEvent::PeerUp { .. }).then_some(())
        })
        .await;
    // Four beacons long.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        staying.heard(|event| matches!(event, MeshEvent::PeerDown { .. }).then_some(())).len(),
        0
    );
    assert_eq!(returned.mutual().await, 0);
    assert!(
        returned.status().await.peers[0].view.topics.is_empty(),
        "it was told subscriptions after all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_died_without_a_farewell_is_gone_when_it_answers_no_pings() {
    let timing = Timing {
        ping_interval: Duration::from_millis(500),
        ping_timeout: Duration::from_secs(2),
        ..without_pings(NEVER)
    };
    let staying = staying(timing);
    die(&staying, &Keypair::generate_ed25519(), timing).await;
    let gone = |event: &MeshEvent| matches!(event, MeshEvent::PeerDown { .. }).then_some(());
    staying.until_heard("the end of a connection without answers", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_sided_link_is_reset_and_heals() {
    let timing = without_pings(Duration::from_secs(2));
    let staying = staying(timing);
    let returned = return_from_the_dead(&staying, timing).await;
    let reset = |event: &MeshEvent| matches!(event, MeshEvent::LinkReset { .. }).then_some(());
    until("a reset by either side", || async {
        returned.heard(reset).pop().or(staying.heard(reset).pop())
    })
    .await;
    returned.until_mutual(1).await;
    staying.until_mutual(1).await;
    let signer = signer(2);
    let announcement =
        signer.sign_announcement(network(), &verdict(&signer, 99, b"after")).unwrap();
    returned.handle.announce(announcement.clone()).await.unwrap();
    let heard = staying.until_heard("the returned validator", |event| match event {
        MeshEvent::Announcement(announcement) => Some(announcement.clone()),
        _ => None,
    });
    assert_eq!(heard.await, announcement);
}

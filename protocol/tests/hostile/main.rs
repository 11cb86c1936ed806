//! Hostile peers over real sockets: whatever they do, honest validators stay connected, keep
//! agreeing, and memory stays bounded.
//!
//! The tests take turns, so that each has the machine to itself and the memory that grows is its
//! own.
#![cfg(feature = "mesh")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "test code")]

#[path = "../protocol/mesh/harness/mod.rs"]
mod harness;

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use harness::frames::{GOSSIP_PROTOCOL, message, message_on, subscription};
use harness::*;
use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{HelloAnswer, HelloRefusal, PeerIdBytes};
use leoma_protocol::mesh::libp2p::core::Endpoint;
use leoma_protocol::mesh::libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _};
use leoma_protocol::mesh::libp2p::core::transport::{Boxed, DialOpts, PortUse, Transport as _};
use leoma_protocol::mesh::libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use leoma_protocol::mesh::libp2p::futures::future::BoxFuture;
use leoma_protocol::mesh::libp2p::futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, FutureExt as _,
};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::multiaddr::Protocol;
use leoma_protocol::mesh::libp2p::{Multiaddr, PeerId, noise, tcp, yamux};
use leoma_protocol::mesh::{
    CATCHUP_PROTOCOL, GRANT_PROTOCOL, HELLO_PROTOCOL, MeshConfig, MeshEvent, MeshLimits, RefusedBy,
    VERDICT_PROTOCOL,
};
use leoma_protocol::messages::{BeaconDraft, Topic};
use leoma_protocol::{Digest, Hotkey};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Mutex, MutexGuard};

/// What all attacks together may add to the resident memory of this process, attackers and four
/// validators included. Some 80 MiB are used, most of them by the attackers. Without limits the
/// stuffed streams alone take more than this.
const MOST_GROWTH: usize = 384 * 1024 * 1024;
/// The hotkey number of the validator that turned hostile.
const INSIDER: u8 = 4;

fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

/// One test at a time; checks at its end that memory stayed bounded over all tests so far.
struct Turn(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

async fn turn() -> Turn {
    static TURNS: Mutex<()> = Mutex::const_new(());
    let turn = TURNS.lock().await;
    before_all();
    Turn(turn)
}

fn before_all() -> Option<usize> {
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
struct Siege {
    nodes: Vec<Node>,
    members: Vec<Hotkey>,
    addresses: Vec<Multiaddr>,
    next_task: u64,
}

/// Patient enough for a machine that is busy with an attack.
fn patient(config: &mut MeshConfig) {
    config.timing.link_grace = PATIENCE;
    config.timing.hello_deadline = PATIENCE;
}

async fn besieged() -> Siege {
    besieged_with(patient).await
}

async fn besieged_with(adjust: impl Fn(&mut MeshConfig)) -> Siege {
    let members = hotkeys(1..=INSIDER);
    let nodes = mesh_among(3, &members, adjust).await;
    let mut addresses = Vec::new();
    for node in &nodes {
        addresses.push(node.address().await);
    }
    Siege { nodes, members, addresses, next_task: 99 }
}

impl Siege {
    fn target(&self) -> (&Node, &Multiaddr) {
        (&self.nodes[0], &self.addresses[0])
    }

    /// The honest ones are connected as ever, never parted, and agree on something new.
    async fn hold(&mut self) {
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
    async fn joined_by(&self, number: u8, bootnode: Multiaddr) -> Node {
        let mut config = config(number, &self.members);
        patient(&mut config);
        config.listen = MeshConfig::listen_on(Ipv4Addr::new(127, 0, 0, 2).into(), 0).to_vec();
        config.bootnodes = vec![bootnode];
        let node = Node::start(config);
        node.until_mutual(3).await;
        node
    }
}

async fn score(node: &Node, peer: PeerIdBytes) -> Option<f64> {
    node.status()
        .await
        .peers
        .into_iter()
        .find(|status| status.view.peer == peer)
        .map(|status| status.view.score)
}

/// Waits until a connected peer is blamed for about `points`; blame fades from the first second on.
async fn until_blamed(node: &Node, peer: PeerIdBytes, points: f64, what: &str) {
    until(what, || async {
        score(node, peer).await.is_some_and(|score| score <= -points * 0.9).then_some(())
    })
    .await;
}

async fn until_turned_away(node: &Node, address: &Multiaddr, number: u8) {
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

#[tokio::test(flavor = "multi_thread")]
async fn bad_gossip_on_any_topic_is_blamed() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let (node, address) = siege.target();
    for topic in Topic::ALL {
        let limit = topic.max_bytes();
        let cases: [(&str, Vec<u8>, u64); 5] = [
            ("nothing", vec![], 1),
            ("another version", vec![9; 40], 1),
            ("a claim of endless lists", [&[1][..], &[0xff; 60]].concat(), 1),
            ("more than its kind may have", vec![1; limit + 1], 1),
            // Refused by the library, which keeps its own count: four at once are blamed.
            ("more than its topic may have", vec![1; limit + 4096], 5),
        ];
        for (name, data, times) in cases {
            let what = format!("{name} on {topic}");
            let keypair = Keypair::generate_ed25519();
            let mut stranger = Hostile::with_key(GOSSIP_PROTOCOL, keypair.clone());
            let peer = stranger.connect(address).await;
            let frames: Vec<u8> = (0..times)
                .flat_map(|number| {
                    let mut data = data.clone();
                    data.extend((times > 1).then_some(number as u8));
                    message(topic, &keypair, number, &data)
                })
                .collect();
            stranger.send(peer, frames);
            let who = stranger.peer_bytes();
            let lingering = stranger.linger();
            until_blamed(node, who, 5.0, &what).await;
            lingering.abort();
        }
    }
    // What has no honest author at all.
    let keypair = Keypair::generate_ed25519();
    let unsigned =
        |number| message_on(&Topic::Verdict.name(&network()), None, number, &number.to_be_bytes());
    let mut forged = message(Topic::Verdict, &keypair, 1, b"signed");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for (name, frames) in
        [("unsigned", (0..5).flat_map(unsigned).collect()), ("forged", forged.repeat(5))]
    {
        let mut stranger = Hostile::new(GOSSIP_PROTOCOL);
        let peer = stranger.connect(address).await;
        let frames: Vec<u8> = frames;
        stranger.send(peer, frames);
        let who = stranger.peer_bytes();
        let lingering = stranger.linger();
        until_blamed(node, who, 5.0, name).await;
        lingering.abort();
    }
    // What ends the stream: an RPC beyond all limits, one that cannot be read, and a topic that is
    // not ours.
    let elsewhere = message_on("/eth2/blocks", Some(&keypair), 1, &[0; 100_000]);
    for frames in [
        message(Topic::Beacon, &keypair, 1, &[0; 600_000]),
        vec![0x7f; 300_000],
        elsewhere.repeat(50),
    ] {
        let mut stranger = Hostile::new(GOSSIP_PROTOCOL);
        let peer = stranger.connect(address).await;
        stranger.send(peer, frames);
        // There is nothing to see but that it harms nobody: the stream ends, or what is on it is
        // passed over.
        let _ = tokio::time::timeout(Duration::from_secs(2), stranger.until_closed()).await;
    }
    siege.hold().await;

    // A validator is not let off either, and does not come back under another peer id.
    let (node, address) = siege.target();
    let keypair = Keypair::generate_ed25519();
    let mut insider = Hostile::with_key(GOSSIP_PROTOCOL, keypair.clone());
    let peer = insider.connect_as(address, &signer(INSIDER)).await;
    let frames = (0..20u64).flat_map(|number| {
        message(Topic::ALL[number as usize % 5], &keypair, number, &[9, number as u8])
    });
    insider.send(peer, frames.collect());
    insider.until_closed().await;
    until_turned_away(node, address, INSIDER).await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_on_any_protocol_are_blamed() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let (node, address) = siege.target();
    let cases: [(&str, Vec<u8>); 5] = [
        ("another version", vec![9; 40]),
        ("one byte", vec![1]),
        ("a claim of endless lists", [&[1][..], &[0xff; 60]].concat()),
        ("something behind it", vec![1; 250]),
        ("five megabytes", vec![1; 5 << 20]),
    ];
    for protocol in [HELLO_PROTOCOL, GRANT_PROTOCOL, VERDICT_PROTOCOL, CATCHUP_PROTOCOL] {
        for (name, bytes) in &cases {
            let mut stranger = Hostile::new(protocol);
            let peer = stranger.connect(address).await;
            stranger.send(peer, bytes.clone());
            let who = stranger.peer_bytes();
            let lingering = stranger.linger();
            until_blamed(node, who, 10.0, &format!("{name} on {protocol}")).await;
            lingering.abort();
        }
    }
    siege.hold().await;
    let (node, address) = siege.target();
    let mut insider = Hostile::new(CATCHUP_PROTOCOL);
    let peer = insider.connect_as(address, &signer(INSIDER)).await;
    for (_, bytes) in &cases {
        insider.ask(peer, bytes.clone()).await;
    }
    insider.until_closed().await;
    until_turned_away(node, address, INSIDER).await;
    siege.hold().await;
}

fn socket_address(address: &Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port) | Protocol::Udp(port))) => {
            (ip, port).into()
        }
        other => panic!("{other:?}"),
    }
}

async fn tcp_from(source: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(target).await
}

/// Speaks noise, says that it speaks yamux, and then does not.
#[derive(Clone)]
struct Garbage;

impl UpgradeInfo for Garbage {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for Garbage {
    type Output = C;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<C>>;

    fn upgrade_outbound(self, mut io: C, _: &'static str) -> Self::Future {
        async move {
            // A frame of an unknown version and a gigabyte's length, and more of that.
            let garbage = [0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 7, 0x40, 0, 0, 0].repeat(10_000);
            let _ = io.write_all(&garbage).await;
            let _ = io.flush().await;
            let mut answer = Vec::new();
            let _ = (&mut io).take(1 << 20).read_to_end(&mut answer).await;
            Ok(io)
        }
        .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for Garbage {
    type Output = C;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<C>>;

    fn upgrade_inbound(self, io: C, info: &'static str) -> Self::Future {
        self.upgrade_outbound(io, info)
    }
}

fn dial_opts() -> DialOpts {
    DialOpts { role: Endpoint::Dialer, port_use: PortUse::New }
}

fn secured(keypair: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    let transport = tcp::tokio::Transport::new(tcp::Config::default()).upgrade(Version::V1);
    transport
        .authenticate(noise::Config::new(keypair).unwrap())
        .multiplex(yamux::Config::default())
        .boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_lead_nowhere_keep_nobody_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let (node, address) = siege.target();
    let target = socket_address(address);
    let quic = socket_address(&node.addresses("/udp/").await);

    // Garbage instead of every step of a handshake.
    let multistream = b"\x13/multistream/1.0.0\n";
    let noise_chosen = b"\x07/noise\n";
    let openings: [&[&[u8]]; 5] = [
        &[&[0; 5000]],
        &[b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"],
        &[multistream, &[0xff; 5000]],
        &[multistream, noise_chosen, &[0xff; 70_000]],
        &[multistream, noise_chosen, &[0, 32], &[7; 32], &[0, 1, 9]],
    ];
    for opening in openings {
        for _ in 0..5 {
            let mut stream = TcpStream::connect(target).await.unwrap();
            let _ = stream.write_all(&opening.concat()).await;
            // Closed by the other side, or nothing more to come: either is good.
        }
    }
    for _ in 0..5 {
        let keypair = Keypair::generate_ed25519();
        let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&keypair).unwrap())
            .apply(Garbage)
            .multiplex(yamux::Config::default())
            .boxed();
        let place: Multiaddr = address.iter().take(2).collect();
        let dialled = transport.dial(place, dial_opts()).unwrap();
        let _ = tokio::time::timeout(PATIENCE, dialled)
            .await
            .expect("garbage to be answered with an end");
    }
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for size in [1usize, 100, 1200, 1400] {
        for first in [0x40, 0xc0, 0xff] {
            udp.send_to(&vec![first; size], quic).await.unwrap();
        }
    }

    // Handshakes that are begun and never finished, from several places, begun again as soon as
    // they are given up.
    let stalling: Vec<_> = (0..4u8)
        .flat_map(|place| (0..64).map(move |_| Ipv4Addr::new(127, 0, 1, place + 1)))
        .map(|source| {
            tokio::spawn(async move {
                loop {
                    if let Ok(mut stream) = tcp_from(source, target).await {
                        let _ = stream.write_all(b"\x13/multistream/1.0.0\n").await;
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let newcomer = siege.joined_by(INSIDER, address.clone()).await;
    siege.nodes.push(newcomer);
    siege.hold().await;
    stalling.iter().for_each(tokio::task::JoinHandle::abort);
}

/// What a flood says before it begins anew.
const FLOOD: u64 = 10_000;
/// How often a flood begins anew, at most: more than anybody should put up with.
const FLOODS: u32 = 200;

/// Says many things over and over, as fast as they are taken, until it is thrown out.
async fn flood(siege: &Siege, keypair: Keypair, say: impl FnMut(u64) -> Vec<u8>) {
    let address = &siege.addresses[0];
    let mut insider = Hostile::that_repeats(FLOODS, GOSSIP_PROTOCOL, keypair);
    let frames = (0..FLOOD).flat_map(say).collect();
    let peer = insider.connect_as(address, &signer(INSIDER)).await;
    let begun = std::time::Instant::now();
    insider.send(peer, frames);
    insider.until_closed().await;
    println!("thrown out after {:?}", begun.elapsed());
    until_turned_away(&siege.nodes[0], address, INSIDER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_repetitions_is_thrown_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let keypair = Keypair::generate_ed25519();
    let file = verdict(&signer(INSIDER), 97, b"a file");
    let announcement =
        signer(INSIDER).sign_announcement(network(), &file).unwrap().to_wire().unwrap();
    let frame = message(Topic::Verdict, &keypair, 1, &announcement);
    flood(&siege, keypair, |_| frame.clone()).await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_subscriptions_is_thrown_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    flood(&siege, Keypair::generate_ed25519(), |number| {
        subscription(Topic::Verdict, number % 2 == 0)
    })
    .await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invalid_messages_is_thrown_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let keypair = Keypair::generate_ed25519();
    let file = verdict(&signer(INSIDER), 97, b"a file");
    let mut forged = signer(INSIDER).sign_announcement(network(), &file).unwrap();
    flood(&siege, keypair.clone(), |number| {
        forged.bytes_len = number;
        message(Topic::Verdict, &keypair, number, &forged.to_wire().unwrap())
    })
    .await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_new_beacons_is_thrown_out_and_passed_on_by_nobody() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let keypair = Keypair::generate_ed25519();
    let peer = PeerIdBytes::new(&keypair.public().to_peer_id().to_bytes()).unwrap();
    let of_insider = signer(INSIDER);
    flood(&siege, keypair.clone(), |number| {
        let draft = BeaconDraft {
            network: network(),
            peer,
            head: HEAD,
            seq: number + 1,
            heard: vec![],
            addresses: vec![],
            inventory: Digest::of(&number.to_be_bytes()),
        };
        message(Topic::Beacon, &keypair, number, &of_insider.sign_beacon(draft).to_wire().unwrap())
    })
    .await;
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_from_one_address_keep_nobody_out() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let limit = MeshLimits::default().unproven_per_ip;
    let (node, address) = siege.target();
    let target = socket_address(address);
    let place: Multiaddr = address.iter().take(2).collect();

    // A thousand that say nothing, half of them held.
    let mut held = Vec::new();
    for number in 0..1000 {
        if let Ok(stream) = tcp_from(Ipv4Addr::new(127, 0, 0, 3), target).await
            && number % 2 == 0
        {
            held.push(stream);
        }
    }
    // A thousand peers that are well-behaved as far as the handshake goes. Honest validators share
    // their address.
    let mut established = Vec::new();
    let dials = (0..1000).map(|_| {
        let place = place.clone();
        async move {
            let mut transport = secured(&Keypair::generate_ed25519());
            transport.dial(place, dial_opts()).unwrap().await
        }
    });
    let mut dials = dials.collect::<Vec<_>>().into_iter();
    loop {
        let some: Vec<_> = dials.by_ref().take(20).map(tokio::spawn).collect();
        if some.is_empty() {
            break;
        }
        for dial in some {
            if let Ok(Ok((_, muxer))) = dial.await {
                established.push(muxer);
            }
        }
        let unproven =
            node.status().await.peers.iter().filter(|peer| peer.view.hotkey.is_none()).count();
        assert!(unproven <= limit, "{unproven} strangers are connected, {limit} may be");
    }
    assert!(established.len() >= limit, "only {} handshakes came through", established.len());
    let unproven =
        node.status().await.peers.iter().filter(|peer| peer.view.hotkey.is_none()).count();
    assert!(unproven > limit / 2, "the strangers are not there any more: nothing was tested");
    let elsewhere = node.addresses("/udp/").await;
    let newcomer = siege.joined_by(INSIDER, elsewhere).await;
    siege.nodes.push(newcomer);
    siege.hold().await;
    drop((held, established));
}

/// Goes on with a connection's business until `wanted` is there; `None` when the connection ends.
async fn with_muxer<T>(
    muxer: &mut StreamMuxerBox,
    wanted: impl Future<Output = T> + Unpin,
) -> Option<T> {
    let mut wanted = wanted;
    poll_fn(|context| {
        if let Poll::Ready(Err(_)) = muxer.poll_unpin(context) {
            return Poll::Ready(None);
        }
        wanted.poll_unpin(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_stuffed_and_never_negotiated_are_few() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let place: Multiaddr = siege.addresses[0].iter().take(2).collect();
    let before = resident().unwrap_or_default();
    let mut most = 0;
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut transport = secured(&Keypair::generate_ed25519());
        let (_, mut muxer) = transport.dial(place.clone(), dial_opts()).unwrap().await.unwrap();
        let mut streams = Vec::new();
        while streams.len() < 500 {
            let opened = poll_fn(|context| match muxer.poll_unpin(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => muxer.poll_outbound_unpin(context),
            });
            let Ok(mut stream) = opened.await else { break };
            // The first ones keep the other side waiting for what is never said. It does not look
            // at the others: all that they carry waits in its memory.
            let said = if streams.len() < 32 {
                b"\x13/multistream/1.0.0\n".to_vec()
            } else {
                vec![0; 200 * 1024]
            };
            let stuff = async {
                stream.write_all(&said).await?;
                stream.flush().await?;
                std::io::Result::Ok(stream)
            };
            let stuffed =
                tokio::time::timeout(PATIENCE, with_muxer(&mut muxer, Box::pin(stuff))).await;
            let Ok(Some(Ok(stream))) = stuffed else { break };
            streams.push(stream);
        }
        most = most.max(streams.len());
        kept.push((muxer, streams));
    }
    println!("{most} streams, {} MiB", resident().unwrap_or_default().saturating_sub(before) >> 20);
    assert!((33..100).contains(&most), "{most} streams were held open");
    siege.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_do_not_read_cost_little_and_stop_nobody() {
    let _turn = turn().await;
    let mut siege = besieged().await;
    let (node, address) = siege.target();
    let content = vec![7; leoma_protocol::verdict::MAX_FILE_BYTES];
    let file = verdict(&signer(1), 98, &content);
    node.handle.provide_verdict(file.id, file.digest, content.clone()).await.unwrap();
    let request =
        [&[1][..], &file.id.task_id.0.to_le_bytes(), file.id.producer.as_bytes(), &file.digest.0]
            .concat();
    // The request is read as it is meant.
    let mut reader = Hostile::new(VERDICT_PROTOCOL);
    let peer = reader.connect_as(address, &signer(INSIDER)).await;
    let whole = reader.ask(peer, request.clone()).await.unwrap();
    assert!(whole.ends_with(&content[..100]) && whole.len() > content.len());
    drop(reader);

    let before = resident().unwrap_or_default();
    let mut lingering = Vec::new();
    for reading in [Reading::Never, Reading::ByteEvery(Duration::from_millis(50))] {
        let mut reader = Hostile::that_reads(reading, VERDICT_PROTOCOL);
        let peer = reader.connect_as(address, &signer(INSIDER)).await;
        for _ in 0..50 {
            reader.send(peer, request.clone());
        }
        lingering.push(reader.linger());
    }
    // More streams than may be, on which nothing is ever said.
    for protocol in [HELLO_PROTOCOL, GRANT_PROTOCOL, CATCHUP_PROTOCOL] {
        let mut mute = Hostile::that_reads(Reading::Never, protocol);
        let peer = mute.connect(address).await;
        for _ in 0..20 {
            mute.send(peer, vec![]);
        }
        lingering.push(mute.linger());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = resident().unwrap_or_default().saturating_sub(before);
    // A copy for each stream would be 32 files of 4 MiB, twice.
    assert!(growth < 100 << 20, "{} MiB for readers that do not read", growth >> 20);
    let fetched =
        siege.nodes[1].handle.fetch_verdict(file.id, file.digest, |bytes| bytes == content).await;
    assert_eq!(fetched.unwrap().len(), content.len());
    siege.hold().await;
    lingering.iter().for_each(tokio::task::JoinHandle::abort);
}

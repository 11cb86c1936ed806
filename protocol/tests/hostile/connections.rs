//! Connections and streams that hostile peers open.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

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
    CATCHUP_PROTOCOL, GRANT_PROTOCOL, HELLO_PROTOCOL, MeshLimits, VERDICT_PROTOCOL,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::harness::*;
use super::siege::*;

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
        siege.nodes[1].handle.fetch_verdict(file.id, file.digest, only(file.digest)).await;
    assert_eq!(fetched.unwrap().len(), content.len());
    siege.hold().await;
    lingering.iter().for_each(tokio::task::JoinHandle::abort);
}

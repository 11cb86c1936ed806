//! One stranger: an identity that connects to every validator and sends what its attack demands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{HELLO_LIFETIME_BLOCKS, Hello, HelloDraft, PeerIdBytes};
use leoma_protocol::mesh::{CATCHUP_PROTOCOL, GRANT_PROTOCOL, HELLO_PROTOCOL, VERDICT_PROTOCOL};
use leoma_protocol::messages::Topic;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, Hotkey, HotkeySigner, MemoryGuard, Network,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, gossipsub, noise, tcp, yamux,
};
use rand::RngCore as _;
use sp_core::{Pair as _, sr25519};
use tokio::io::AsyncWriteExt as _;

use super::fault::Attack;
use super::tally::Tally;

/// How long an identity lives: longer than the ten seconds in which a validator wants to see a
/// hello.
const LIFE: Duration = Duration::from_secs(14);
/// Connections that one of a crowd tries to have with one validator.
const CROWD_CONNECTIONS: usize = 6;
/// Time for nonsense before any protocol.
const SHOUT_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of nonsense.
const GARBAGE_BYTES: usize = 512;
/// Bytes of what is too long: more than any message of any protocol.
const OVERSIZE_BYTES: usize = 8 << 20;
/// The longest gossip message that a stranger sends, and a validator must refuse.
const OVERSIZE_GOSSIP_BYTES: usize = 512 << 10;
/// How often a flood comes, and how many messages it has on each topic.
const FLOOD_EVERY: Duration = Duration::from_millis(100);
const FLOOD_MESSAGES: usize = 20;
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// Time for a request: a stranger is in no hurry.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The target of an attack.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The validators.
    pub(super) addresses: Vec<Multiaddr>,
    /// Their hotkeys.
    pub(super) hotkeys: Vec<Hotkey>,
    /// Chain and subnet.
    pub(super) network: Network,
    /// The chain's head.
    pub(super) head: BlockNumber,
}

/// A codec of raw bytes of any length.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }
}

async fn read(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

type Protocol = request_response::Behaviour<Raw>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    hello: Protocol,
    grant: Protocol,
    verdict: Protocol,
    catchup: Protocol,
    gossip: gossipsub::Behaviour,
}

impl Behaviour {
    fn new(keypair: &Keypair, network: &Network) -> Result<Self, String> {
        let config = gossipsub::ConfigBuilder::default()
            .max_transmit_size(2 * OVERSIZE_GOSSIP_BYTES)
            .build()
            .map_err(|error| error.to_string())?;
        let signed = gossipsub::MessageAuthenticity::Signed(keypair.clone());
        let mut gossip: gossipsub::Behaviour =
            gossipsub::Behaviour::new(signed, config).map_err(str::to_owned)?;
        for topic in Topic::ALL {
            gossip.subscribe(&ident(topic, network)).map_err(|error| error.to_string())?;
        }
        Ok(Self {
            hello: protocol(HELLO_PROTOCOL),
            grant: protocol(GRANT_PROTOCOL),
            verdict: protocol(VERDICT_PROTOCOL),
            catchup: protocol(CATCHUP_PROTOCOL),
            gossip,
        })
    }

    fn protocols(&mut self) -> [&mut Protocol; 4] {
        [&mut self.hello, &mut self.grant, &mut self.verdict, &mut self.catchup]
    }
}

fn protocol(name: &'static str) -> Protocol {
    let config = request_response::Config::default().with_request_timeout(REQUEST_TIMEOUT);
    request_response::Behaviour::with_codec(
        Raw,
        [(StreamProtocol::new(name), ProtocolSupport::Full)],
        config,
    )
}

fn ident(topic: Topic, network: &Network) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(topic.name(network))
}

fn nonsense(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// Lives once, with an identity of its own.
pub(super) async fn live(attack: Attack, target: &Target, tally: &Tally) -> Result<(), String> {
    let keypair = Keypair::generate_ed25519();
    let behaviour = Behaviour::new(&keypair, &target.network)?;
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| error.to_string())?
        .with_behaviour(|_| behaviour)
        .map_err(|error| error.to_string())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(LIFE))
        .build();
    for address in &target.addresses {
        dial(&mut swarm, address, if attack == Attack::Crowd { CROWD_CONNECTIONS } else { 1 });
    }
    if attack == Attack::Garbage {
        let shouts =
            futures::future::join_all(target.addresses.iter().map(|address| shout(address, tally)));
        // A validator that does not answer is no reason to spare the others.
        let _ = tokio::time::timeout(SHOUT_LIMIT, shouts).await;
    }
    let end = tokio::time::sleep(LIFE);
    let mut end = std::pin::pin!(end);
    let mut floods = tokio::time::interval(FLOOD_EVERY);
    floods.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = floods.tick(), if attack == Attack::Flood => flood(&mut swarm, target, tally),
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    Tally::add(&tally.connections, 1);
                    speak(&mut swarm, attack, peer_id, target, tally);
                }
                SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                    Tally::add(&tally.closed, 1);
                    let counters = swarm.network_info().connection_counters().clone();
                    if counters.num_connections() == 0 {
                        return Ok(());
                    }
                }
                SwarmEvent::Behaviour(event) if is_answer(&event) => Tally::add(&tally.answers, 1),
                _ => {}
            }
        }
    }
}

fn is_answer(event: &BehaviourEvent) -> bool {
    let (BehaviourEvent::Hello(event)
    | BehaviourEvent::Grant(event)
    | BehaviourEvent::Verdict(event)
    | BehaviourEvent::Catchup(event)) = event
    else {
        return false;
    };
    let request_response::Event::Message { message, .. } = event else { return false };
    matches!(message, request_response::Message::Response { .. })
}

fn dial(swarm: &mut Swarm<Behaviour>, address: &Multiaddr, times: usize) {
    let Some(libp2p::multiaddr::Protocol::P2p(peer)) = address.iter().last() else { return };
    for _ in 0..times {
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(vec![address.clone()]);
        // A dial that is not even begun is no attack.
        let _ = swarm.dial(options.build());
    }
}

/// Sends nonsense before any protocol is negotiated.
async fn shout(address: &Multiaddr, tally: &Tally) {
    let Some(socket) = socket_address(address) else { return };
    if let Ok(mut stream) = tokio::net::TcpStream::connect(socket).await
        && stream.write_all(&nonsense(GARBAGE_BYTES)).await.is_ok()
    {
        Tally::add(&tally.sent, 1);
    }
}

fn socket_address(address: &Multiaddr) -> Option<std::net::SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (libp2p::multiaddr::Protocol::Ip4(ip), libp2p::multiaddr::Protocol::Tcp(port)) => {
            Some((ip, port).into())
        }
        _ => None,
    }
}

/// Sends an attack's messages to a validator right after the connection is established.
fn speak(
    swarm: &mut Swarm<Behaviour>,
    attack: Attack,
    peer: PeerId,
    target: &Target,
    tally: &Tally,
) {
    let own = *swarm.local_peer_id();
    let behaviour = swarm.behaviour_mut();
    let sent = match attack {
        Attack::Crowd | Attack::Flood => 0,
        Attack::ForgedHello => {
            let hellos = forged_hellos(own, target);
            hellos.into_iter().map(|hello| behaviour.hello.send_request(&peer, hello)).count()
        }
        Attack::Garbage => behaviour
            .protocols()
            .map(|protocol| protocol.send_request(&peer, nonsense(GARBAGE_BYTES)))
            .len(),
        Attack::Oversize => {
            let zeros = || vec![0; OVERSIZE_BYTES];
            behaviour.protocols().map(|protocol| protocol.send_request(&peer, zeros())).len()
        }
    };
    Tally::add(&tally.sent, sent as u64);
}

/// Sends nonsense on every topic, and valid hellos of a hotkey that is not on the list.
fn flood(swarm: &mut Swarm<Behaviour>, target: &Target, tally: &Tally) {
    let peers: Vec<PeerId> = swarm.connected_peers().copied().collect();
    let own = *swarm.local_peer_id();
    let behaviour = swarm.behaviour_mut();
    let mut sent = 0;
    for topic in Topic::ALL {
        for number in 0..FLOOD_MESSAGES {
            // One that is too long among many that mean nothing.
            let length = if number == 0 { OVERSIZE_GOSSIP_BYTES } else { topic.max_bytes() / 2 };
            let published =
                behaviour.gossip.publish(ident(topic, &target.network), nonsense(length));
            sent += u64::from(published.is_ok());
        }
    }
    let hello = forged_hellos(own, target).pop().unwrap_or_default();
    for peer in peers {
        behaviour.hello.send_request(&peer, hello.clone());
        sent += 1;
    }
    Tally::add(&tally.sent, sent);
}

/// Hellos that must be refused: in the name of each validator, for another chain, for another peer,
/// expired, and last a valid one of a hotkey that is on no list.
fn forged_hellos(own: PeerId, target: &Target) -> Vec<Vec<u8>> {
    let signer = HotkeySigner::new(sr25519::Pair::generate().0, Arc::new(MemoryGuard::default()));
    let Some(peer) = PeerIdBytes::new(&own.to_bytes()) else { return Vec::new() };
    let other = PeerId::random().to_bytes();
    let honest = HelloDraft {
        network: target.network,
        peer,
        params: ConsensusParams::default().digest(),
        seq: u64::MAX,
        expires: BlockNumber(target.head.0 + HELLO_LIFETIME_BLOCKS),
    };
    let mut hellos: Vec<Hello> = Vec::new();
    for hotkey in &target.hotkeys {
        hellos.push(Hello { hotkey: *hotkey, ..signer.sign_hello(honest) });
    }
    let foreign = Network { genesis: Digest::of(b"another chain"), ..target.network };
    hellos.push(signer.sign_hello(HelloDraft { network: foreign, ..honest }));
    if let Some(peer) = PeerIdBytes::new(&other) {
        hellos.push(signer.sign_hello(HelloDraft { peer, ..honest }));
    }
    hellos.push(signer.sign_hello(HelloDraft { expires: BlockNumber(0), ..honest }));
    hellos.push(signer.sign_hello(honest));
    hellos.iter().filter_map(|hello| hello.to_wire().ok()).collect()
}

#[cfg(test)]
mod tests {
    use leoma_protocol::Netuid;
    use leoma_protocol::hello::HelloContext;
    use leoma_protocol::messages::SignatureCheck;

    use super::*;

    #[test]
    fn every_forged_hello_is_one_that_a_validator_must_refuse() {
        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let hotkeys: Vec<Hotkey> =
            (1..=2).map(|seed| sr25519::Pair::from_seed(&[seed; 32]).public().into()).collect();
        let target = Target {
            addresses: Vec::new(),
            hotkeys: hotkeys.clone(),
            network,
            head: BlockNumber(1000),
        };
        let own = PeerId::random();
        let hellos = forged_hellos(own, &target);
        assert_eq!(hellos.len(), 2 + 4);
        let signatures = SignatureCheck::default();
        let context = HelloContext {
            network,
            peer: PeerIdBytes::new(&own.to_bytes()).unwrap(),
            head: target.head,
            last_seq: None,
            signatures: &signatures,
        };
        for bytes in hellos {
            let hello = Hello::from_wire(&bytes).unwrap();
            assert!(
                hello.verify(&context).is_err() || !hotkeys.contains(&hello.hotkey),
                "{hello:?}"
            );
        }
    }
}

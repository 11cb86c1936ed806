//! A peer that says what it likes, and reads as it likes.

use std::future::pending;
use std::time::Duration;

use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::{Hello, HelloAnswer, HelloDraft, PeerIdBytes};
use leoma_protocol::mesh::HELLO_PROTOCOL;
use leoma_protocol::mesh::libp2p::futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _,
};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::request_response::{
    self, Message, OutboundRequestId, ProtocolSupport,
};
use leoma_protocol::mesh::libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use leoma_protocol::mesh::libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux,
};
use leoma_protocol::{BlockNumber, HotkeySigner};

use super::{HEAD, PATIENCE, network};

/// How answers are read.
#[derive(Clone, Copy, Debug, Default)]
pub enum Reading {
    #[default]
    Whole,
    /// One byte at a time.
    ByteEvery(Duration),
    Never,
}

/// Bytes in, bytes out.
#[derive(Clone, Default)]
pub struct Raw {
    reading: Reading,
    /// How often more each request is written.
    again: u32,
}

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
        match self.reading {
            Reading::Whole => drop(io.read_to_end(&mut bytes).await?),
            Reading::Never => pending().await,
            Reading::ByteEvery(pause) => {
                let mut byte = [0];
                while io.read(&mut byte).await? > 0 {
                    bytes.extend(byte);
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(bytes)
    }

    async fn read_response<T>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
    ) -> std::io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read_request(protocol, io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        for _ in 0..=self.again {
            io.write_all(&bytes).await?;
        }
        Ok(())
    }

    async fn write_response<T>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Self::default().write_request(protocol, io, bytes).await
    }
}

/// Hellos, and one protocol of the peer's choice.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "leoma_protocol::mesh::libp2p::swarm::derive_prelude")]
pub struct Mouth {
    hello: request_response::Behaviour<Raw>,
    talk: request_response::Behaviour<Raw>,
}

/// What happened, as far as tests care.
enum Happened {
    Answered(OutboundRequestId, Option<Vec<u8>>),
    Asked(Vec<u8>),
    Closed,
}

/// A peer that speaks one request protocol, and says what it likes.
pub struct Hostile {
    pub swarm: Swarm<Mouth>,
    pub peer: PeerId,
}

impl Hostile {
    pub fn new(protocol: &'static str) -> Self {
        Self::with_key(protocol, Keypair::generate_ed25519())
    }

    pub fn with_key(protocol: &'static str, keypair: Keypair) -> Self {
        Self::that(Raw::default(), protocol, keypair)
    }

    pub fn that_reads(reading: Reading, protocol: &'static str) -> Self {
        Self::that(Raw { reading, again: 0 }, protocol, Keypair::generate_ed25519())
    }

    pub fn that_repeats(again: u32, protocol: &'static str, keypair: Keypair) -> Self {
        Self::that(Raw { reading: Reading::Whole, again }, protocol, keypair)
    }

    fn that(raw: Raw, protocol: &'static str, keypair: Keypair) -> Self {
        let peer = keypair.public().to_peer_id();
        let config = || {
            let config = request_response::Config::default().with_max_concurrent_streams(1000);
            config.with_request_timeout(PATIENCE * 2)
        };
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| {
                let hello = [(StreamProtocol::new(HELLO_PROTOCOL), ProtocolSupport::Outbound)];
                let talk = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
                Mouth {
                    hello: request_response::Behaviour::with_codec(Raw::default(), hello, config()),
                    talk: request_response::Behaviour::with_codec(raw, talk, config()),
                }
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE * 2))
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
            params: super::params().digest(),
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

    /// Connects and proves to be `signer`'s validator.
    pub async fn connect_as(&mut self, address: &Multiaddr, signer: &HotkeySigner) -> PeerId {
        let peer = self.connect(address).await;
        let answer = self.say_hello(peer, signer).await;
        assert!(matches!(answer, Some(HelloAnswer::Accepted(_))), "{answer:?}");
        peer
    }

    pub async fn say_hello(&mut self, peer: PeerId, signer: &HotkeySigner) -> Option<HelloAnswer> {
        let hello = self.hello(signer, |_| ()).to_wire().unwrap();
        let asked = self.swarm.behaviour_mut().hello.send_request(&peer, hello);
        let answer = self.until_answered(asked).await?;
        Some(HelloAnswer::from_wire(&answer).unwrap())
    }

    /// Sends a request and does not wait.
    pub fn send(&mut self, peer: PeerId, bytes: Vec<u8>) -> OutboundRequestId {
        self.swarm.behaviour_mut().talk.send_request(&peer, bytes)
    }

    /// Sends a request and waits for its answer; `None` when there is none.
    pub async fn ask(&mut self, peer: PeerId, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let asked = self.send(peer, bytes);
        self.until_answered(asked).await
    }

    async fn until_answered(&mut self, asked: OutboundRequestId) -> Option<Vec<u8>> {
        let answered = async {
            loop {
                match self.next().await {
                    Happened::Answered(id, answer) if id == asked => return answer,
                    Happened::Closed => return None,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("an answer or a failure")
    }

    async fn next(&mut self) -> Happened {
        loop {
            let event = match self.swarm.select_next_some().await {
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => return Happened::Closed,
                SwarmEvent::Behaviour(MouthEvent::Hello(event) | MouthEvent::Talk(event)) => event,
                _ => continue,
            };
            match event {
                request_response::Event::Message {
                    message: Message::Response { request_id, response },
                    ..
                } => {
                    return Happened::Answered(request_id, Some(response));
                }
                request_response::Event::Message {
                    message: Message::Request { request, .. },
                    ..
                } => {
                    return Happened::Asked(request);
                }
                request_response::Event::OutboundFailure { request_id, .. } => {
                    return Happened::Answered(request_id, None);
                }
                _ => {}
            }
        }
    }

    /// Waits until the other side has closed the connection; returns the requests that came
    /// meanwhile.
    pub async fn until_closed(&mut self) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                if let Happened::Asked(request) = self.next().await {
                    requests.push(request);
                }
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection to be closed");
        requests
    }

    /// Goes on for ever, in the background.
    pub fn linger(mut self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.swarm.select_next_some().await;
            }
        })
    }
}

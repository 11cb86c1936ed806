//! The libp2p protocols of the mesh, put together.

use std::time::Duration;

use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, mdns, memory_connection_limits, noise, ping, tcp, yamux,
};

use super::config::{MeshConfig, MeshError, MeshLimits};
use super::core::CatchupRequest;
use super::gossip::{Gossip, gossip};
use super::ip_limits::IpLimits;
use super::wire::{
    CATCHUP_PROTOCOL, Exchange, GRANT_PROTOCOL, GrantAnswer, GrantOffer, HELLO_PROTOCOL, PageAnswer, REQUEST_TIMEOUT,
    SMALL_STREAMS, TRANSFER_STREAMS, TRANSFER_TIMEOUT, VERDICT_PROTOCOL, VerdictAnswer, VerdictRequest, exchange,
};
use crate::hello::{Hello, HelloAnswer};

/// What a peer sees us as.
const AGENT: &str = concat!("leoma/", env!("CARGO_PKG_VERSION"));
/// The protocol family, for identify.
const FAMILY: &str = "/leoma/1";
/// Kademlia under a name of its own: other networks' nodes are not ours to keep.
const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/leoma/kad/1");
/// Time between two walks through Kademlia.
const KAD_WALK: Duration = Duration::from_secs(300);
/// Time between two pings: a dead connection is noticed within two of them and a timeout.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections without streams stay: pings show whether they live.
const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Inbound streams under negotiation on one connection.
const NEGOTIATING_STREAMS: usize = 32;

/// Those that may deny a connection come first: the others must not see one that is denied.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) per_ip: IpLimits,
    pub(super) blocked: allow_block_list::Behaviour<BlockedPeers>,
    pub(super) gossip: Gossip,
    pub(super) identify: identify::Behaviour,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    pub(super) ping: ping::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) hello: Exchange<Hello, HelloAnswer>,
    pub(super) grant: Exchange<GrantOffer, GrantAnswer>,
    pub(super) verdict: Exchange<VerdictRequest, VerdictAnswer>,
    pub(super) catchup: Exchange<CatchupRequest, PageAnswer>,
}

fn connection_limits(limits: &MeshLimits) -> connection_limits::Behaviour {
    connection_limits::Behaviour::new(
        ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.pending_inbound))
            .with_max_pending_outgoing(Some(limits.pending_outbound))
            .with_max_established_incoming(Some(limits.established_inbound))
            .with_max_established(Some(limits.established))
            .with_max_established_per_peer(Some(limits.per_peer)),
    )
}

/// Kademlia finds addresses of validators that we have none of. Only proven validators enter the table, and no records
/// are kept for anybody.
fn kademlia(peer: PeerId) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_periodic_bootstrap_interval(Some(KAD_WALK));
    let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
    kad.set_mode(Some(kad::Mode::Server));
    kad
}

impl Behaviour {
    fn new(config: &MeshConfig) -> Result<Self, MeshError> {
        let keypair = &config.keypair;
        let peer = keypair.public().to_peer_id();
        let identify_config = identify::Config::new(FAMILY.into(), keypair.public())
            .with_agent_version(AGENT.into())
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        let mdns = if config.mdns {
            let behaviour = mdns::tokio::Behaviour::new(mdns::Config::default(), peer);
            Some(behaviour.map_err(|error| MeshError::Transport { what: "mDNS", reason: error.to_string() })?)
        } else {
            None
        };
        Ok(Self {
            limits: connection_limits(&config.limits),
            memory: memory_connection_limits::Behaviour::with_max_bytes(config.limits.memory_bytes),
            per_ip: IpLimits::new(config.limits.per_ip),
            blocked: allow_block_list::Behaviour::default(),
            gossip: gossip(keypair, &config.network)?,
            identify: identify::Behaviour::new(identify_config),
            kad: kademlia(peer),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_TIMEOUT)),
            mdns: mdns.into(),
            hello: exchange(HELLO_PROTOCOL, REQUEST_TIMEOUT, SMALL_STREAMS),
            grant: exchange(GRANT_PROTOCOL, REQUEST_TIMEOUT, SMALL_STREAMS),
            verdict: exchange(VERDICT_PROTOCOL, TRANSFER_TIMEOUT, TRANSFER_STREAMS),
            catchup: exchange(CATCHUP_PROTOCOL, TRANSFER_TIMEOUT, TRANSFER_STREAMS),
        })
    }
}

/// A swarm that listens nowhere yet.
pub(super) fn swarm(config: &MeshConfig) -> Result<Swarm<Behaviour>, MeshError> {
    let behaviour = Behaviour::new(config)?;
    let keypair: Keypair = config.keypair.clone();
    let transport = |what| move |reason: String| MeshError::Transport { what, reason };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| transport("TCP")(error.to_string()))?
        .with_quic()
        .with_dns()
        .map_err(|error| transport("DNS")(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| transport("mesh")(error.to_string()))?
        .with_swarm_config(|swarm| {
            swarm.with_idle_connection_timeout(IDLE_TIMEOUT).with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS)
        })
        .build();
    Ok(swarm)
}

//! The libp2p protocols of the mesh, put together.

use std::time::Duration;

use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::metrics::Registry;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, dcutr, identify, mdns,
    memory_connection_limits, noise, ping, quic, relay, tcp, yamux,
};

use super::gossip::gossip;
use super::gossip_guard::GossipGuard;
use super::relay::{Admitted, server};
use super::strangers::{PerPlace, Strangers};
use super::wire::{
    CATCHUP_PROTOCOL, Exchange, FILE_STREAMS, GRANT_PROTOCOL, GRANT_STREAMS, GrantAnswer,
    GrantOffer, HELLO_PROTOCOL, PageAnswer, REQUEST_TIMEOUT, STREAMS, TRANSFER_TIMEOUT,
    VERDICT_PROTOCOL, VerdictAnswer, VerdictRequest, exchange,
};
use crate::hello::{Hello, HelloAnswer};
use crate::mesh::config::{MemoryLimit, MeshConfig, MeshError, MeshLimits};
use crate::mesh::core::CatchupRequest;

/// The software name that peers see.
const AGENT: &str = concat!("leoma/", env!("CARGO_PKG_VERSION"));
/// The protocol family, for identify.
const FAMILY: &str = "/leoma/1";
/// Kademlia under its own name, so that other networks' nodes stay out of the table.
const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/leoma/kad/1");
/// Connections without streams stay open: pings show whether they are alive.
const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Inbound streams under negotiation on one connection.
const NEGOTIATING_STREAMS: usize = 32;
/// Time for a connection's handshake: three round trips on a bad intercontinental link, and a
/// retransmission.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams on one connection, in both directions. Validators use about forty at most: 28 for our
/// protocols, and a few for gossip, Kademlia, pings and identify. Each may hold 256 KiB of unread
/// bytes, the smallest limit that yamux allows, so this bounds the memory of one connection.
const MAX_STREAMS: usize = 64;
/// The same for QUIC, which counts the connection as a whole: a file and all gossip that may be
/// under way.
const QUIC_CONNECTION_BYTES: u32 = 8 * 1024 * 1024;
const QUIC_STREAM_BYTES: u32 = 4 * 1024 * 1024;
/// Where a container finds its memory limit.
const CONTAINER_MEMORY: &str = "/sys/fs/cgroup/memory.max";

/// The behaviours that may deny a connection come first, because the others must not see a denied
/// one.
#[derive(NetworkBehaviour)]
pub(in crate::mesh) struct Behaviour {
    pub(in crate::mesh) limits: connection_limits::Behaviour,
    pub(in crate::mesh) memory: memory_connection_limits::Behaviour,
    pub(in crate::mesh) strangers: Strangers,
    pub(in crate::mesh) blocked: allow_block_list::Behaviour<BlockedPeers>,
    pub(in crate::mesh) gossip: GossipGuard,
    pub(in crate::mesh) identify: identify::Behaviour,
    pub(in crate::mesh) kad: kad::Behaviour<MemoryStore>,
    pub(in crate::mesh) ping: ping::Behaviour,
    pub(in crate::mesh) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(in crate::mesh) relay: Toggle<relay::Behaviour>,
    pub(in crate::mesh) relayed: relay::client::Behaviour,
    pub(in crate::mesh) punch: Toggle<dcutr::Behaviour>,
    pub(in crate::mesh) hello: Exchange<Hello, HelloAnswer>,
    pub(in crate::mesh) grant: Exchange<GrantOffer, GrantAnswer>,
    pub(in crate::mesh) verdict: Exchange<VerdictRequest, VerdictAnswer>,
    pub(in crate::mesh) catchup: Exchange<CatchupRequest, PageAnswer>,
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

/// A share means a share of what the process can use, which in a container may be less than the
/// machine has.
fn memory_limit(limit: MemoryLimit) -> memory_connection_limits::Behaviour {
    use memory_connection_limits::Behaviour;
    let share = match limit {
        MemoryLimit::Bytes(bytes) => return Behaviour::with_max_bytes(bytes),
        MemoryLimit::Share(share) => share.clamp(0.0, 1.0),
    };
    let of_machine = Behaviour::with_max_percentage(share).max_allowed_bytes();
    let container = std::fs::read_to_string(CONTAINER_MEMORY).ok();
    // Without a limit, the file holds the word `max`.
    let of_container = container
        .and_then(|text| text.trim().parse::<f64>().ok())
        .map(|bytes| (bytes * share) as usize);
    Behaviour::with_max_bytes(of_container.map_or(of_machine, |bytes| bytes.min(of_machine)))
}

/// Kademlia finds addresses of validators for which we have none. Only proven validators enter the
/// table, and records are not stored.
fn kademlia(peer: PeerId) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        // libp2p's own periodic walk warns when the table is empty. The shell starts walks instead.
        .set_periodic_bootstrap_interval(None);
    let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
    kad.set_mode(Some(kad::Mode::Server));
    kad
}

impl Behaviour {
    fn new(
        config: &MeshConfig,
        admitted: &Admitted,
        relayed: relay::client::Behaviour,
    ) -> Result<Self, MeshError> {
        let keypair = &config.keypair;
        let peer = keypair.public().to_peer_id();
        let identify_config = identify::Config::new(FAMILY.into(), keypair.public())
            .with_agent_version(AGENT.into())
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        let mdns = if config.mdns {
            let behaviour = mdns::tokio::Behaviour::new(mdns::Config::default(), peer);
            Some(behaviour.map_err(|error| MeshError::Transport {
                what: "mDNS",
                reason: error.to_string(),
            })?)
        } else {
            None
        };
        Ok(Self {
            limits: connection_limits(&config.limits),
            memory: memory_limit(config.limits.memory),
            strangers: Strangers::new(PerPlace {
                pending: config.limits.pending_per_ip,
                established: config.limits.unproven_per_ip,
            }),
            blocked: allow_block_list::Behaviour::default(),
            gossip: GossipGuard::new(
                gossip(keypair, &config.network)?,
                config.limits.gossip_per_second,
            ),
            identify: identify::Behaviour::new(identify_config),
            kad: kademlia(peer),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(config.timing.ping_interval)
                    .with_timeout(config.timing.ping_timeout),
            ),
            mdns: mdns.into(),
            relay: config.relay.serve.then(|| server(peer, admitted)).into(),
            relayed,
            punch: config.relay.is_used().then(|| dcutr::Behaviour::new(peer)).into(),
            hello: exchange(HELLO_PROTOCOL, REQUEST_TIMEOUT, STREAMS),
            grant: exchange(GRANT_PROTOCOL, REQUEST_TIMEOUT, GRANT_STREAMS),
            verdict: exchange(VERDICT_PROTOCOL, TRANSFER_TIMEOUT, FILE_STREAMS),
            catchup: exchange(CATCHUP_PROTOCOL, TRANSFER_TIMEOUT, STREAMS),
        })
    }
}

/// Whether an address has one of the forms that this mesh dials: a host, TCP or QUIC, then perhaps
/// a peer id, then perhaps a relayed peer. Traffic is counted by the form of the address, so peers
/// must not be able to invent forms.
pub(in crate::mesh) fn is_dialable(address: &Multiaddr) -> bool {
    let mut parts = address.iter().peekable();
    let host = matches!(
        parts.next(),
        Some(
            Protocol::Ip4(_)
                | Protocol::Ip6(_)
                | Protocol::Dns(_)
                | Protocol::Dns4(_)
                | Protocol::Dns6(_)
        )
    );
    let transport = match parts.next() {
        Some(Protocol::Tcp(_)) => true,
        Some(Protocol::Udp(_)) => matches!(parts.next(), Some(Protocol::QuicV1)),
        _ => false,
    };
    let named = parts.next_if(|part| matches!(part, Protocol::P2p(_))).is_some();
    let relayed = named && parts.next_if(|part| matches!(part, Protocol::P2pCircuit)).is_some();
    if relayed {
        parts.next_if(|part| matches!(part, Protocol::P2p(_)));
    }
    host && transport && parts.next().is_none()
}

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}

fn quic_config(mut config: quic::Config) -> quic::Config {
    config.max_concurrent_stream_limit = MAX_STREAMS as u32 / 2;
    config.max_connection_data = QUIC_CONNECTION_BYTES;
    config.max_stream_data = QUIC_STREAM_BYTES;
    config
}

/// A swarm that does not listen yet. Its traffic is counted in `registry`.
pub(in crate::mesh) fn swarm(
    config: &MeshConfig,
    admitted: &Admitted,
    registry: &mut Registry,
) -> Result<Swarm<Behaviour>, MeshError> {
    let keypair: Keypair = config.keypair.clone();
    let transport = |what| move |reason: String| MeshError::Transport { what, reason };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux_config)
        .map_err(|error| transport("TCP")(error.to_string()))?
        .with_quic_config(quic_config)
        .with_dns()
        .map_err(|error| transport("DNS")(error.to_string()))?
        .with_relay_client(noise::Config::new, yamux_config)
        .map_err(|error| transport("relay")(error.to_string()))?
        .with_bandwidth_metrics(registry)
        .with_behaviour(|_, relayed| Ok(Behaviour::new(config, admitted, relayed)?))
        .map_err(|error| transport("mesh")(error.to_string()))?
        .with_swarm_config(|swarm| {
            swarm
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS)
        })
        .with_connection_timeout(HANDSHAKE_TIMEOUT)
        .build();
    Ok(swarm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_forms_of_addresses_are_dialled() {
        let peer = PeerId::random();
        for form in ["/ip4/1.2.3.4/tcp/1", "/ip6/::1/udp/1/quic-v1", "/dns4/a.example/tcp/1"] {
            for end in [
                String::new(),
                format!("/p2p/{peer}"),
                format!("/p2p/{peer}/p2p-circuit/p2p/{peer}"),
            ] {
                assert!(is_dialable(&format!("{form}{end}").parse().unwrap()), "{form}{end}");
            }
        }
        for form in [
            "/ip4/1.2.3.4",
            "/ip4/1.2.3.4/udp/1",
            "/ip4/1.2.3.4/tcp/1/ws",
            "/ip4/1.2.3.4/tcp/1/http/http",
            "/tcp/1",
        ] {
            assert!(!is_dialable(&form.parse().unwrap()), "{form}");
        }
    }
}

//! The mesh's addresses.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::values::{flag, from_str};

super::declare::settings! {
    pub(crate) struct MeshAddresses {
        /// where the mesh listens
        LEOMA_MESH_LISTEN = setting(
            "multiaddresses, separated by commas",
            Some("/ip4/0.0.0.0/tcp/4070,/ip4/0.0.0.0/udp/4070/quic-v1")
        ) => listen: Vec<Multiaddr>, list(addresses);
        /// addresses at which peers reach this validator, when they differ from those it listens
        /// on; the first with an IP address becomes its axon entry on the chain
        LEOMA_MESH_EXTERNAL = setting("multiaddresses, separated by commas", None)
            => external: Vec<Multiaddr>, list(addresses);
        /// peers to dial first
        LEOMA_BOOTNODES =
            setting("multiaddresses that end in /p2p/<peer id>, separated by commas", None)
            => bootnodes: Vec<Multiaddr>, list(peer_addresses);
        /// relay connections between validators that cannot dial each other
        LEOMA_MESH_RELAY_SERVE = setting("true or false", Some("false"))
            => relay_serve: bool, parsed(flag);
        /// validators that relay connections to this one, when nobody can dial it directly
        LEOMA_MESH_RELAY_VIA = setting(
            "up to 3 multiaddresses that end in /p2p/<peer id>, separated by commas", None
        ) => relay_via: Vec<Multiaddr>, list(peer_addresses);
        /// find peers on the local network
        LEOMA_MDNS = setting("true or false", Some("false")) => mdns: bool, parsed(flag);
    }
}

fn addresses(text: &str) -> Option<Vec<Multiaddr>> {
    text.split(',').map(|part| from_str(part.trim())).collect()
}

fn peer_addresses(text: &str) -> Option<Vec<Multiaddr>> {
    let named = |address: &Multiaddr| matches!(address.iter().last(), Some(Protocol::P2p(_)));
    addresses(text).filter(|addresses| addresses.iter().all(named))
}

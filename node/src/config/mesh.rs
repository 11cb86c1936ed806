//! The mesh's addresses.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::values::flag;

super::declare::settings! {
    pub(crate) struct MeshAddresses {
        /// where the mesh listens
        LEOMA_MESH_LISTEN = setting(
            "multiaddresses, separated by commas",
            Some("/ip4/0.0.0.0/tcp/4070,/ip4/0.0.0.0/udp/4070/quic-v1")
        ) => listen: Vec<Multiaddr>, checked(addresses);
        /// addresses at which peers reach this validator, when they differ from those it listens
        /// on; the first with an IP address becomes its axon entry on the chain
        LEOMA_MESH_EXTERNAL = setting("multiaddresses, separated by commas", None)
            => external: Vec<Multiaddr>, checked(reachable_addresses);
        /// peers to dial first
        LEOMA_BOOTNODES =
            setting("multiaddresses that end in /p2p/<peer id>, separated by commas", None)
            => bootnodes: Vec<Multiaddr>, checked(peer_addresses);
        /// relay connections between validators that cannot dial each other
        LEOMA_MESH_RELAY_SERVE = setting("true or false", Some("false"))
            => relay_serve: bool, parsed(flag);
        /// validators that relay connections to this one, when nobody can dial it directly
        LEOMA_MESH_RELAY_VIA = setting(
            "up to 3 multiaddresses that end in /p2p/<peer id>, separated by commas", None
        ) => relay_via: Vec<Multiaddr>, checked(peer_addresses);
        /// find peers on the local network
        LEOMA_MDNS = setting("true or false", Some("false")) => mdns: bool, parsed(flag);
    }
}

/// What is wrong with a list names the address.
type Addresses = Result<Vec<Multiaddr>, String>;

fn addresses(text: &str) -> Addresses {
    let read = |part: &str| {
        let part = part.trim();
        part.parse().map_err(|_| format!("`{part}`, which is not a multiaddress"))
    };
    text.split(',').map(read).collect()
}

/// Addresses that can be dialled: those of all interfaces and port 0 are for listening.
fn reachable_addresses(text: &str) -> Addresses {
    let addresses = addresses(text)?;
    for address in &addresses {
        for part in address {
            let reason = match part {
                Protocol::Ip4(ip) if ip.is_unspecified() => "0.0.0.0, which nobody can dial",
                Protocol::Ip6(ip) if ip.is_unspecified() => "::, which nobody can dial",
                Protocol::Tcp(0) | Protocol::Udp(0) => "port 0, which nobody can dial",
                _ => continue,
            };
            return Err(format!("`{address}`, with {reason}"));
        }
    }
    Ok(addresses)
}

fn peer_addresses(text: &str) -> Addresses {
    let addresses = reachable_addresses(text)?;
    let unnamed = |address: &&Multiaddr| !matches!(address.iter().last(), Some(Protocol::P2p(_)));
    match addresses.iter().find(unnamed) {
        Some(address) => Err(format!("`{address}`, which does not end in /p2p/<peer id>")),
        None => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";

    #[test]
    fn f10_addresses_that_nobody_can_dial_are_refused_by_name() {
        let good = format!(
            "/ip4/8.8.8.8/tcp/4070/p2p/{PEER}, /dns4/a.example/udp/4070/quic-v1/p2p/{PEER}"
        );
        assert_eq!(peer_addresses(&good).unwrap().len(), 2);
        for (address, part) in [
            ("/ip4/0.0.0.0/tcp/4070", "0.0.0.0"),
            ("/ip6/::/tcp/4070", "::"),
            ("/ip4/8.8.8.8/tcp/0", "port 0"),
            ("/ip4/8.8.8.8/udp/0/quic-v1", "port 0"),
        ] {
            let bootnode = format!("{address}/p2p/{PEER}");
            let list = format!("{good},{bootnode}");
            let error = peer_addresses(&list).unwrap_err();
            assert!(error.contains(&bootnode) && error.contains(part), "{error}");
            assert!(reachable_addresses(address).unwrap_err().contains(part));
            assert!(addresses(address).is_ok(), "it may be listened on");
        }
        assert!(peer_addresses("/ip4/8.8.8.8/tcp/1").unwrap_err().contains("/p2p/<peer id>"));
        assert!(addresses("8.8.8.8:4070").unwrap_err().contains("`8.8.8.8:4070`"));
    }
}

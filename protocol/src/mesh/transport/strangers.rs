//! Limits on the connections of peers that proved nothing. They are counted by address, because new
//! peer ids cost nothing.
//!
//! Proven validators do not count: strangers at the same address must not lock them out, and there
//! are few of them.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::Hash;
use std::net::IpAddr;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::network_of;

/// Inbound connections of one stranger: it may dial us on two transports at once.
const PER_STRANGER: usize = 2;

/// Why a stranger's connection is denied.
#[derive(Debug, thiserror::Error)]
pub(in crate::mesh) enum TooMany {
    /// Too many are in their handshake.
    #[error("{place} has {limit} handshakes under way already")]
    Pending {
        /// Where they come from.
        place: IpAddr,
        /// How many are allowed.
        limit: usize,
    },
    /// Too many are established.
    #[error("{place} has {limit} unproven connections already")]
    Established {
        /// Where they come from.
        place: IpAddr,
        /// How many are allowed.
        limit: usize,
    },
    /// One peer has too many.
    #[error("a stranger has {PER_STRANGER} connections already")]
    OfOne,
}

/// How many connections one place may have.
#[derive(Clone, Copy, Debug)]
pub(in crate::mesh) struct PerPlace {
    pub(in crate::mesh) pending: usize,
    pub(in crate::mesh) established: usize,
}

/// Connections, counted by a key. Bounded by the limits on pending and established connections.
#[derive(Debug)]
struct Count<Key> {
    of: HashMap<ConnectionId, Key>,
    by: HashMap<Key, usize>,
}

impl<Key: Copy + Eq + Hash> Count<Key> {
    fn new() -> Self {
        Self { of: HashMap::new(), by: HashMap::new() }
    }

    fn get(&self, key: &Key) -> usize {
        self.by.get(key).copied().unwrap_or_default()
    }

    fn add(&mut self, connection: ConnectionId, key: Key) {
        if self.of.insert(connection, key).is_none() {
            *self.by.entry(key).or_default() += 1;
        }
    }

    fn remove(&mut self, connection: ConnectionId) {
        let Some(key) = self.of.remove(&connection) else { return };
        if let Some(count) = self.by.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.by.remove(&key);
            }
        }
    }
}

/// Denies strangers' inbound connections beyond the limits.
#[derive(Debug)]
pub(in crate::mesh) struct Strangers {
    limits: PerPlace,
    /// By place, and whether over UDP. UDP source addresses can be forged until the handshake is
    /// done, and forged ones must not keep TCP connections out.
    pending: Count<(IpAddr, bool)>,
    established: Count<IpAddr>,
    by_peer: Count<PeerId>,
    /// Validators that proved themselves.
    proven: HashSet<PeerId>,
}

impl Strangers {
    pub(in crate::mesh) fn new(limits: PerPlace) -> Self {
        let (pending, established, by_peer) = (Count::new(), Count::new(), Count::new());
        Self { limits, pending, established, by_peer, proven: HashSet::new() }
    }

    /// A peer proved itself: its connections no longer count.
    pub(in crate::mesh) fn proven(&mut self, peer: PeerId) {
        let connections: Vec<_> =
            self.by_peer.of.iter().filter(|(_, of)| **of == peer).map(|(id, _)| *id).collect();
        for connection in connections {
            self.by_peer.remove(connection);
            self.established.remove(connection);
        }
        self.proven.insert(peer);
    }

    /// A peer is a stranger again. Its connections are about to be closed.
    pub(in crate::mesh) fn unproven(&mut self, peer: &PeerId) {
        self.proven.remove(peer);
    }

    fn check_established(&self, place: Option<IpAddr>) -> Result<(), ConnectionDenied> {
        let limit = self.limits.established;
        match place.filter(|place| self.established.get(place) >= limit) {
            Some(place) => Err(ConnectionDenied::new(TooMany::Established { place, limit })),
            None => Ok(()),
        }
    }
}

/// Where a connection comes from: an IPv4 address, or an IPv6 network. For a relayed connection,
/// the relay's.
fn place(local: &Multiaddr, remote: &Multiaddr) -> Option<IpAddr> {
    ip_of(remote).or_else(|| ip_of(local)).map(network_of)
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

fn is_udp(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Udp(_)))
}

impl NetworkBehaviour for Strangers {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let place = place(local, remote);
        // The peer is not known yet, but most from a crowded place are strangers. This saves the
        // handshake.
        self.check_established(place)?;
        if let Some(place) = place {
            let (key, limit) = ((place, is_udp(remote)), self.limits.pending);
            if self.pending.get(&key) >= limit {
                return Err(ConnectionDenied::new(TooMany::Pending { place, limit }));
            }
            self.pending.add(connection, key);
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(connection);
        if !self.proven.contains(&peer) {
            self.check_established(place(local, remote))?;
            if self.by_peer.get(&peer) >= PER_STRANGER {
                return Err(ConnectionDenied::new(TooMany::OfOne));
            }
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                if let ConnectedPoint::Listener { local_addr, send_back_addr } =
                    established.endpoint
                    && !self.proven.contains(&established.peer_id)
                {
                    self.by_peer.add(established.connection_id, established.peer_id);
                    if let Some(place) = place(local_addr, send_back_addr) {
                        self.established.add(established.connection_id, place);
                    }
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed {
                connection_id,
                peer_id,
                remaining_established,
                ..
            }) => {
                self.established.remove(connection_id);
                self.by_peer.remove(connection_id);
                if remaining_established == 0 {
                    self.proven.remove(&peer_id);
                }
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.pending.remove(connection_id)
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_addresses_networks_and_relays() {
        let here = address("/ip4/192.0.2.1/tcp/1");
        let from = |remote: &str| place(&here, &address(remote)).unwrap().to_string();
        assert_eq!(from("/ip4/198.51.100.7/tcp/9"), "198.51.100.7");
        assert_eq!(from("/ip6/::ffff:198.51.100.7/udp/9/quic-v1"), "198.51.100.7");
        assert_eq!(from("/ip6/2001:db8:1:2:3:4:5:6/tcp/9"), from("/ip6/2001:db8:1:2::9/tcp/9"));
        assert_ne!(from("/ip6/2001:db8:1:3::9/tcp/9"), from("/ip6/2001:db8:1:2::9/tcp/9"));
        let stranger = PeerId::random();
        assert_eq!(
            from(&format!("/p2p/{stranger}")),
            "192.0.2.1",
            "a relayed connection counts as the relay's"
        );
    }

    #[test]
    fn handshakes_from_one_place_are_few_and_leave_the_other_transport_alone() {
        let mut strangers = Strangers::new(PerPlace { pending: 3, established: 8 });
        let here = address("/ip4/192.0.2.1/tcp/1");
        let mut pending = |number: usize, remote: &str| {
            let connection = ConnectionId::new_unchecked(number);
            strangers.handle_pending_inbound_connection(connection, &here, &address(remote))
        };
        for number in 0..3 {
            assert!(pending(number, "/ip4/198.51.100.7/udp/9/quic-v1").is_ok());
        }
        assert!(pending(3, "/ip4/198.51.100.7/udp/10/quic-v1").is_err());
        assert!(pending(4, "/ip4/198.51.100.7/tcp/10").is_ok());
        assert!(pending(5, "/ip4/198.51.100.8/udp/9/quic-v1").is_ok());
        strangers.pending.remove(ConnectionId::new_unchecked(0));
        let again = ConnectionId::new_unchecked(6);
        let from = address("/ip4/198.51.100.7/udp/9/quic-v1");
        assert!(strangers.handle_pending_inbound_connection(again, &here, &from).is_ok());
    }
}

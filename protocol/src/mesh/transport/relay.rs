//! Relays: a validator that can be dialled relays connections to those that cannot. These then try
//! to connect to each other directly.
//!
//! A relay serves only proven validators, at both ends of a circuit. Traffic is encrypted between
//! the ends. A relayed connection is subject to the same limits as a direct one, counted under the
//! relay's address.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::relay::{self, RateLimiter};
use libp2p::{Multiaddr, PeerId};

/// Validators that may be reached through us: all of a full mesh.
const MAX_RESERVATIONS: usize = 64;
/// Reservations of one validator: an old one may remain while a new connection asks for its own.
const MAX_RESERVATIONS_PER_PEER: usize = 2;
/// Circuits: four of 64 validators cannot be dialled, and all others are connected to each of them,
/// twice at worst.
const MAX_CIRCUITS: usize = 512;
/// Circuits of one validator, to all others.
const MAX_CIRCUITS_PER_PEER: usize = 64;
/// How long a circuit lasts. Gossip goes through it while there is no direct connection.
const CIRCUIT_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes through one circuit: several days' gossip and files.
const CIRCUIT_BYTES: u64 = 1024 * 1024 * 1024;
/// Wait before asking a relay again that refused or left: it may not have accepted our hello yet.
const RETRY: Duration = Duration::from_secs(3);
/// Relays through which others reach us: each takes up addresses in our beacons.
const MAX_VIA: usize = 3;

/// Who may use our relay: the currently proven validators.
#[derive(Clone, Debug, Default)]
pub(in crate::mesh) struct Admitted(Arc<Mutex<HashSet<PeerId>>>);

impl Admitted {
    pub(in crate::mesh) fn admit(&self, peer: PeerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
    }

    pub(in crate::mesh) fn dismiss(&self, peer: &PeerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }

    fn contains(&self, peer: &PeerId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }

    /// libp2p asks this before every reservation and circuit.
    fn limiter(&self) -> Box<dyn RateLimiter> {
        let admitted = self.clone();
        Box::new(move |peer: PeerId, _: &Multiaddr, _| admitted.contains(&peer))
    }
}

/// Our relay for others.
pub(in crate::mesh) fn server(own: PeerId, admitted: &Admitted) -> relay::Behaviour {
    let config = relay::Config {
        max_reservations: MAX_RESERVATIONS,
        max_reservations_per_peer: MAX_RESERVATIONS_PER_PEER,
        reservation_rate_limiters: vec![admitted.limiter()],
        max_circuits: MAX_CIRCUITS,
        max_circuits_per_peer: MAX_CIRCUITS_PER_PEER,
        max_circuit_duration: CIRCUIT_DURATION,
        max_circuit_bytes: CIRCUIT_BYTES,
        circuit_src_rate_limiters: vec![admitted.limiter()],
        ..relay::Config::default()
    };
    let mut server = relay::Behaviour::new(own, config);
    server.set_status(Some(relay::Status::Enable));
    server
}

/// Whether an address leads through a relay.
pub(in crate::mesh) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

#[derive(Debug)]
struct Via {
    relay: PeerId,
    address: Multiaddr,
    listener: Option<ListenerId>,
    next: Duration,
}

/// The relays through which others reach us.
#[derive(Debug)]
pub(in crate::mesh) struct Vias(Vec<Via>);

impl Vias {
    /// Leaves out addresses that do not end with a peer id, and those beyond the first few.
    pub(in crate::mesh) fn new(addresses: &[Multiaddr]) -> Self {
        let via = addresses.iter().filter_map(|address| match address.iter().last()? {
            Protocol::P2p(relay) => {
                let address = address.clone().with(Protocol::P2pCircuit);
                Some(Via { relay, address, listener: None, next: Duration::ZERO })
            }
            _ => None,
        });
        Self(via.take(MAX_VIA).collect())
    }

    /// Calls `listen` for each proven relay through which we do not listen yet, if it is time.
    pub(in crate::mesh) fn listen(
        &mut self,
        now: Duration,
        proven: impl Fn(&PeerId) -> bool,
        mut listen: impl FnMut(Multiaddr) -> Option<ListenerId>,
    ) {
        for via in &mut self.0 {
            if via.listener.is_none() && via.next <= now && proven(&via.relay) {
                via.next = now + RETRY;
                via.listener = listen(via.address.clone());
            }
        }
    }

    /// Takes note that a listener closed. Returns whether it was one of these.
    pub(in crate::mesh) fn closed(&mut self, listener: ListenerId, now: Duration) -> bool {
        let Some(via) = self.0.iter_mut().find(|via| via.listener == Some(listener)) else {
            return false;
        };
        (via.listener, via.next) = (None, now + RETRY);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn only_proven_validators_are_admitted() {
        let (admitted, peer) = (Admitted::default(), PeerId::random());
        let mut limiter = admitted.limiter();
        let mut asks = || limiter.try_next(peer, &Multiaddr::empty(), Instant::now());
        assert!(!asks());
        admitted.admit(peer);
        assert!(asks());
        admitted.dismiss(&peer);
        assert!(!asks());
    }

    #[test]
    fn a_relay_is_asked_when_it_is_proven_and_again_after_it_left() {
        let relay = PeerId::random();
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let mut vias = Vias::new(&[address.clone(), address.with_p2p(relay).unwrap()]);
        let at = Duration::from_secs;
        let mut asked = Vec::new();
        let id = ListenerId::next();
        let mut listen = |vias: &mut Vias, now, proven: bool| {
            vias.listen(
                now,
                |_| proven,
                |address| {
                    asked.push(address);
                    Some(id)
                },
            );
            asked.len()
        };
        assert_eq!(listen(&mut vias, at(0), false), 0);
        assert_eq!(listen(&mut vias, at(1), true), 1);
        assert_eq!(listen(&mut vias, at(100), true), 1);
        assert!(vias.closed(id, at(100)) && !vias.closed(id, at(100)));
        assert_eq!(listen(&mut vias, at(101), true), 1, "too soon");
        assert_eq!(listen(&mut vias, at(103), true), 2);
        assert!(asked.iter().all(is_relayed));
    }
}

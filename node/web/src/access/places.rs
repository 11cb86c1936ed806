//! Limits connections and readers, in all and per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::rate::network_of;

/// A bounded number of places.
#[derive(Debug)]
pub(crate) struct Places {
    in_all: usize,
    per_address: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// `in_all` places, of which one address may take `per_address`.
    pub(crate) fn new(in_all: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { in_all, per_address, taken: Mutex::default() })
    }

    /// Takes a place, unless too many are taken.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Checked before the address becomes a network, since that of ::1 looks like any other.
        let is_loopback = address.to_canonical().is_loopback();
        let network = network_of(address);
        let total: usize = taken.values().sum();
        let of_address = taken.get(&network).copied().unwrap_or(0);
        // A proxy on this machine brings everybody's connections.
        if total >= self.in_all || (of_address >= self.per_address && !is_loopback) {
            return None;
        }
        taken.insert(network, of_address + 1);
        Some(Place { places: Arc::clone(self), network })
    }
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.network) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(taken.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::new(512, 48);
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut taken: Vec<_> = (0..60).filter_map(|_| places.enter(address(1))).collect();
        assert_eq!(taken.len(), 48);
        taken.pop();
        assert!(places.enter(address(1)).is_some());
        let others: Vec<_> =
            (2..=255).flat_map(|n| [n; 3]).filter_map(|n| places.enter(address(n))).collect();
        assert_eq!(taken.len() + others.len(), 512);
        drop((taken, others));
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_their_places() {
        let places = Places::new(512, 48);
        let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let taken: Vec<_> = (0..60).filter_map(|n| places.enter(address(n))).collect();
        assert_eq!(taken.len(), 48);
    }

    #[test]
    fn a_proxy_on_this_machine_has_all_places() {
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let places = Places::new(64, 4);
            let address: IpAddr = loopback.parse().unwrap();
            let taken: Vec<_> = (0..70).filter_map(|_| places.enter(address)).collect();
            assert_eq!(taken.len(), 64, "{loopback}");
        }
    }
}

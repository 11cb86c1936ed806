//! A bounded number of permits, few for the holder of each address: for connections, and for
//! whatever else costs a server something as long as it lasts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Whom an address stands for: an IPv4 address, or the /64 network of an IPv6 address, since
/// whoever has one of it has the other 2^64. Loopback stays as it is.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)))
        }
        ip => ip,
    }
}

/// The permits that are taken.
#[derive(Debug)]
pub struct AddressLimit {
    in_all: usize,
    of_one: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl AddressLimit {
    /// `in_all` permits, of which one address, see [`network_of`], gets `of_one`. This machine may
    /// take all: a proxy on it brings everybody's connections.
    #[must_use]
    pub fn new(in_all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { in_all, of_one, taken: Mutex::default() })
    }

    /// A permit for `address`; `None` while too many are taken.
    #[must_use]
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<AddressPermit> {
        let network = network_of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = taken.values().sum();
        let of_address = taken.get(&network).copied().unwrap_or(0);
        if total >= self.in_all || (of_address >= self.of_one && !network.is_loopback()) {
            return None;
        }
        taken.insert(network, of_address + 1);
        Some(AddressPermit { limit: Arc::clone(self), network })
    }
}

/// A permit that is taken until it is dropped.
#[derive(Debug)]
pub struct AddressPermit {
    limit: Arc<AddressLimit>,
    network: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut taken = self.limit.taken.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn permits_are_bounded_and_come_back() {
        let limit = AddressLimit::new(512, 48);
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut taken: Vec<_> = (0..60).filter_map(|_| limit.enter(address(1))).collect();
        assert_eq!(taken.len(), 48);
        taken.pop();
        assert!(limit.enter(address(1)).is_some());
        let others: Vec<_> =
            (2..=255).flat_map(|n| [n; 3]).filter_map(|n| limit.enter(address(n))).collect();
        assert_eq!(taken.len() + others.len(), 512);
        drop((taken, others));
        assert!(limit.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_their_permits() {
        let limit = AddressLimit::new(512, 48);
        let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, n]);
        let taken: Vec<_> = (0..60).filter_map(|n| limit.enter(address(n))).collect();
        assert_eq!(taken.len(), 48);
        assert!(limit.enter(IpAddr::from([0x2001, 0xdb8, 1, 3, 0, 0, 0, 1])).is_some());
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(network_of(mapped), IpAddr::from([192, 0, 2, 7]));
    }

    #[test]
    fn a_proxy_on_this_machine_has_all_permits() {
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let limit = AddressLimit::new(64, 4);
            let address: IpAddr = loopback.parse().unwrap();
            let taken: Vec<_> = (0..70).filter_map(|_| limit.enter(address)).collect();
            assert_eq!(taken.len(), 64, "{loopback}");
        }
    }
}

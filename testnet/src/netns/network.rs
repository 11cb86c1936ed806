//! Hosts around a router: which of them reach each other, and at which address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::error::{MAX_HOSTS, NetworkError};
use super::{Impaired, Impairment, Namespace, relay::Relay};

/// Routing table of packets that go through the relay.
const RELAYED: u32 = 100;
/// The relay's device in the router.
const RELAY_DEVICE: &str = "relay";
/// Last byte of a host's first address; changed addresses count on from it.
const FIRST_ADDRESS: u8 = 2;

/// Hosts `0..n`, each in a namespace of its own with one address, all connected through a router.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    cuts: BTreeSet<(usize, usize)>,
    relay: Option<Relay>,
    /// Hosts whose packets are led through the relay.
    relayed: usize,
    router: Arc<Namespace>,
}

#[derive(Debug)]
struct Host {
    namespace: Arc<Namespace>,
    /// Last byte of its address.
    last: u8,
}

/// All addresses of one host.
fn range(host: usize) -> String {
    format!("10.77.{}.0/24", host + 1)
}

/// Its link, at the router's end.
fn link(host: usize) -> String {
    format!("host{}", host + 1)
}

fn address(host: usize, last: u8) -> Ipv4Addr {
    // At most MAX_HOSTS hosts.
    Ipv4Addr::new(10, 77, u8::try_from(host + 1).unwrap_or(u8::MAX), last)
}

impl Network {
    /// Makes `count` hosts.
    ///
    /// # Errors
    /// [`NetworkError`] names what this machine lacks.
    pub fn new(count: usize) -> Result<Self, NetworkError> {
        if count > MAX_HOSTS {
            return Err(NetworkError::TooMany);
        }
        let router = Arc::new(Namespace::new()?);
        router.set("ipv4/ip_forward", "1")?;
        // Delayed packets come back through a device other than the one they first came through.
        for device in ["all", "default"] {
            router.set(&format!("ipv4/conf/{device}/rp_filter"), "0")?;
        }
        let mut network =
            Self { hosts: Vec::new(), cuts: BTreeSet::new(), relay: None, relayed: 0, router };
        for host in 0..count {
            let namespace = Arc::new(Namespace::new()?);
            let (link, path) = (link(host), namespace.path());
            network.router.ip(&format!("link add {link} type veth peer name eth0 netns {path}"))?;
            network.router.ip(&format!("addr add {}/24 dev {link}", address(host, 1)))?;
            network.router.ip(&format!("link set {link} up"))?;
            namespace.ip(&format!("addr add {}/24 dev eth0", address(host, FIRST_ADDRESS)))?;
            namespace.ip("link set eth0 up")?;
            namespace.ip(&format!("route add default via {}", address(host, 1)))?;
            network.hosts.push(Host { namespace, last: FIRST_ADDRESS });
        }
        Ok(network)
    }

    /// How many hosts there are.
    pub const fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn host(&self, host: usize) -> Result<&Host, NetworkError> {
        self.hosts.get(host).ok_or(NetworkError::NoHost(host))
    }

    /// Where a host's processes run.
    ///
    /// # Errors
    /// [`NetworkError::NoHost`].
    pub fn namespace(&self, host: usize) -> Result<&Arc<Namespace>, NetworkError> {
        Ok(&self.host(host)?.namespace)
    }

    /// A host's address.
    ///
    /// # Errors
    /// [`NetworkError::NoHost`].
    pub fn address(&self, host: usize) -> Result<Ipv4Addr, NetworkError> {
        Ok(address(host, self.host(host)?.last))
    }

    /// Drops what `from` sends to `to`, silently, as a broken route does; the other direction
    /// stays.
    pub fn cut(&mut self, from: usize, to: usize) -> Result<(), NetworkError> {
        self.host(from)?;
        self.host(to)?;
        if from != to && !self.cuts.contains(&(from, to)) {
            self.router.ip(&format!("rule add from {} to {} blackhole", range(from), range(to)))?;
            self.cuts.insert((from, to));
        }
        Ok(())
    }

    /// Cuts every host of a group off from those of other groups. Hosts in no group still reach
    /// everybody.
    pub fn partition(&mut self, groups: &[Vec<usize>]) -> Result<(), NetworkError> {
        for (number, group) in groups.iter().enumerate() {
            for other in groups[..number].iter().chain(&groups[number + 1..]) {
                for (from, to) in
                    group.iter().flat_map(|from| other.iter().map(move |to| (*from, *to)))
                {
                    self.cut(from, to)?;
                }
            }
        }
        Ok(())
    }

    /// The directions that are cut.
    pub const fn cuts(&self) -> &BTreeSet<(usize, usize)> {
        &self.cuts
    }

    /// Delays or loses what all hosts send to each other, until [`heal`](Self::heal). Call it on a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`NetworkError::Tun`] without `/dev/net/tun`.
    pub fn impair(&mut self, impairment: Impairment) -> Result<(), NetworkError> {
        let relay = match &self.relay {
            Some(relay) => relay,
            None => {
                let relay = Relay::start(&self.router, RELAY_DEVICE)?;
                self.router.ip(&format!("link set {RELAY_DEVICE} up"))?;
                self.router.ip(&format!("route add default dev {RELAY_DEVICE} table {RELAYED}"))?;
                self.relay.insert(relay)
            }
        };
        relay.set(impairment);
        while self.relayed < self.hosts.len() {
            // What comes out of the relay comes in by its device, and finds no such rule.
            self.router.ip(&format!("rule add iif {} table {RELAYED}", link(self.relayed)))?;
            self.relayed += 1;
        }
        Ok(())
    }

    /// How many packets were delayed and lost so far.
    pub fn impaired(&self) -> Impaired {
        self.relay.as_ref().map(Relay::impaired).unwrap_or_default()
    }

    /// Ends all cuts, delay and loss. Changed addresses are kept.
    ///
    /// # Errors
    /// [`NetworkError`]; what is not undone then is tried again at the next call.
    pub fn heal(&mut self) -> Result<(), NetworkError> {
        while let Some(&(from, to)) = self.cuts.first() {
            self.router.ip(&format!("rule del from {} to {} blackhole", range(from), range(to)))?;
            self.cuts.pop_first();
        }
        while let Some(host) = self.relayed.checked_sub(1) {
            self.router.ip(&format!("rule del iif {} table {RELAYED}", link(host)))?;
            self.relayed = host;
        }
        if let Some(relay) = &self.relay {
            relay.set(Impairment::default());
        }
        Ok(())
    }

    /// Gives a host another address in place of the one it has, and returns it. Its connections
    /// break.
    pub fn change_address(&mut self, host: usize) -> Result<Ipv4Addr, NetworkError> {
        let Host { namespace, last } = self.host(host)?;
        // 254 is the last one of a range.
        let next = if *last >= 254 { FIRST_ADDRESS } else { last + 1 };
        // The new one first: the default route goes with the last address.
        namespace.ip(&format!("addr add {}/24 dev eth0", address(host, next)))?;
        namespace.set("ipv4/conf/eth0/promote_secondaries", "1")?;
        namespace.ip(&format!("addr del {}/24 dev eth0", address(host, *last)))?;
        namespace.ip(&format!("route replace default via {}", address(host, 1)))?;
        if let Some(host) = self.hosts.get_mut(host) {
            host.last = next;
        }
        self.address(host)
    }
}

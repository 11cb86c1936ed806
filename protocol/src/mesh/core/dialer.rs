//! Whom to dial, where, and when again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::effect::Effect;
use super::event::DialTarget;
use super::limits::{
    MAX_ADDRESSES_PER_PEER, MAX_DIALS_PER_TICK, MAX_IDENTITIES, MAX_TARGETS, MAX_UNPROVEN_FAILURES,
    MAX_UNPROVEN_TARGETS, Timing,
};
use super::mesh_event::KnownPeer;
use crate::Hotkey;
use crate::hello::PeerIdBytes;
use crate::messages::{Address, Allowlist};

#[derive(Debug)]
struct Contact {
    /// The peer that answers there, once known.
    peer: Option<PeerIdBytes>,
    /// Its hotkey, once proven or stated in a signed beacon.
    hotkey: Option<Hotkey>,
    /// Best first.
    addresses: Vec<Address>,
    failures: u32,
    next: Duration,
    dialling: bool,
    /// Whether the peer proved its hotkey to us. From then on we believe nobody else about it.
    proven: bool,
}

impl Contact {
    fn new(peer: Option<PeerIdBytes>, addresses: Vec<Address>) -> Self {
        Self {
            peer,
            hotkey: None,
            addresses,
            failures: 0,
            next: Duration::ZERO,
            dialling: false,
            proven: false,
        }
    }

    /// The addresses to dial: those on the internet, if there are any. Peers also report addresses
    /// of containers and of their own local networks, where another machine answers here; these are
    /// tried when the others have failed, as a peer may be in our own network.
    fn promising(&self) -> Vec<Address> {
        let public = || self.addresses.iter().filter(|address| !is_local(address));
        if self.failures > 0 || public().next().is_none() {
            return self.addresses.clone();
        }
        public().cloned().collect()
    }

    /// Puts `address` first; the last one gives way. Returns whether anything changed.
    fn prefer(&mut self, address: Address) -> bool {
        if self.addresses.first() == Some(&address) {
            return false;
        }
        self.addresses.retain(|known| *known != address);
        self.addresses.insert(0, address);
        self.addresses.truncate(MAX_ADDRESSES_PER_PEER);
        true
    }
}

/// The address book and its redials.
#[derive(Debug)]
pub(super) struct Dialer {
    own: PeerIdBytes,
    contacts: BTreeMap<DialTarget, Contact>,
    book_changed: bool,
    book_told: Option<Duration>,
}

impl Dialer {
    pub(super) fn new(own: PeerIdBytes, known: Vec<KnownPeer>) -> Self {
        let mut dialer =
            Self { own, contacts: BTreeMap::new(), book_changed: false, book_told: None };
        for KnownPeer { peer, hotkey, addresses } in known {
            dialer.learn(peer, Some(hotkey), addresses);
        }
        dialer.book_changed = false;
        dialer
    }

    /// Adds an address, to be dialled whenever its owner is not connected.
    pub(super) fn add_address(&mut self, address: Address) {
        let peer = claimed_peer(&address);
        if peer == Some(self.own) || self.contacts.len() >= MAX_TARGETS {
            return;
        }
        self.contacts
            .entry(DialTarget::Address(address.clone()))
            .or_insert(Contact::new(peer, vec![address]));
    }

    /// A validator states in a signed message that a peer is its own, and where. We believe it
    /// unless the peer proved another hotkey.
    pub(super) fn claimed(&mut self, peer: PeerIdBytes, hotkey: Hotkey, addresses: Vec<Address>) {
        let contact = self.contacts.get(&DialTarget::Peer(peer));
        if contact.is_none_or(|contact| !contact.proven || contact.hotkey == Some(hotkey)) {
            self.learn(peer, Some(hotkey), addresses);
        }
    }

    /// An unsigned hint where a peer is. Used only while nothing better is known.
    pub(super) fn rumour(&mut self, peer: PeerIdBytes, addresses: Vec<Address>) {
        let contact = self.contacts.get(&DialTarget::Peer(peer));
        if contact.is_none_or(|contact| contact.hotkey.is_none()) {
            self.learn(peer, None, addresses);
        }
    }

    /// Takes back [`Self::add_address`].
    pub(super) fn remove_address(&mut self, address: Address) {
        self.contacts.remove(&DialTarget::Address(address));
    }

    /// Learns where a peer is, and its hotkey if a hello or a signed beacon named it. An address
    /// that names another peer is dropped.
    pub(super) fn learn(
        &mut self,
        peer: PeerIdBytes,
        hotkey: Option<Hotkey>,
        addresses: Vec<Address>,
    ) {
        if peer == self.own {
            return;
        }
        if let Some(hotkey) = hotkey {
            self.make_room_for(peer, hotkey);
        }
        let key = DialTarget::Peer(peer);
        if !self.contacts.contains_key(&key) {
            let unproven = self.contacts.iter().filter(|(key, contact)| {
                matches!(key, DialTarget::Peer(_)) && contact.hotkey.is_none()
            });
            let crowded = hotkey.is_none() && unproven.count() >= MAX_UNPROVEN_TARGETS;
            if self.contacts.len() >= MAX_TARGETS || crowded {
                return;
            }
        }
        let contact = self.contacts.entry(key).or_insert(Contact::new(Some(peer), Vec::new()));
        if hotkey.is_some() && contact.hotkey != hotkey {
            contact.hotkey = hotkey;
            self.book_changed = true;
        }
        for address in addresses.into_iter().rev().take(MAX_ADDRESSES_PER_PEER) {
            let fits = claimed_peer(&address).is_none_or(|claimed| claimed == peer);
            if fits && !contact.addresses.contains(&address) {
                contact.addresses.push(address);
                contact.addresses.rotate_right(1);
                contact.addresses.truncate(MAX_ADDRESSES_PER_PEER);
                self.book_changed |= contact.hotkey.is_some();
            }
        }
    }

    /// A hotkey has room for as many peers as may speak for it. If it claims more, it loses its
    /// own.
    fn make_room_for(&mut self, peer: PeerIdBytes, hotkey: Hotkey) {
        let of_hotkey = |(key, contact): &(&DialTarget, &Contact)| {
            **key != DialTarget::Peer(peer)
                && matches!(key, DialTarget::Peer(_))
                && contact.hotkey == Some(hotkey)
        };
        if self.contacts.iter().filter(of_hotkey).count() < MAX_IDENTITIES {
            return;
        }
        let worst = self
            .contacts
            .iter()
            .filter(of_hotkey)
            .max_by_key(|(_, contact)| (!contact.proven, contact.failures));
        if let Some(worst) = worst.map(|(key, _)| key.clone()) {
            self.contacts.remove(&worst);
        }
    }

    /// A dial succeeded.
    pub(super) fn connected(&mut self, key: &DialTarget, peer: PeerIdBytes) {
        if let Some(contact) = self.contacts.get_mut(key) {
            contact.dialling = false;
            contact.peer = Some(peer);
        }
    }

    /// A peer proved its hotkey. The address at which it answered is the best one.
    pub(super) fn proven(&mut self, peer: PeerIdBytes, hotkey: Hotkey, dialled: Option<Address>) {
        self.learn(peer, Some(hotkey), Vec::new());
        if let Some(contact) = self.contacts.get_mut(&DialTarget::Peer(peer)) {
            contact.proven = true;
        }
        for contact in self.contacts.values_mut().filter(|contact| contact.peer == Some(peer)) {
            contact.failures = 0;
        }
        if let (Some(contact), Some(address)) =
            (self.contacts.get_mut(&DialTarget::Peer(peer)), dialled)
        {
            self.book_changed |= contact.prefer(address);
        }
    }

    /// A dial failed.
    pub(super) fn failed(
        &mut self,
        key: &DialTarget,
        now: Duration,
        timing: &Timing,
        rng: &mut StdRng,
    ) {
        let Some(contact) = self.contacts.get_mut(key) else { return };
        contact.dialling = false;
        contact.failures = contact.failures.saturating_add(1);
        contact.next = now + wait(contact.failures, timing, rng);
        let unproven = contact.hotkey.is_none() && matches!(key, DialTarget::Peer(_));
        if unproven && contact.failures >= MAX_UNPROVEN_FAILURES {
            self.contacts.remove(key);
        }
    }

    /// A peer disconnected, perhaps after a refusal.
    pub(super) fn lost(
        &mut self,
        peer: PeerIdBytes,
        refused: bool,
        now: Duration,
        timing: &Timing,
        rng: &mut StdRng,
    ) {
        for contact in self.contacts.values_mut().filter(|contact| contact.peer == Some(peer)) {
            contact.dialling = false;
            if refused {
                contact.failures = contact.failures.saturating_add(1);
            }
            contact.next = now + wait(contact.failures, timing, rng);
        }
    }

    /// The dials to start now.
    pub(super) fn due(
        &mut self,
        now: Duration,
        connected: impl Fn(&PeerIdBytes) -> bool,
        allowlist: &Allowlist,
        enough: bool,
    ) -> Vec<Effect> {
        let mut due = Vec::new();
        let mut chosen = BTreeSet::new();
        for (key, contact) in &mut self.contacts {
            if due.len() >= MAX_DIALS_PER_TICK {
                break;
            }
            let waits = contact.dialling || contact.next > now || contact.addresses.is_empty();
            let here = contact
                .peer
                .is_some_and(|peer| peer == self.own || connected(&peer) || chosen.contains(&peer));
            let stranger = contact.hotkey.is_some_and(|hotkey| !allowlist.contains(&hotkey));
            let spare = enough && matches!(key, DialTarget::Peer(_));
            if waits || here || stranger || spare {
                continue;
            }
            contact.dialling = true;
            chosen.extend(contact.peer);
            // Another process's socket on our port can make every dial from it fail for more than a
            // minute.
            let new_port = contact.failures % 2 == 1;
            due.push(Effect::Dial {
                target: key.clone(),
                addresses: contact.promising(),
                new_port,
            });
        }
        due
    }

    /// The proven part of the address book, if it changed and was not reported recently.
    pub(super) fn changed_book(
        &mut self,
        now: Duration,
        timing: &Timing,
    ) -> Option<Vec<KnownPeer>> {
        let lately = self.book_told.is_some_and(|told| now < told + timing.address_book_pause);
        if !self.book_changed || lately {
            return None;
        }
        self.book_changed = false;
        self.book_told = Some(now);
        Some(self.book())
    }

    fn book(&self) -> Vec<KnownPeer> {
        let known = self.contacts.iter().filter_map(|(key, contact)| match (key, contact.hotkey) {
            (DialTarget::Peer(peer), Some(hotkey)) if !contact.addresses.is_empty() => {
                Some(KnownPeer { peer: *peer, hotkey, addresses: contact.addresses.clone() })
            }
            _ => None,
        });
        known.collect()
    }

    /// Forgets peers whose hotkey is no longer on the allowlist.
    pub(super) fn forget_strangers(&mut self, allowlist: &Allowlist) {
        let before = self.contacts.len();
        self.contacts.retain(|key, contact| {
            matches!(key, DialTarget::Address(_))
                || contact.hotkey.is_none_or(|hotkey| allowlist.contains(&hotkey))
        });
        self.book_changed |= self.contacts.len() != before;
    }
}

/// The peer id that an address ends with, if it names one.
pub(super) fn claimed_peer(address: &Address) -> Option<PeerIdBytes> {
    let (_, id) = address.as_str().rsplit_once("/p2p/")?;
    serde_json::from_value(serde_json::Value::String(id.to_owned())).ok()
}

/// Whether an address means a different machine to everyone who hears of it: it belongs to a
/// private network, to one link or to one machine.
fn is_local(address: &Address) -> bool {
    let mut parts = address.as_str().split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("ip4"), Some(ip)) => ip.parse().is_ok_and(|ip: Ipv4Addr| {
            let shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }),
        (Some("ip6"), Some(ip)) => ip.parse().is_ok_and(|ip: Ipv6Addr| {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }),
        _ => false,
    }
}

/// Doubles with every failure, plus or minus half by chance, so that a mesh that lost power does
/// not come back in step.
fn wait(failures: u32, timing: &Timing, rng: &mut StdRng) -> Duration {
    let doubled = timing.redial_first.saturating_mul(1 << failures.min(16)).min(timing.redial_most);
    doubled.mul_f64(rng.random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn peer(byte: u8) -> PeerIdBytes {
        PeerIdBytes::new(&[byte; 38]).unwrap()
    }

    fn address(port: u16) -> Address {
        Address::new(format!("/ip4/127.0.0.1/tcp/{port}")).unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_longer_after_every_failure_and_starts_over_after_a_proof() {
        let (timing, mut rng) = (Timing::default(), StdRng::seed_from_u64(1));
        let allowlist = Allowlist::from([Hotkey::from_bytes([1; 32])]);
        let mut dialer = Dialer::new(peer(0), vec![]);
        dialer.add_address(address(1));
        let key = DialTarget::Address(address(1));
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let tried = now;
            while dialer.due(now, |_| false, &allowlist, false).is_empty() {
                now += Duration::from_millis(100);
            }
            waits.push(now - tried);
            assert!(dialer.due(now, |_| false, &allowlist, false).is_empty(), "one dial at a time");
            dialer.failed(&key, now, &timing, &mut rng);
        }
        assert!(waits[10] > waits[2] * 4, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= timing.redial_most * 3 / 2 + at(1)), "{waits:?}");
        dialer.connected(&key, peer(1));
        dialer.proven(peer(1), Hotkey::from_bytes([1; 32]), Some(address(1)));
        assert!(dialer.due(now + at(1000), |_| true, &allowlist, false).is_empty());
        dialer.lost(peer(1), false, now, &timing, &mut rng);
        assert_eq!(
            dialer.due(now + at(2), |_| false, &allowlist, false).len(),
            1,
            "one dial for two ways to one peer"
        );
    }

    #[test]
    fn f4_local_addresses_of_a_peer_on_the_internet_are_dialled_only_when_that_fails() {
        let (timing, mut rng) = (Timing::default(), StdRng::seed_from_u64(1));
        let hotkey = Hotkey::from_bytes([1; 32]);
        let allowlist = Allowlist::from([hotkey]);
        let of = |text: &str| Address::new(text).unwrap();
        let public = ["/ip4/8.8.8.8/tcp/4070", "/dns4/a.example/udp/4070/quic-v1"].map(of);
        let local = ["/ip4/172.17.0.1", "/ip4/127.0.0.1", "/ip6/fe80::1", "/ip4/100.64.0.1"]
            .map(|place| of(&format!("{place}/tcp/4070")));
        let everywhere: Vec<Address> = public.iter().chain(&local).cloned().collect();
        let mut dialer = Dialer::new(peer(0), vec![]);
        dialer.learn(peer(1), Some(hotkey), everywhere.clone());
        // A peer in our own network has nothing else.
        dialer.learn(peer(2), Some(hotkey), local.to_vec());
        let dialled = |dialer: &mut Dialer, now| {
            let dials = dialer.due(now, |_| false, &allowlist, false);
            dials
                .into_iter()
                .map(|effect| match effect {
                    Effect::Dial { addresses, .. } => addresses,
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(dialled(&mut dialer, at(0)), [public.to_vec(), local.to_vec()]);
        dialer.failed(&DialTarget::Peer(peer(1)), at(0), &timing, &mut rng);
        assert_eq!(dialled(&mut dialer, at(100)), [everywhere]);
    }

    #[test]
    fn an_address_that_names_another_peer_is_dropped() {
        let mut dialer = Dialer::new(peer(0), vec![]);
        let foreign = Address::new(format!("/ip4/127.0.0.1/tcp/1/p2p/{}", peer(2))).unwrap();
        let own = Address::new(format!("/ip4/127.0.0.1/tcp/1/p2p/{}", peer(0))).unwrap();
        dialer.learn(peer(1), Some(Hotkey::from_bytes([1; 32])), vec![foreign, address(5)]);
        dialer.add_address(own);
        dialer.add_address(address(9));
        dialer.remove_address(address(9));
        let allowlist = Allowlist::from([Hotkey::from_bytes([1; 32])]);
        let due = dialer.due(at(0), |_| false, &allowlist, false);
        let [Effect::Dial { target, addresses, new_port: false }] = &due[..] else {
            panic!("{due:?}")
        };
        assert_eq!((target, &addresses[..]), (&DialTarget::Peer(peer(1)), &[address(5)][..]));
    }

    #[test]
    fn the_book_survives_and_forgets_who_left_the_allowlist() {
        let hotkey = Hotkey::from_bytes([1; 32]);
        let mut dialer = Dialer::new(peer(0), vec![]);
        dialer.learn(peer(1), Some(hotkey), vec![address(1), address(2)]);
        dialer.learn(peer(3), None, vec![address(3)]);
        let book = dialer.changed_book(at(0), &Timing::default()).unwrap();
        assert_eq!(
            book,
            vec![KnownPeer { peer: peer(1), hotkey, addresses: vec![address(1), address(2)] }]
        );
        assert!(dialer.changed_book(at(100), &Timing::default()).is_none());
        let mut again = Dialer::new(peer(0), book.clone());
        assert_eq!(again.book(), book);
        again.forget_strangers(&Allowlist::new());
        assert_eq!(again.changed_book(at(0), &Timing::default()), Some(vec![]));
    }

    #[test]
    fn a_validator_that_claims_many_peers_crowds_out_only_itself() {
        let mut dialer = Dialer::new(peer(0), vec![]);
        let (honest, liar) = (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]));
        dialer.claimed(peer(1), honest, vec![address(1)]);
        dialer.claimed(peer(2), liar, vec![address(2)]);
        dialer.proven(peer(2), liar, None);
        for n in 10..200 {
            dialer.claimed(peer(n), liar, vec![address(u16::from(n))]);
        }
        assert_eq!(dialer.contacts.len(), 1 + MAX_IDENTITIES);
        assert!(dialer.contacts.contains_key(&DialTarget::Peer(peer(1))));
        assert!(
            dialer.contacts.contains_key(&DialTarget::Peer(peer(2))),
            "a peer that proved itself stays longest"
        );
    }

    #[test]
    fn nobody_else_says_where_a_proven_peer_is() {
        let mut dialer = Dialer::new(peer(0), vec![]);
        let (honest, liar) = (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]));
        dialer.claimed(peer(1), honest, vec![address(1)]);
        dialer.proven(peer(1), honest, None);
        dialer.claimed(peer(1), liar, vec![address(66)]);
        dialer.rumour(peer(1), vec![address(67)]);
        let known = KnownPeer { peer: peer(1), hotkey: honest, addresses: vec![address(1)] };
        assert_eq!(dialer.book(), vec![known]);
        dialer.claimed(peer(1), honest, vec![address(2)]);
        assert_eq!(dialer.book()[0].addresses, vec![address(2), address(1)]);
    }

    #[test]
    fn unproven_peers_are_few_and_soon_forgotten() {
        let mut dialer = Dialer::new(peer(0), vec![]);
        for n in 1..200 {
            dialer.learn(peer(n), None, vec![address(u16::from(n))]);
        }
        assert_eq!(dialer.contacts.len(), MAX_UNPROVEN_TARGETS);
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..MAX_UNPROVEN_FAILURES {
            dialer.failed(&DialTarget::Peer(peer(1)), at(0), &Timing::default(), &mut rng);
        }
        assert_eq!(dialer.contacts.len(), MAX_UNPROVEN_TARGETS - 1);
    }
}

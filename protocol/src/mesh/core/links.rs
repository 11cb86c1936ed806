//! Who hears whom.
//!
//! A beacon says which validators its sender hears and which it sends to directly. The link of two
//! connected validators is good if each hears the other, knows the other's subscriptions, and says
//! so. A link that stays one-sided is cut and dialled again. The reason: gossipsub announces its
//! subscriptions on the first connection to a peer only. A validator that restarts under the same
//! peer id before its peers find the old connection dead never learns them, and only a fresh
//! connection repairs that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::{MAX_IDENTITIES, MAX_RESET_HISTORIES, Timing};
use crate::hello::PeerIdBytes;
use crate::messages::{Address, Beacon, Heard, MAX_VALIDATORS};
use crate::{BlockNumber, Digest, Hotkey};

/// The last beacon, or hello, of a hotkey under one peer id.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) peer: PeerIdBytes,
    first: Duration,
    last: Duration,
    beacon_seq: Option<u64>,
    pub(super) head: Option<BlockNumber>,
    pub(super) inventory: Option<Digest>,
    /// What the sender's last beacon says about us; `None` if it refers to a list that we do not
    /// know.
    of_us: Option<Heard>,
}

/// What a beacon changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heeded {
    /// An old one, or a repetition.
    Replayed,
    /// The sender was not heard recently.
    Newcomer,
    /// One more.
    Again,
}

/// How often a link was reset in a row, and when it was last.
#[derive(Clone, Copy, Debug)]
struct Resets {
    count: u32,
    at: Duration,
}

/// Sightings by hotkey, and the memory of resets.
#[derive(Debug, Default)]
pub(super) struct Links {
    seen: BTreeMap<Hotkey, Vec<Sighting>>,
    resets: BTreeMap<PeerIdBytes, Resets>,
}

impl Links {
    /// Takes note of a valid beacon, whoever passed it on. `of_us` is what it says of us, if we can
    /// read that.
    pub(super) fn beacon(
        &mut self,
        beacon: &Beacon,
        of_us: Option<Heard>,
        now: Duration,
        timing: &Timing,
    ) -> Heeded {
        let fresh_before = self.fresh(&beacon.sender, now, timing).is_some();
        let Some(sighting) = self.sight(beacon.sender, beacon.peer, now) else {
            return Heeded::Replayed;
        };
        if sighting.beacon_seq.is_some_and(|seq| beacon.seq <= seq) {
            return Heeded::Replayed;
        }
        sighting.beacon_seq = Some(beacon.seq);
        sighting.last = now;
        sighting.head = Some(beacon.head);
        sighting.inventory = Some(beacon.inventory);
        sighting.of_us = of_us;
        if fresh_before { Heeded::Again } else { Heeded::Newcomer }
    }

    /// Takes note of a proven hello.
    pub(super) fn hello(&mut self, hotkey: Hotkey, peer: PeerIdBytes, now: Duration) {
        if let Some(sighting) = self.sight(hotkey, peer, now) {
            sighting.last = now;
        }
    }

    fn sight(&mut self, hotkey: Hotkey, peer: PeerIdBytes, now: Duration) -> Option<&mut Sighting> {
        if self.seen.len() > 2 * MAX_VALIDATORS && !self.seen.contains_key(&hotkey) {
            return None;
        }
        let sightings = self.seen.entry(hotkey).or_default();
        if !sightings.iter().any(|sighting| sighting.peer == peer) {
            if sightings.len() >= MAX_IDENTITIES {
                sightings.sort_by_key(|sighting| std::cmp::Reverse(sighting.last));
                sightings.pop();
            }
            sightings.push(Sighting {
                peer,
                first: now,
                last: now,
                beacon_seq: None,
                head: None,
                inventory: None,
                of_us: None,
            });
        }
        sightings.iter_mut().find(|sighting| sighting.peer == peer)
    }

    /// Another peer id under which the hotkey is alive at the same time as under `peer`. After a
    /// restart under a new identity the old one is silent; two machines both go on speaking.
    pub(super) fn doppelganger(
        &self,
        hotkey: &Hotkey,
        peer: &PeerIdBytes,
        timing: &Timing,
    ) -> Option<PeerIdBytes> {
        let sightings = self.seen.get(hotkey)?;
        let this = sightings.iter().find(|sighting| sighting.peer == *peer)?;
        let lives_beside = |other: &&Sighting| {
            let overlap = this.last.min(other.last).saturating_sub(this.first.max(other.first));
            other.peer != *peer && overlap >= timing.beacon_interval / 2
        };
        sightings.iter().find(lives_beside).map(|other| other.peer)
    }

    /// The newest beacon of a hotkey, if it is recent.
    pub(super) fn fresh(
        &self,
        hotkey: &Hotkey,
        now: Duration,
        timing: &Timing,
    ) -> Option<&Sighting> {
        let heard = self.seen.get(hotkey)?.iter().filter(|sighting| sighting.beacon_seq.is_some());
        heard
            .max_by_key(|sighting| sighting.last)
            .filter(|s| now.saturating_sub(s.last) <= timing.hear_window())
    }

    /// Every hotkey that was heard recently.
    pub(super) fn heard(&self, now: Duration, timing: &Timing) -> Vec<Hotkey> {
        self.seen
            .keys()
            .filter(|hotkey| self.fresh(hotkey, now, timing).is_some())
            .copied()
            .collect()
    }

    /// Whether the other side says that it hears us and sends to us directly. If its beacon refers
    /// to a list that we do not know, as happens while one of the two has not heard of a new list,
    /// the link counts as good.
    pub(super) fn is_returned(
        &self,
        hotkey: &Hotkey,
        peer: &PeerIdBytes,
        now: Duration,
        timing: &Timing,
    ) -> bool {
        let fresh = self.fresh(hotkey, now, timing);
        fresh.is_some_and(|sighting| {
            sighting.peer == *peer && sighting.of_us.is_none_or(|said| said.heard && said.linked)
        })
    }

    /// How long the link with this peer may stay one-sided before the next reset.
    pub(super) fn grace(&self, peer: &PeerIdBytes, timing: &Timing) -> Duration {
        let count = self.resets.get(peer).map_or(0, |resets| resets.count);
        timing.link_grace * (1 << count.min(6))
    }

    /// A link was cut.
    pub(super) fn reset(&mut self, peer: PeerIdBytes, now: Duration) {
        if self.resets.len() >= MAX_RESET_HISTORIES && !self.resets.contains_key(&peer) {
            let oldest =
                self.resets.iter().min_by_key(|(_, resets)| resets.at).map(|(peer, _)| *peer);
            oldest.map(|oldest| self.resets.remove(&oldest));
        }
        let resets = self.resets.entry(peer).or_insert(Resets { count: 0, at: now });
        resets.count = resets.count.saturating_add(1);
        resets.at = now;
    }

    /// A link is good.
    pub(super) fn good(&mut self, peer: &PeerIdBytes) {
        self.resets.remove(peer);
    }

    /// Forgets hotkeys that are not on the allowlist, and identities not seen for a long time.
    pub(super) fn prune(
        &mut self,
        is_listed: impl Fn(&Hotkey) -> bool,
        now: Duration,
        timing: &Timing,
    ) {
        let long = timing.hear_window() * 10;
        self.seen.retain(|hotkey, sightings| {
            sightings.retain(|sighting| now.saturating_sub(sighting.last) <= long);
            is_listed(hotkey) && !sightings.is_empty()
        });
    }
}

/// One beacon in this many carries our addresses, for those that missed an earlier one.
const ADDRESSES_EVERY: u32 = 6;

/// When the next beacon goes out, and whether it says where we listen.
#[derive(Debug, Default)]
pub(super) struct BeaconClock {
    last: Option<Duration>,
    next: Duration,
    /// Beacons since the last one with our addresses; `None` if they are to be said at once.
    since_addresses: Option<u32>,
}

impl BeaconClock {
    /// Makes the next beacon due soon, but not at once, so that several reasons lead to one beacon.
    pub(super) fn hurry(&mut self, now: Duration, timing: &Timing) {
        let earliest =
            self.last.map_or(now, |last| last + timing.beacon_gap).max(now + timing.beacon_gap / 4);
        self.next = self.next.min(earliest);
    }

    /// The same, and the beacon says where we listen: that changed, or somebody new does not know.
    pub(super) fn introduce(&mut self, now: Duration, timing: &Timing) {
        self.since_addresses = None;
        self.hurry(now, timing);
    }

    /// Whether a beacon is due. If so, sets the time of the next one.
    pub(super) fn is_due(&mut self, now: Duration, timing: &Timing) -> bool {
        if now < self.next {
            return false;
        }
        self.last = Some(now);
        self.next = now + timing.beacon_interval;
        true
    }

    /// Whether the beacon that goes out now says where we listen.
    pub(super) fn says_addresses(&mut self) -> bool {
        let since = self.since_addresses.map_or(ADDRESSES_EVERY, |since| since + 1);
        let says = since >= ADDRESSES_EVERY;
        self.since_addresses = Some(if says { 0 } else { since });
        says
    }
}

/// The address without a peer id at its end, as beacons carry it.
pub(super) fn without_peer(address: &Address) -> Option<Address> {
    match address.as_str().rsplit_once("/p2p/") {
        Some((place, _)) => Address::new(place),
        None => Some(address.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerIdBytes {
        PeerIdBytes::new(&[byte]).unwrap()
    }

    #[test]
    fn a_restart_under_a_new_identity_is_no_doppelganger_and_two_machines_are() {
        let (mut links, timing) = (Links::default(), Timing::default());
        let hotkey = Hotkey::from_bytes([1; 32]);
        let at = Duration::from_secs;
        links.hello(hotkey, peer(1), at(0));
        links.hello(hotkey, peer(1), at(50));
        links.hello(hotkey, peer(2), at(52));
        links.hello(hotkey, peer(1), at(53));
        links.hello(hotkey, peer(2), at(90));
        assert_eq!(links.doppelganger(&hotkey, &peer(2), &timing), None);
        links.hello(hotkey, peer(1), at(91));
        assert_eq!(links.doppelganger(&hotkey, &peer(2), &timing), Some(peer(1)));
        assert_eq!(links.doppelganger(&hotkey, &peer(1), &timing), Some(peer(2)));
    }

    #[test]
    fn a_link_that_stays_bad_is_reset_less_and_less_often() {
        let (mut links, timing) = (Links::default(), Timing::default());
        let first = links.grace(&peer(1), &timing);
        links.reset(peer(1), Duration::ZERO);
        links.reset(peer(1), Duration::ZERO);
        assert_eq!(links.grace(&peer(1), &timing), first * 4);
        for _ in 0..100 {
            links.reset(peer(1), Duration::ZERO);
        }
        assert_eq!(links.grace(&peer(1), &timing), first * 64);
        links.good(&peer(1));
        assert_eq!(links.grace(&peer(1), &timing), first);
    }

    #[test]
    fn beacons_hurry_without_flooding() {
        let (mut clock, timing) = (BeaconClock::default(), Timing::default());
        let at = Duration::from_millis;
        assert!(clock.is_due(at(0), &timing));
        clock.hurry(at(10), &timing);
        clock.hurry(at(20), &timing);
        assert!(!clock.is_due(at(900), &timing));
        assert!(clock.is_due(at(1010), &timing));
        assert!(!clock.is_due(at(5000), &timing));
        assert!(clock.is_due(at(11_010), &timing));
    }

    #[test]
    fn addresses_are_said_at_first_when_they_change_and_with_every_sixth_beacon() {
        let (mut clock, timing) = (BeaconClock::default(), Timing::default());
        let mut said = |beacons: usize| -> Vec<usize> {
            (0..beacons).filter(|_| clock.says_addresses()).collect()
        };
        assert_eq!(said(13), [0, 6, 12]);
        clock.introduce(Duration::ZERO, &timing);
        assert!(clock.says_addresses() && !clock.says_addresses());
    }
}

//! What the passing of time does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::effect::{Effect, Parting};
use super::event::Offence;
use super::limits::ENOUGH_SESSIONS;
use super::mesh_event::MeshEvent;
use super::state::Core;
use crate::Hotkey;
use crate::codec::Wire as _;
use crate::hello::PeerIdBytes;
use crate::messages::{BeaconDraft, Heard, HeardMap, Topic};

impl Core {
    pub(super) fn on_tick(&mut self, now: Duration) {
        self.part_with_the_unproven(now);
        self.reset_one_sided_links(now);
        self.send_beacon(now);
        self.retry_grants(now);
        self.redial(now);
        for topic in self.outbox.expire(now) {
            self.tell(MeshEvent::Undelivered { topic });
        }
        for peer in self.scores.decay(now) {
            self.effects.push(Effect::Unban { peer });
        }
        // A validator's hello is refused while its score is bad; there is no ban to lift.
        let _ = self.validator_scores.decay(now);
        if let Some(book) = self.dialer.changed_book(now, &self.timing) {
            self.tell(MeshEvent::AddressBook(book));
        }
        let chain = &self.chain;
        self.links.prune(
            |hotkey| chain.is_listed(hotkey) || *hotkey == self.hotkey,
            now,
            &self.timing,
        );
        let hears_others =
            self.links.heard(now, &self.timing).iter().any(|hotkey| *hotkey != self.hotkey);
        self.ears.pass(now, hears_others, &self.timing);
        if !self.ears.hears_double() {
            self.doppelgangers.remove(&self.hotkey);
        }
    }

    fn part_with_the_unproven(&mut self, now: Duration) {
        let mut late = Vec::new();
        for (peer, state) in &self.peers {
            if state.leaves_at.is_some_and(|at| at <= now) {
                self.effects.push(Effect::Disconnect { peer: *peer, parting: Parting::Refused });
            } else if state.session.is_none()
                && state.leaves_at.is_none()
                && now.saturating_sub(state.since) > self.timing.hello_deadline
            {
                self.effects.push(Effect::Disconnect { peer: *peer, parting: Parting::NoHello });
                late.push(*peer);
            }
        }
        for peer in late {
            // The peer is blamed once, not in every tick until the disconnection is reported.
            if let Some(state) = self.peers.get_mut(&peer) {
                state.leaves_at = Some(now + self.timing.hello_deadline);
            }
            self.blame(now, peer, Offence::NoHello);
        }
    }

    /// Whether each side hears the other, sends to the other, and says so.
    pub(super) fn is_mutual(&self, peer: &PeerIdBytes, now: Duration) -> bool {
        let Some(state) = self.peers.get(peer) else { return false };
        let Some(hotkey) = state.hotkey() else { return false };
        state.topics.contains(&Topic::Beacon)
            && self.links.is_returned(&hotkey, peer, now, &self.timing)
    }

    fn reset_one_sided_links(&mut self, now: Duration) {
        let proven: Vec<_> =
            self.peers.iter().filter_map(|(peer, state)| Some((*peer, state.hotkey()?))).collect();
        for (peer, hotkey) in proven {
            let mutual = self.is_mutual(&peer, now);
            let Some(state) = self.peers.get_mut(&peer) else { continue };
            if mutual {
                state.one_sided_since = now;
                self.links.good(&peer);
            } else if now.saturating_sub(state.one_sided_since)
                > self.links.grace(&peer, &self.timing)
            {
                state.one_sided_since = now;
                self.links.reset(peer, now);
                self.tell(MeshEvent::LinkReset { hotkey, peer });
                self.effects.push(Effect::Disconnect { peer, parting: Parting::OneSidedLink });
            }
        }
    }

    fn send_beacon(&mut self, now: Duration) {
        if !self.beacon_clock.is_due(now, &self.timing) || self.listeners(Topic::Beacon) == 0 {
            return;
        }
        let linked: BTreeSet<Hotkey> = self
            .peers
            .values()
            .filter(|state| state.topics.contains(&Topic::Beacon))
            .filter_map(|state| state.hotkey())
            .collect();
        let (validators, list) = self.chain.allowlists.newest_in_order();
        let heard = validators.iter().map(|hotkey| Heard {
            heard: self.links.fresh(hotkey, now, &self.timing).is_some(),
            linked: linked.contains(hotkey),
        });
        let heard = HeardMap::new(list, heard);
        let says_addresses = self.beacon_clock.says_addresses();
        let beacon = BeaconDraft {
            network: self.chain.network,
            peer: self.peer,
            head: self.chain.head,
            seq: self.next_sequence(),
            heard,
            addresses: says_addresses.then(|| self.listening.clone()),
            inventory: self.agreement.inventory(),
        };
        if let Ok(bytes) = self.signer.sign_beacon(beacon).to_wire() {
            self.effects.push(Effect::Publish { topic: Topic::Beacon, bytes });
        }
    }

    fn redial(&mut self, now: Duration) {
        let sessions = self.peers.values().filter(|state| state.session.is_some()).count();
        let peers = &self.peers;
        let allowlist = self.chain.allowlists.newest();
        let due = self.dialer.due(
            now,
            |peer| peers.contains_key(peer),
            allowlist,
            sessions >= ENOUGH_SESSIONS,
        );
        self.effects.extend(due);
    }
}

//! What the passing of time does.

use std::time::Duration;

use super::Core;
use super::event::{Effect, MeshEvent, Offence, Parting};
use super::limits::ENOUGH_SESSIONS;
use crate::codec::Wire as _;
use crate::hello::PeerIdBytes;
use crate::messages::{BeaconDraft, Heard, Topic};

impl Core {
    pub(super) fn on_tick(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.part_with_the_unproven(now, out);
        self.reset_one_sided_links(now, out);
        self.send_beacon(now, out);
        self.retry_grants(now, out);
        self.redial(now, out);
        for topic in self.outbox.expire(now) {
            out.push(Effect::Tell(MeshEvent::Undelivered { topic }));
        }
        for peer in self.scores.decay(now) {
            out.push(Effect::Unban { peer });
        }
        // Validators are turned away at their hello; there is nothing to undo.
        let _ = self.validator_scores.decay(now);
        if let Some(book) = self.dialer.changed_book(now, &self.timing) {
            out.push(Effect::Tell(MeshEvent::AddressBook(book)));
        }
        let view = &self.view;
        self.links.prune(
            |hotkey| view.is_listed(hotkey) || *hotkey == self.hotkey,
            now,
            &self.timing,
        );
        let hears_others =
            self.links.heard(now, &self.timing).iter().any(|hotkey| *hotkey != self.hotkey);
        self.ears.pass(now, hears_others, &self.timing);
    }

    fn part_with_the_unproven(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let mut late = Vec::new();
        for (peer, state) in &self.peers {
            if state.leaves_at.is_some_and(|at| at <= now) {
                out.push(Effect::Disconnect { peer: *peer, parting: Parting::Refused });
            } else if state.session.is_none()
                && state.leaves_at.is_none()
                && now.saturating_sub(state.since) > self.timing.hello_deadline
            {
                out.push(Effect::Disconnect { peer: *peer, parting: Parting::NoHello });
                late.push(*peer);
            }
        }
        for peer in late {
            // Once: until the disconnection is reported, further ticks must not count again.
            if let Some(state) = self.peers.get_mut(&peer) {
                state.leaves_at = Some(now + self.timing.hello_deadline);
            }
            self.blame(now, peer, Offence::NoHello, out);
        }
    }

    /// Whether each side hears the other, sends to the other, and says so.
    pub(super) fn is_mutual(&self, peer: &PeerIdBytes, now: Duration) -> bool {
        let Some(state) = self.peers.get(peer) else { return false };
        let Some(session) = state.session else { return false };
        state.topics.contains(&Topic::Beacon)
            && self.links.is_returned(&session.hotkey, peer, now, &self.timing)
    }

    fn reset_one_sided_links(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let proven: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(peer, state)| Some((*peer, state.session?.hotkey)))
            .collect();
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
                out.push(Effect::Tell(MeshEvent::LinkReset { hotkey, peer }));
                out.push(Effect::Disconnect { peer, parting: Parting::OneSidedLink });
            }
        }
    }

    fn send_beacon(&mut self, now: Duration, out: &mut Vec<Effect>) {
        if !self.beacon_clock.is_due(now, &self.timing) || self.listeners(Topic::Beacon) == 0 {
            return;
        }
        let linked: Vec<_> = self
            .peers
            .values()
            .filter(|state| state.topics.contains(&Topic::Beacon))
            .filter_map(|state| Some(state.session?.hotkey))
            .collect();
        let heard = self.links.heard(now, &self.timing).into_iter();
        let beacon = BeaconDraft {
            network: self.view.network,
            peer: self.peer,
            head: self.view.head,
            seq: self.next_sequence(out),
            heard: heard.map(|hotkey| Heard { hotkey, linked: linked.contains(&hotkey) }).collect(),
            addresses: self.listening.clone(),
            inventory: self.agreement.inventory(),
        };
        if let Ok(bytes) = self.signer.sign_beacon(beacon).to_wire() {
            out.push(Effect::Publish { topic: Topic::Beacon, bytes });
        }
    }

    fn redial(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let sessions = self.peers.values().filter(|state| state.session.is_some()).count();
        let peers = &self.peers;
        let allowlist = self.view.allowlists.newest();
        let due = self.dialer.due(
            now,
            |peer| peers.contains_key(peer),
            allowlist,
            sessions >= ENOUGH_SESSIONS,
        );
        out.extend(due);
    }
}

//! Connections and membership: who is connected, and who has to leave.

use std::sync::Arc;
use std::time::Duration;

use super::effect::{Effect, Parting};
use super::event::DialTarget;
use super::holdings::Holdings;
use super::limits::{MAX_CONNECTED_PEERS, MAX_UNPROVEN_PEERS};
use super::mesh_event::MeshEvent;
use super::peer::PeerState;
use super::state::Core;
use crate::BlockNumber;
use crate::hello::{HELLO_LIFETIME_BLOCKS, PeerIdBytes};
use crate::messages::{Address, Allowlists, TaskList, Topic};

impl Core {
    pub(super) fn on_connected(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        address: Address,
        outbound: bool,
        target: Option<DialTarget>,
    ) {
        if let Some(target) = &target {
            self.dialer.connected(target, peer);
        }
        if self.peers.contains_key(&peer) {
            return;
        }
        if self.peers.len() >= MAX_CONNECTED_PEERS {
            self.effects.push(Effect::Disconnect { peer, parting: Parting::TooMany });
            return;
        }
        if !outbound {
            self.make_room_for_a_stranger(now);
        }
        self.peers.insert(peer, PeerState::new(address, outbound, now));
        // Whoever dialled says hello first. A shunned peer's hello is refused, with the reason.
        if outbound {
            self.send_hello(peer);
        }
    }

    /// Strangers that hold connections must not keep a validator from proving itself: the one that
    /// took longest goes.
    fn make_room_for_a_stranger(&mut self, now: Duration) {
        let unproven = |(_, state): &(&PeerIdBytes, &mut PeerState)| {
            state.session.is_none() && !state.outbound && state.leaves_at.is_none()
        };
        if self.peers.iter_mut().filter(unproven).count() < MAX_UNPROVEN_PEERS {
            return;
        }
        let slowest = self.peers.iter_mut().filter(unproven).min_by_key(|(_, state)| state.since);
        if let Some((peer, state)) = slowest {
            state.leaves_at = Some(now);
            self.effects.push(Effect::Disconnect { peer: *peer, parting: Parting::TooMany });
        }
    }

    pub(super) fn on_disconnected(&mut self, now: Duration, peer: PeerIdBytes) {
        let Some(state) = self.peers.remove(&peer) else { return };
        self.catchups.lost(&peer);
        if self.scores.is_banned(&peer) {
            // A ban that came with a refusal starts only now, so that the reason could arrive.
            self.effects.push(Effect::Ban { peer });
        }
        self.dialer.lost(peer, state.session.is_none(), now, &self.timing, &mut self.rng);
        if let Some(hotkey) = state.hotkey() {
            self.tell(MeshEvent::PeerDown { hotkey, peer });
        }
    }

    pub(super) fn on_subscribed(&mut self, now: Duration, peer: PeerIdBytes, topic: Topic) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.topics.insert(topic);
        if state.session.is_some() {
            self.release_kept(topic);
            if topic == Topic::Beacon {
                self.beacon_clock.hurry(now, &self.timing);
            }
        }
    }

    pub(super) fn on_allowlists(&mut self, now: Duration, lists: Vec<TaskList>) {
        self.chain.allowlists = Allowlists::new(lists);
        let changed = self.agreement.recount(&self.chain.context(), &self.holdings.certificates);
        for (file, certificate) in changed {
            match certificate {
                Some(certificate) => self.tell(MeshEvent::Certified(certificate)),
                None => drop(Arc::make_mut(&mut self.holdings).certificates.remove(&file)),
            }
        }
        let chain = &self.chain;
        self.hello_sequences.retain(|hotkey, _| chain.is_listed(hotkey));
        self.allowances.retain(|hotkey| chain.is_listed(hotkey));
        self.reports.retain(|hotkey| chain.is_listed(hotkey));
        self.links.prune(|hotkey| chain.is_listed(hotkey), now, &self.timing);
        self.dialer.forget_strangers(chain.allowlists.newest());
        for (peer, state) in &mut self.peers {
            if let Some(hotkey) = state.hotkey().filter(|hotkey| !chain.is_listed(hotkey)) {
                state.session = None;
                let (peer, parting) = (*peer, Parting::RemovedFromAllowlist);
                self.effects.push(Effect::Tell(MeshEvent::PeerDown { hotkey, peer }));
                self.effects.push(Effect::Disconnect { peer, parting });
            }
        }
    }

    pub(super) fn on_head(&mut self, head: BlockNumber) {
        if !self.chain.advance(head) {
            return;
        }
        self.agreement.prune(self.chain.oldest_kept(0));
        if self.chain.horizon >= self.next_prune {
            self.next_prune = Holdings::next_prune(self.chain.horizon);
            let oldest = Holdings::prune(&mut self.holdings, &self.chain);
            self.tell(MeshEvent::Outdated { oldest });
        }
        let mut renew = Vec::new();
        for (peer, state) in &mut self.peers {
            if let Some(session) = state.session.filter(|session| session.expires < head) {
                state.session = None;
                let (peer, hotkey) = (*peer, session.hotkey);
                self.effects.push(Effect::Tell(MeshEvent::PeerDown { hotkey, peer }));
                self.effects.push(Effect::Disconnect { peer, parting: Parting::HelloExpired });
            } else if let Some(expires) = state.our_hello_expires
                && expires.0 < head.0.saturating_add(HELLO_LIFETIME_BLOCKS / 2)
            {
                renew.push(*peer);
            }
        }
        for peer in renew {
            self.send_hello(peer);
        }
    }
}

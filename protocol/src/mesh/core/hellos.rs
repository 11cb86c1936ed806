//! Connections: who they turn out to be, and who may stay.

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::{DialTarget, Effect, MeshEvent, Offence, Parting, RefusedBy, Token};
use super::limits::{
    Bucket, MAX_CONNECTED_PEERS, MAX_SESSIONS_PER_HOTKEY, MAX_UNPROVEN_PEERS, REQUEST_BURST,
    REQUESTS_PER_SECOND, STRANGER_GOSSIP_BURST, STRANGER_GOSSIP_PER_SECOND,
};
use super::scores::Verdict;
use super::{Core, links};
use crate::hello::{
    HELLO_LIFETIME_BLOCKS, Hello, HelloAnswer, HelloContext, HelloDraft, HelloRefusal, PeerIdBytes,
};
use crate::messages::{Address, Topic};
use crate::{BlockNumber, Hotkey, TaskId};

/// Score that gossip gives a proven validator: above every threshold, so that strangers never crowd
/// one out.
pub(super) const MEMBER_SCORE: f64 = 10.0;
/// A proof that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) hotkey: Hotkey,
    pub(super) expires: BlockNumber,
    /// Grows when the peer restarts.
    seq: u64,
}

/// A connected peer.
#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) since: Duration,
    pub(super) outbound: bool,
    pub(super) address: Address,
    pub(super) session: Option<Session>,
    /// Our own hello to it ends here; a new one goes out at half of its life.
    pub(super) our_hello_expires: Option<BlockNumber>,
    /// Set by a refusal: the answer is on its way, then the connection ends.
    pub(super) leaves_at: Option<Duration>,
    pub(super) topics: BTreeSet<Topic>,
    /// What it may hand over before it is proven; afterwards its hotkey's allowance holds.
    pub(super) gossip: Bucket,
    pub(super) requests: Bucket,
    pub(super) flood_blamed: Option<Duration>,
    /// Since when the link is not mutual.
    pub(super) one_sided_since: Duration,
    pub(super) grant_version: u64,
    pub(super) grant_retry: Option<(Duration, Duration)>,
}

impl PeerState {
    fn new(address: Address, outbound: bool, now: Duration) -> Self {
        Self {
            since: now,
            outbound,
            address,
            session: None,
            our_hello_expires: None,
            leaves_at: None,
            topics: BTreeSet::new(),
            gossip: Bucket::new(STRANGER_GOSSIP_BURST, STRANGER_GOSSIP_PER_SECOND, now),
            requests: Bucket::new(REQUEST_BURST, REQUESTS_PER_SECOND, now),
            flood_blamed: None,
            one_sided_since: now,
            grant_version: 0,
            grant_retry: None,
        }
    }
}

impl Core {
    pub(super) fn on_connected(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        address: Address,
        outbound: bool,
        target: Option<DialTarget>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(target) = &target {
            self.dialer.connected(target, peer);
        }
        if self.peers.contains_key(&peer) {
            return;
        }
        if self.peers.len() >= MAX_CONNECTED_PEERS {
            out.push(Effect::Disconnect { peer, parting: Parting::TooMany });
            return;
        }
        if !outbound {
            self.make_room_for_a_stranger(now, out);
        }
        self.peers.insert(peer, PeerState::new(address, outbound, now));
        if self.scores.is_shunned(&peer, now) && !outbound {
            return; // Its hello will be refused, with the reason.
        }
        if outbound {
            self.send_hello(peer, out);
        }
    }

    /// Strangers that hold connections must not keep a validator from proving itself: the one that
    /// took longest goes.
    fn make_room_for_a_stranger(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let unproven = |(_, state): &(&PeerIdBytes, &mut PeerState)| {
            state.session.is_none() && !state.outbound && state.leaves_at.is_none()
        };
        if self.peers.iter_mut().filter(unproven).count() < MAX_UNPROVEN_PEERS {
            return;
        }
        if let Some((peer, state)) =
            self.peers.iter_mut().filter(unproven).min_by_key(|(_, state)| state.since)
        {
            state.leaves_at = Some(now);
            out.push(Effect::Disconnect { peer: *peer, parting: Parting::TooMany });
        }
    }

    pub(super) fn send_hello(&mut self, peer: PeerIdBytes, out: &mut Vec<Effect>) {
        let hello = self.own_hello();
        if let Some(state) = self.peers.get_mut(&peer) {
            state.our_hello_expires = Some(hello.expires);
        }
        out.push(Effect::SendHello { peer, hello });
    }

    fn own_hello(&self) -> Hello {
        let seq = self.hello_sequence;
        self.signer.sign_hello(HelloDraft {
            network: self.view.network,
            peer: self.peer,
            params: self.view.params,
            seq,
            expires: BlockNumber(self.view.head.0.saturating_add(HELLO_LIFETIME_BLOCKS)),
        })
    }

    pub(super) fn on_disconnected(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        out: &mut Vec<Effect>,
    ) {
        let Some(state) = self.peers.remove(&peer) else { return };
        self.catchups.lost(&peer);
        if self.scores.is_banned(&peer) {
            // Also after a refusal, whose reason had to arrive first.
            out.push(Effect::Ban { peer });
        }
        self.dialer.lost(peer, state.session.is_none(), now, &self.timing, &mut self.rng);
        if let Some(session) = state.session {
            out.push(Effect::Tell(MeshEvent::PeerDown { hotkey: session.hotkey, peer }));
        }
    }

    /// Checks a hello: the proof first, then membership.
    fn judge_hello(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        hello: &Hello,
    ) -> Result<(), HelloRefusal> {
        if self.scores.is_shunned(&peer, now) {
            return Err(HelloRefusal::Banned);
        }
        let context = HelloContext {
            network: self.view.network,
            peer,
            params: self.view.params,
            head: self.view.head,
            last_seq: self.hello_sequences.get(&hello.hotkey).copied(),
            signatures: &self.view.signatures,
        };
        let proof = hello.verify(&context);
        let is_listed = self.view.is_listed(&hello.hotkey);
        let is_proven = matches!(proof, Ok(()) | Err(HelloRefusal::OlderSeq { .. }));
        if is_proven && (is_listed || hello.hotkey == self.hotkey) {
            self.links.hello(hello.hotkey, peer, now);
        }
        proof?;
        if !is_listed {
            return Err(HelloRefusal::NotOnAllowlist { hotkey: hello.hotkey });
        }
        if self.validator_scores.is_shunned(&hello.hotkey, now) {
            return Err(HelloRefusal::Banned);
        }
        self.hello_sequences.insert(hello.hotkey, hello.seq);
        Ok(())
    }

    pub(super) fn on_hello(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        token: Token,
        hello: Hello,
        out: &mut Vec<Effect>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if !state.requests.take(now) {
            self.flooded(now, peer, out);
            return;
        }
        match self.judge_hello(now, peer, &hello) {
            Ok(()) => {
                let ours = self.own_hello();
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.our_hello_expires = Some(ours.expires);
                }
                out.push(Effect::AnswerHello { token, answer: HelloAnswer::Accepted(ours) });
                self.establish(now, peer, &hello, out);
            }
            Err(reason) => {
                out.push(Effect::AnswerHello {
                    token,
                    answer: HelloAnswer::Refused(reason.clone()),
                });
                self.refuse(now, peer, reason, out);
            }
        }
    }

    pub(super) fn on_hello_answered(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        answer: Option<HelloAnswer>,
        out: &mut Vec<Effect>,
    ) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match answer {
            Some(HelloAnswer::Accepted(hello)) => match self.judge_hello(now, peer, &hello) {
                Ok(()) => self.establish(now, peer, &hello, out),
                Err(reason) => self.refuse(now, peer, reason, out),
            },
            Some(HelloAnswer::Refused(reason)) => {
                if matches!(reason, HelloRefusal::OlderSeq { .. }) {
                    self.ears.suspect();
                }
                out.push(Effect::Tell(MeshEvent::Refused { peer, reason, by: RefusedBy::Them }));
                out.push(Effect::Disconnect { peer, parting: Parting::Refused });
            }
            // The other side may be starting up, or gone: the deadline decides.
            None => {}
        }
    }

    fn refuse(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        reason: HelloRefusal,
        out: &mut Vec<Effect>,
    ) {
        let offence =
            if reason.is_innocent() { Offence::InnocentRefusal } else { Offence::ForgedHello };
        let banned = reason == HelloRefusal::Banned;
        out.push(Effect::Tell(MeshEvent::Refused { peer, reason, by: RefusedBy::Us }));
        if let Some(state) = self.peers.get_mut(&peer) {
            state.leaves_at = Some(now + self.timing.refusal_linger);
        }
        if banned {
            return; // Turned away for what it did before: asking again does not prolong it.
        }
        // After the farewell: blame may end the connection before the reason has arrived.
        if self.scores.blame(peer, offence, now) == Verdict::Ban {
            out.push(Effect::Tell(MeshEvent::Banned { peer, hotkey: None }));
        }
    }

    /// A peer proved a hotkey on the allowlist.
    fn establish(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        hello: &Hello,
        out: &mut Vec<Effect>,
    ) {
        let session = Session { hotkey: hello.hotkey, expires: hello.expires, seq: hello.seq };
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let before = state.session.replace(session);
        state.leaves_at = None;
        self.watch_for_doppelganger(session.hotkey, peer, out);
        let same = before.is_some_and(|before| before.hotkey == session.hotkey);
        if same && before.is_some_and(|before| before.seq == session.seq) {
            return; // Renewed.
        }
        state_changed(before, session, peer, out);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        // Also when the peer restarted before its old connection was noticed to be dead: it has
        // forgotten our grant.
        state.one_sided_since = now;
        state.grant_version = 0;
        state.grant_retry = None;
        self.offer_grant(peer, out);
        self.beacon_clock.hurry(now, &self.timing);
        if same {
            return;
        }
        self.part_with_older_sessions(session.hotkey, peer, now, out);
        let Some(state) = self.peers.get(&peer) else { return };
        let dialled = if state.outbound { links::without_peer(&state.address) } else { None };
        let topics: Vec<Topic> = state.topics.iter().copied().collect();
        self.dialer.proven(peer, session.hotkey, dialled);
        out.push(Effect::Proven { peer });
        out.push(Effect::Score {
            peer,
            score: MEMBER_SCORE + self.score(&peer, Some(session.hotkey), now),
        });
        out.push(Effect::Tell(MeshEvent::PeerUp { hotkey: session.hotkey, peer }));
        for topic in topics {
            self.release_kept(topic, out);
        }
    }

    /// A hotkey has as many sessions as an honest validator may need. The newest stay: a restart is
    /// worth more than what it left behind.
    fn part_with_older_sessions(
        &mut self,
        hotkey: Hotkey,
        newest: PeerIdBytes,
        now: Duration,
        out: &mut Vec<Effect>,
    ) {
        let of_hotkey =
            |state: &PeerState| state.session.is_some_and(|session| session.hotkey == hotkey);
        let others = self.peers.iter().filter(|(peer, state)| **peer != newest && of_hotkey(state));
        let mut others: Vec<_> = others.map(|(peer, state)| (state.since, *peer)).collect();
        others.sort_unstable();
        let surplus = (others.len() + 1).saturating_sub(MAX_SESSIONS_PER_HOTKEY);
        for (_, peer) in others.into_iter().take(surplus) {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.session = None;
                state.leaves_at = Some(now);
                out.push(Effect::Tell(MeshEvent::PeerDown { hotkey, peer }));
                out.push(Effect::Disconnect { peer, parting: Parting::TooMany });
            }
        }
    }

    pub(super) fn watch_for_doppelganger(
        &mut self,
        hotkey: Hotkey,
        peer: PeerIdBytes,
        out: &mut Vec<Effect>,
    ) {
        let ours = hotkey == self.hotkey;
        let other = if ours {
            Some(self.peer).filter(|own| *own != peer)
        } else {
            self.links.doppelganger(&hotkey, &peer, &self.timing)
        };
        let Some(other) = other else { return };
        let peers = if peer <= other { [peer, other] } else { [other, peer] };
        if self.doppelgangers.insert(hotkey, peers) != Some(peers) {
            out.push(Effect::Tell(MeshEvent::Doppelganger { hotkey, ours, peers }));
        }
    }

    pub(super) fn on_subscribed(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        topic: Topic,
        out: &mut Vec<Effect>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.topics.insert(topic);
        if state.session.is_some() {
            self.release_kept(topic, out);
            if topic == Topic::Beacon {
                self.beacon_clock.hurry(now, &self.timing);
            }
        }
    }

    fn release_kept(&mut self, topic: Topic, out: &mut Vec<Effect>) {
        out.extend(
            self.outbox.take(topic).into_iter().map(|bytes| Effect::Publish { topic, bytes }),
        );
    }

    pub(super) fn on_allowlist(
        &mut self,
        now: Duration,
        from: TaskId,
        validators: Vec<Hotkey>,
        out: &mut Vec<Effect>,
    ) {
        self.view.allowlists.set_from(from, validators);
        let view = &self.view;
        self.hello_sequences.retain(|hotkey, _| view.is_listed(hotkey));
        self.allowances.retain(|hotkey| view.is_listed(hotkey));
        self.links.prune(|hotkey| view.is_listed(hotkey), now, &self.timing);
        self.dialer.forget_strangers(self.view.allowlists.newest());
        for (peer, state) in &mut self.peers {
            let removed = state
                .session
                .filter(|session| !self.view.allowlists.newest().contains(&session.hotkey));
            if let Some(session) = removed {
                state.session = None;
                out.push(Effect::Tell(MeshEvent::PeerDown { hotkey: session.hotkey, peer: *peer }));
                out.push(Effect::Disconnect {
                    peer: *peer,
                    parting: Parting::RemovedFromAllowlist,
                });
            }
        }
    }

    pub(super) fn on_head(&mut self, head: BlockNumber, out: &mut Vec<Effect>) {
        // A head that goes back is a reorganisation or another node: the window does not.
        if head <= self.view.head {
            return;
        }
        self.view.head = head;
        self.agreement.prune(self.oldest_task());
        let mut renew = Vec::new();
        for (peer, state) in &mut self.peers {
            if let Some(session) = state.session.filter(|session| session.expires < head) {
                state.session = None;
                out.push(Effect::Tell(MeshEvent::PeerDown { hotkey: session.hotkey, peer: *peer }));
                out.push(Effect::Disconnect { peer: *peer, parting: Parting::HelloExpired });
            } else if let Some(expires) = state.our_hello_expires
                && expires.0 < head.0 + HELLO_LIFETIME_BLOCKS / 2
            {
                renew.push(*peer);
            }
        }
        for peer in renew {
            self.send_hello(peer, out);
        }
    }
}

/// One peer that changes its hotkey goes down as the one and comes up as the other.
fn state_changed(before: Option<Session>, now: Session, peer: PeerIdBytes, out: &mut Vec<Effect>) {
    if let Some(before) = before.filter(|before| before.hotkey != now.hotkey) {
        out.push(Effect::Tell(MeshEvent::PeerDown { hotkey: before.hotkey, peer }));
    }
}

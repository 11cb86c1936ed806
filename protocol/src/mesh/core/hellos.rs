//! Hellos: which validator a peer proves to be.

use std::time::Duration;

use super::effect::{Effect, Parting};
use super::event::{Offence, Token};
use super::limits::MAX_SESSIONS_PER_HOTKEY;
use super::links::without_peer;
use super::mesh_event::{MeshEvent, RefusedBy};
use super::peer::{MEMBER_SCORE, PeerState, Session};
use super::scores::Consequence;
use super::state::Core;
use crate::hello::{
    HELLO_LIFETIME_BLOCKS, Hello, HelloAnswer, HelloContext, HelloDraft, HelloRefusal, PeerIdBytes,
    Release,
};
use crate::messages::Topic;
use crate::{BlockNumber, Digest, Hotkey};

impl Core {
    pub(super) fn send_hello(&mut self, peer: PeerIdBytes) {
        let hello = self.own_hello();
        if let Some(state) = self.peers.get_mut(&peer) {
            state.our_hello_expires = Some(hello.expires);
        }
        self.effects.push(Effect::SendHello { peer, hello });
    }

    fn own_hello(&self) -> Hello {
        let seq = self.hello_sequence;
        self.signer.sign_hello(HelloDraft {
            network: self.chain.network,
            peer: self.peer,
            params: self.chain.consensus.digest_at(self.chain.head),
            seq,
            expires: BlockNumber(self.chain.head.0.saturating_add(HELLO_LIFETIME_BLOCKS)),
        })
    }

    /// Checks a hello: first the proof, then membership.
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
            network: self.chain.network,
            peer,
            head: self.chain.head,
            last_seq: self.hello_sequences.get(&hello.hotkey).copied(),
            signatures: &self.chain.signatures,
        };
        let proof = hello.verify(&context);
        let is_listed = self.chain.is_listed(&hello.hotkey);
        let is_proven = matches!(proof, Ok(()) | Err(HelloRefusal::OlderSeq { .. }));
        if is_proven && (is_listed || hello.hotkey == self.hotkey) {
            self.links.hello(hello.hotkey, peer, now);
        }
        proof?;
        self.check_params(hello.params)?;
        if !is_listed {
            return Err(HelloRefusal::NotOnAllowlist { hotkey: hello.hotkey });
        }
        if self.validator_scores.is_shunned(&hello.hotkey, now) {
            return Err(HelloRefusal::Banned);
        }
        self.hello_sequences.insert(hello.hotkey, hello.seq);
        Ok(())
    }

    /// Around a switch of the parameters, the old and the new ones are welcome: heads differ, and a
    /// hello outlives the block it was signed at.
    fn check_params(&self, theirs: Digest) -> Result<(), HelloRefusal> {
        let chain = &self.chain;
        if chain.accepts_params(theirs) {
            return Ok(());
        }
        let ours = chain.consensus.digest_at(chain.head);
        if chain.knows_params(theirs) {
            return Err(HelloRefusal::Outdated { theirs, ours, update_to: Release::OURS });
        }
        Err(HelloRefusal::ParamsDiffer { theirs, ours })
    }

    pub(super) fn on_hello(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        token: Token,
        hello: Hello,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if !state.requests.take(now) {
            self.flooded(now, peer);
            return;
        }
        match self.judge_hello(now, peer, &hello) {
            Ok(()) => {
                let ours = self.own_hello();
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.our_hello_expires = Some(ours.expires);
                }
                let answer = HelloAnswer::Accepted(ours);
                self.effects.push(Effect::AnswerHello { token, answer });
                self.establish(now, peer, &hello);
            }
            Err(reason) => {
                let answer = HelloAnswer::Refused(reason.clone());
                self.effects.push(Effect::AnswerHello { token, answer });
                self.refuse(now, peer, reason);
            }
        }
    }

    pub(super) fn on_hello_answered(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        answer: Option<HelloAnswer>,
    ) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match answer {
            Some(HelloAnswer::Accepted(hello)) => match self.judge_hello(now, peer, &hello) {
                Ok(()) => self.establish(now, peer, &hello),
                Err(reason) => self.refuse(now, peer, reason),
            },
            Some(HelloAnswer::Refused(reason)) => {
                if matches!(reason, HelloRefusal::OlderSeq { .. }) {
                    self.ears.suspect();
                }
                self.tell(MeshEvent::Refused { peer, reason, by: RefusedBy::Them });
                self.effects.push(Effect::Disconnect { peer, parting: Parting::Refused });
            }
            // The other side may be starting up, or gone: the deadline decides.
            None => {}
        }
    }

    fn refuse(&mut self, now: Duration, peer: PeerIdBytes, reason: HelloRefusal) {
        let offence =
            if reason.is_innocent() { Offence::InnocentRefusal } else { Offence::ForgedHello };
        let banned = reason == HelloRefusal::Banned;
        self.tell(MeshEvent::Refused { peer, reason, by: RefusedBy::Us });
        if let Some(state) = self.peers.get_mut(&peer) {
            state.leaves_at = Some(now + self.timing.refusal_linger);
        }
        // A banned peer is refused for earlier offences: asking again does not prolong the ban.
        // Here blame never disconnects, because the reason must arrive first.
        if !banned && self.scores.blame(peer, offence, now) == Consequence::Ban {
            self.tell(MeshEvent::Banned { peer, hotkey: None });
        }
    }

    /// Starts or renews the session of a peer that proved a listed hotkey.
    fn establish(&mut self, now: Duration, peer: PeerIdBytes, hello: &Hello) {
        let session = Session { hotkey: hello.hotkey, expires: hello.expires, seq: hello.seq };
        let hotkey = session.hotkey;
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let before = state.session.replace(session);
        state.leaves_at = None;
        if hotkey == self.hotkey {
            self.double_heard(now, peer);
        } else {
            self.watch_for_doppelganger(hotkey, peer);
        }
        let same = before.is_some_and(|before| before.hotkey == hotkey);
        if same && before.is_some_and(|before| before.seq == session.seq) {
            return; // A renewal.
        }
        if let Some(before) = before.filter(|_| !same) {
            self.tell(MeshEvent::PeerDown { hotkey: before.hotkey, peer });
        }
        let Some(state) = self.peers.get_mut(&peer) else { return };
        // A peer that restarted before its old connection was found dead has forgotten our grant.
        state.one_sided_since = now;
        state.grant_version = 0;
        state.grant_retry = None;
        self.offer_grant(peer);
        self.beacon_clock.hurry(now, &self.timing);
        if !same {
            self.welcome(now, peer, hotkey);
        }
    }

    /// What a newly proven peer gets.
    fn welcome(&mut self, now: Duration, peer: PeerIdBytes, hotkey: Hotkey) {
        self.part_with_older_sessions(hotkey, peer, now);
        let Some(state) = self.peers.get(&peer) else { return };
        let dialled = if state.outbound { without_peer(&state.address) } else { None };
        let topics: Vec<Topic> = state.topics.iter().copied().collect();
        self.dialer.proven(peer, hotkey, dialled);
        self.effects.push(Effect::Proven { peer });
        let score = MEMBER_SCORE + self.score(&peer, Some(hotkey), now);
        self.effects.push(Effect::Score { peer, score });
        self.tell(MeshEvent::PeerUp { hotkey, peer });
        for topic in topics {
            self.release_kept(topic);
        }
    }

    /// A hotkey has as many sessions as an honest validator may need. The newest stay: after a
    /// restart the older ones are useless.
    fn part_with_older_sessions(&mut self, hotkey: Hotkey, newest: PeerIdBytes, now: Duration) {
        let is_older = |(peer, state): &(&PeerIdBytes, &PeerState)| {
            **peer != newest && state.hotkey() == Some(hotkey)
        };
        let older = self.peers.iter().filter(is_older);
        let mut older: Vec<_> = older.map(|(peer, state)| (state.since, *peer)).collect();
        older.sort_unstable();
        let surplus = (older.len() + 1).saturating_sub(MAX_SESSIONS_PER_HOTKEY);
        for (_, peer) in older.into_iter().take(surplus) {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.session = None;
                state.leaves_at = Some(now);
                self.tell(MeshEvent::PeerDown { hotkey, peer });
                self.effects.push(Effect::Disconnect { peer, parting: Parting::TooMany });
            }
        }
    }

    /// Notes that a validator is alive under two peer ids.
    pub(super) fn watch_for_doppelganger(&mut self, hotkey: Hotkey, peer: PeerIdBytes) {
        if let Some(other) = self.links.doppelganger(&hotkey, &peer, &self.timing) {
            self.note_doppelganger(hotkey, peer, other);
        }
    }

    /// Our hotkey is alive under another peer id, now.
    pub(super) fn double_heard(&mut self, now: Duration, peer: PeerIdBytes) {
        self.ears.hear_double(now);
        self.note_doppelganger(self.hotkey, peer, self.peer);
    }

    fn note_doppelganger(&mut self, hotkey: Hotkey, peer: PeerIdBytes, other: PeerIdBytes) {
        let ours = hotkey == self.hotkey;
        let peers = if peer <= other { [peer, other] } else { [other, peer] };
        if self.doppelgangers.insert(hotkey, peers) != Some(peers) {
            self.tell(MeshEvent::Doppelganger { hotkey, ours, peers });
        }
    }
}

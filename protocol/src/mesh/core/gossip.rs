//! Gossip: every message is checked before it counts or is passed on.

use std::time::Duration;

use super::effect::{Effect, Judgement};
use super::event::{Offence, Token};
use super::limits::Bucket;
use super::links::Heeded;
use super::state::Core;
use crate::Hotkey;
use crate::hello::PeerIdBytes;
use crate::messages::{Beacon, Gossip, MessageError, Topic};

/// What became of a message that can be decoded.
enum Examined {
    New,
    Known,
    /// Its author has used up its allowance; the signature was not checked.
    BeyondAllowance(Hotkey),
}

impl Core {
    pub(super) fn on_gossip(
        &mut self,
        now: Duration,
        source: PeerIdBytes,
        token: Token,
        topic: Topic,
        bytes: &[u8],
    ) {
        let Some(bucket) = self.gossip_bucket(&source, now) else {
            self.effects.push(Effect::Judge { token, source, judgement: Judgement::Ignore });
            return;
        };
        if !bucket.take(now) {
            self.effects.push(Effect::Judge { token, source, judgement: Judgement::Ignore });
            self.counts.judged(topic, Judgement::Ignore);
            self.flooded(now, source);
            return;
        }
        // The sender need not be proven yet: a message proves its author, and one that overtook its
        // sender's hello would not come again.
        let (judgement, give_back) = match self.take_gossip(now, topic, bytes) {
            // Authors' allowances bound how much is valid and new. Passing it on is never a flood.
            Ok(Examined::New) => (Judgement::Accept, true),
            Ok(Examined::Known) => (Judgement::Ignore, false),
            Ok(Examined::BeyondAllowance(author)) => {
                let is_own = self.member(&source) == Some(author);
                if is_own {
                    self.flooded(now, source);
                }
                (Judgement::Ignore, !is_own)
            }
            Err(error) if error.is_innocent() => (Judgement::Ignore, false),
            Err(_) => (Judgement::Reject, false),
        };
        self.counts.judged(topic, judgement);
        if give_back && let Some(bucket) = self.gossip_bucket(&source, now) {
            bucket.give_back();
        }
        self.effects.push(Effect::Judge { token, source, judgement });
        if judgement == Judgement::Reject {
            self.blame(now, source, Offence::InvalidGossip);
        }
    }

    /// How much gossip a peer may send. Counted by hotkey once it is proven, so that a new
    /// connection brings no new allowance.
    fn gossip_bucket(&mut self, source: &PeerIdBytes, now: Duration) -> Option<&mut Bucket> {
        let state = self.peers.get_mut(source)?;
        Some(match state.session {
            Some(session) => self.allowances.handed(session.hotkey, now, &self.timing),
            None => &mut state.gossip,
        })
    }

    fn take_gossip(
        &mut self,
        now: Duration,
        topic: Topic,
        bytes: &[u8],
    ) -> Result<Examined, MessageError> {
        let message = Gossip::read(topic, bytes)?;
        let author = message.author();
        if self.allowances.is_spent(&author, topic, now) {
            return Ok(Examined::BeyondAllowance(author));
        }
        let is_news = self.take_message(now, message)?;
        if is_news {
            self.allowances.said(author, topic, now, &self.timing);
        }
        Ok(if is_news { Examined::New } else { Examined::Known })
    }

    /// Takes in a message and returns whether it is valid and new.
    pub(super) fn take_message(
        &mut self,
        now: Duration,
        message: Gossip,
    ) -> Result<bool, MessageError> {
        let context = self.chain.context();
        Ok(match message {
            Gossip::Announcement(announcement) => {
                self.agreement.announcement(&context, announcement)?.spread(&mut self.effects)
            }
            Gossip::Attestation(attestation) => {
                self.agreement.attestation(&context, attestation)?.spread(&mut self.effects)
            }
            // Accepting the message passes it on already, so it is not published as well.
            Gossip::Evidence(evidence) => {
                self.agreement.evidence(&context, &evidence)?.tell(&mut self.effects)
            }
            Gossip::Beacon(beacon) => {
                beacon.verify(&context)?;
                self.take_beacon(now, &beacon)
            }
            Gossip::MinerReport(report) => {
                report.verify(&context)?;
                self.reports.take(report)
            }
            Gossip::Dispute(dispute) => {
                self.agreement.dispute(&context, &dispute)?.tell(&mut self.effects)
            }
        })
    }

    fn take_beacon(&mut self, now: Duration, beacon: &Beacon) -> bool {
        if beacon.sender == self.hotkey && beacon.peer == self.peer {
            return false; // Our own, come back.
        }
        let place = self.chain.allowlists.place_on(beacon.heard.list, &self.hotkey);
        let of_us =
            place.map(|place| place.map(|place| beacon.heard.at(place)).unwrap_or_default());
        let heeded = self.links.beacon(beacon, of_us, now, &self.timing);
        if heeded == Heeded::Replayed {
            return false;
        }
        if heeded == Heeded::Newcomer {
            // It does not know our addresses. This may also be a double of ours: the sooner we
            // beacon, the sooner it hears of us.
            self.beacon_clock.introduce(now, &self.timing);
        }
        if beacon.sender == self.hotkey {
            if beacon.head >= self.started_at {
                self.double_heard(now, beacon.peer);
            } else {
                // Signed before we started, perhaps by ourselves. Silence so far proves nothing.
                self.ears.suspect();
            }
            return true;
        }
        self.watch_for_doppelganger(beacon.sender, beacon.peer);
        if let Some(addresses) = &beacon.addresses {
            self.dialer.claimed(beacon.peer, beacon.sender, addresses.clone());
        }
        self.compare_inventory(now, beacon);
        true
    }
}

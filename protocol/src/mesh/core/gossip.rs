//! Gossip and catch-up: every message checked before it counts or travels on.

use std::time::Duration;

use super::Core;
use super::agreement::Outcome;
use super::catchup::{CatchupPage, CatchupRequest, FileState};
use super::event::{Effect, Judgement, MeshEvent, Offence, Token};
use super::links::Heeded;
use crate::codec::Wire as _;
use crate::hello::PeerIdBytes;
use crate::messages::{
    Announcement, Attestation, Beacon, Certificate, Evidence, MAX_VALIDATORS, MessageError, MinerReport, Topic, quorum,
};

impl Core {
    pub(super) fn on_gossip(
        &mut self,
        now: Duration,
        source: PeerIdBytes,
        token: Token,
        topic: Topic,
        bytes: &[u8],
        out: &mut Vec<Effect>,
    ) {
        let within_rate = self.peers.get_mut(&source).is_some_and(|state| state.gossip.take(now));
        if !within_rate {
            out.push(Effect::Judge { token, source, judgement: Judgement::Ignore });
            self.blame(now, source, Offence::Flood, out);
            return;
        }
        // Not asked of the source: who it is. Messages prove their authors, and a message that is refused because it
        // outran its bearer's hello would not come again.
        let judged = self.take_gossip(now, topic, bytes, out);
        let judgement = match &judged {
            Ok(judgement) => *judgement,
            Err(error) if error.is_innocent() => Judgement::Ignore,
            Err(_) => Judgement::Reject,
        };
        out.push(Effect::Judge { token, source, judgement });
        if judgement == Judgement::Reject {
            self.blame(now, source, Offence::InvalidGossip, out);
        }
    }

    fn take_gossip(
        &mut self,
        now: Duration,
        topic: Topic,
        bytes: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<Judgement, MessageError> {
        let context = self.view.context();
        Ok(match topic {
            Topic::Verdict => self.agreement.announcement(&context, Announcement::from_wire(bytes)?, out)?.into(),
            Topic::Attestation => self.agreement.attestation(&context, Attestation::from_wire(bytes)?, out)?.into(),
            Topic::Evidence => {
                let evidence = Evidence::from_wire(bytes)?;
                // Accepting it passes it on: publishing it as well would say it twice.
                let published = out.len();
                let outcome = self.agreement.evidence(&context, &evidence, out)?;
                let mut index = 0;
                out.retain(|effect| {
                    index += 1;
                    index <= published || !matches!(effect, Effect::Publish { topic: Topic::Evidence, .. })
                });
                outcome.into()
            }
            Topic::Beacon => {
                let beacon = Beacon::from_wire(bytes)?;
                beacon.verify(&context)?;
                self.take_beacon(now, &beacon, out)
            }
            Topic::MinerReport => {
                let report = MinerReport::from_wire(bytes)?;
                report.verify(&context)?;
                out.push(Effect::Tell(MeshEvent::MinerReport(report)));
                Judgement::Accept
            }
        })
    }

    fn take_beacon(&mut self, now: Duration, beacon: &Beacon, out: &mut Vec<Effect>) -> Judgement {
        if beacon.sender == self.hotkey && beacon.peer == self.peer {
            return Judgement::Ignore; // Our own, come back.
        }
        let heeded = self.links.beacon(beacon, &self.hotkey, now, &self.timing);
        if heeded == Heeded::Replayed {
            return Judgement::Ignore;
        }
        self.watch_for_doppelganger(beacon.sender, beacon.peer, out);
        if beacon.sender == self.hotkey {
            return Judgement::Accept;
        }
        self.dialer.learn(beacon.peer, Some(beacon.sender), beacon.addresses.clone());
        if heeded == Heeded::Newcomer {
            self.beacon_clock.hurry(now, &self.timing);
        }
        self.compare_inventory(now, beacon, out);
        Judgement::Accept
    }

    /// Asks the sender of a beacon for what it holds, when that differs from what we hold.
    fn compare_inventory(&mut self, now: Duration, beacon: &Beacon, out: &mut Vec<Effect>) {
        if self.member(&beacon.peer) != Some(beacon.sender) {
            return;
        }
        if beacon.inventory == self.agreement.inventory() {
            self.catchups.agrees(&beacon.peer);
        } else if let Some(request) = self.catchups.begin(beacon.peer, now) {
            out.push(Effect::AskCatchup { peer: beacon.peer, request });
        }
    }

    pub(super) fn on_not_published(&mut self, now: Duration, topic: Topic, bytes: Vec<u8>, out: &mut Vec<Effect>) {
        if topic == Topic::Beacon {
            return; // The next one says more.
        }
        self.keep(now, topic, bytes, out);
    }

    pub(super) fn on_catchup_asked(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        token: Token,
        request: &CatchupRequest,
        out: &mut Vec<Effect>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let allowed = state.requests.take(now) && state.session.is_some();
        let page = allowed.then(|| self.agreement.page(request));
        out.push(Effect::AnswerCatchup { token, page });
    }

    pub(super) fn on_catchup_answered(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        page: Option<CatchupPage>,
        out: &mut Vec<Effect>,
    ) {
        if !self.catchups.expects(&peer) || self.member(&peer).is_none() {
            self.catchups.lost(&peer);
            return;
        }
        let mut learnt = false;
        if let Some(page) = &page {
            match self.take_page(page, out) {
                Ok(news) => learnt = news,
                Err(error) => {
                    // One bad item spoils the page's bearer, not what was good in it.
                    tracing::debug!(%peer, %error, "catch-up page refused");
                    self.catchups.paged(peer, None, false, now, &self.timing);
                    self.blame(now, peer, Offence::MalformedRequest, out);
                    return;
                }
            }
        }
        if let Some(request) = self.catchups.paged(peer, page.as_ref(), learnt, now, &self.timing) {
            out.push(Effect::AskCatchup { peer, request });
        }
    }

    /// Takes in a page. Innocent misfits, such as a task that has just left the window, are passed over.
    fn take_page(&mut self, page: &CatchupPage, out: &mut Vec<Effect>) -> Result<bool, MessageError> {
        let mut learnt = false;
        for file in &page.files {
            learnt |= self.take_file(file, out)?;
        }
        for evidence in &page.evidence {
            learnt |= innocent(self.agreement.evidence(&self.view.context(), evidence, out))?;
        }
        Ok(learnt)
    }

    fn take_file(&mut self, state: &FileState, out: &mut Vec<Effect>) -> Result<bool, MessageError> {
        let context = self.view.context();
        let mut learnt = false;
        let votes: usize = state.tallies.iter().map(|tally| tally.votes.len()).sum();
        if state.announcements.len() > 2 || votes > 2 * MAX_VALIDATORS * 2 {
            return Err(MessageError::Nonsense("more about one file than there can be"));
        }
        for announcement in &state.announcements {
            if announcement.file != state.file {
                return Err(MessageError::Nonsense("an announcement of another file"));
            }
            learnt |= innocent(self.agreement.announcement(&context, announcement.clone(), out))?;
        }
        let need = quorum(context.allowlists.for_task(state.file.task_id).len());
        for tally in &state.tallies {
            let before = out.len();
            if tally.votes.len() >= need {
                let (network, file, digest) = (context.network, state.file, tally.digest);
                let certificate = Certificate { network, file, digest, votes: tally.votes.clone() };
                match self.agreement.certificate(&context, &certificate, out) {
                    Ok(()) => {
                        learnt |= out.len() > before;
                        continue;
                    }
                    // One attester may have been added or removed meanwhile: its votes are counted singly below.
                    Err(error) if error.is_innocent() || matches!(error, MessageError::NoQuorum { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            for attestation in tally.attestations(context.network, state.file) {
                learnt |= innocent(self.agreement.attestation(&context, attestation, out))?;
            }
        }
        Ok(learnt)
    }
}

/// Whether something new was taken in; a misfit that an honest peer may send is nothing new.
fn innocent(outcome: Result<Outcome, MessageError>) -> Result<bool, MessageError> {
    match outcome {
        Ok(outcome) => Ok(outcome == Outcome::New),
        Err(error) if error.is_innocent() => Ok(false),
        Err(error) => Err(error),
    }
}

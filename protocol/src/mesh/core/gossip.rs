//! Gossip and catch-up: every message checked before it counts or travels on.

use std::time::Duration;

use super::Core;
use super::agreement::Outcome;
use super::catchup::{CatchupPage, CatchupRequest, FileState};
use super::event::{Effect, Judgement, MeshEvent, Offence, Token};
use super::limits::Bucket;
use super::links::Heeded;
use crate::Hotkey;
use crate::codec::Wire as _;
use crate::hello::PeerIdBytes;
use crate::messages::{
    Announcement, Attestation, Beacon, Certificate, Evidence, MAX_VALIDATORS, MessageError,
    MinerReport, Topic, quorum,
};

/// What became of a gossip message.
enum Heard {
    Judged(Judgement),
    /// Not looked at: its author has said enough for now.
    BeyondAllowance(Hotkey),
}

enum Message {
    Announcement(Announcement),
    Attestation(Attestation),
    Evidence(Evidence),
    Beacon(Beacon),
    MinerReport(MinerReport),
}

impl Message {
    fn read(topic: Topic, bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(match topic {
            Topic::Verdict => Self::Announcement(Announcement::from_wire(bytes)?),
            Topic::Attestation => Self::Attestation(Attestation::from_wire(bytes)?),
            Topic::Evidence => Self::Evidence(Evidence::from_wire(bytes)?),
            Topic::Beacon => Self::Beacon(Beacon::from_wire(bytes)?),
            Topic::MinerReport => Self::MinerReport(MinerReport::from_wire(bytes)?),
        })
    }

    /// Who claims to have said it. Evidence speaks for itself, and there is little of it.
    fn author(&self) -> Option<Hotkey> {
        match self {
            Self::Announcement(announcement) => Some(announcement.file.producer),
            Self::Attestation(attestation) => Some(attestation.attester),
            Self::Evidence(_) => None,
            Self::Beacon(beacon) => Some(beacon.sender),
            Self::MinerReport(report) => Some(report.reporter),
        }
    }
}

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
        let Some(bucket) = self.gossip_bucket(&source, now) else {
            out.push(Effect::Judge { token, source, judgement: Judgement::Ignore });
            return;
        };
        if !bucket.take(now) {
            out.push(Effect::Judge { token, source, judgement: Judgement::Ignore });
            self.counts.judged(topic, Judgement::Ignore);
            self.flooded(now, source, out);
            return;
        }
        // Not asked of the source: who it is. Messages prove their authors, and a message that is
        // refused because it outran its bearer's hello would not come again.
        let judged = self.take_gossip(now, topic, bytes, out);
        let (judgement, welcome) = match judged {
            Ok(Heard::Judged(judgement)) => (judgement, judgement == Judgement::Accept),
            Ok(Heard::BeyondAllowance(author)) => {
                let own = self.member(&source) == Some(author);
                if own {
                    self.flooded(now, source, out);
                }
                (Judgement::Ignore, !own)
            }
            Err(error) if error.is_innocent() => (Judgement::Ignore, false),
            Err(_) => (Judgement::Reject, false),
        };
        self.counts.judged(topic, judgement);
        // Good messages are bounded by their authors' allowances: whoever passes them on is no
        // flood, however many.
        if welcome && let Some(bucket) = self.gossip_bucket(&source, now) {
            bucket.give_back();
        }
        out.push(Effect::Judge { token, source, judgement });
        if judgement == Judgement::Reject {
            self.blame(now, source, Offence::InvalidGossip, out);
        }
    }

    /// What a peer may hand over: by hotkey once it is proven, so that a new connection brings no
    /// new allowance.
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
        out: &mut Vec<Effect>,
    ) -> Result<Heard, MessageError> {
        let message = Message::read(topic, bytes)?;
        let author = message.author();
        if let Some(author) = author.filter(|author| self.allowances.is_spent(author, topic, now)) {
            return Ok(Heard::BeyondAllowance(author));
        }
        let judgement = self.take_message(now, message, out)?;
        if let Some(author) = author.filter(|_| judgement == Judgement::Accept) {
            self.allowances.said(author, topic, now, &self.timing);
        }
        Ok(Heard::Judged(judgement))
    }

    fn take_message(
        &mut self,
        now: Duration,
        message: Message,
        out: &mut Vec<Effect>,
    ) -> Result<Judgement, MessageError> {
        let context = self.view.context();
        Ok(match message {
            Message::Announcement(announcement) => {
                self.agreement.announcement(&context, announcement, out)?.into()
            }
            Message::Attestation(attestation) => {
                self.agreement.attestation(&context, attestation, out)?.into()
            }
            Message::Evidence(evidence) => {
                // Accepting it passes it on: publishing it as well would say it twice.
                let published = out.len();
                let outcome = self.agreement.evidence(&context, &evidence, out)?;
                let mut index = 0;
                out.retain(|effect| {
                    index += 1;
                    index <= published
                        || !matches!(effect, Effect::Publish { topic: Topic::Evidence, .. })
                });
                outcome.into()
            }
            Message::Beacon(beacon) => {
                beacon.verify(&context)?;
                self.take_beacon(now, &beacon, out)
            }
            Message::MinerReport(report) => {
                report.verify(&context)?;
                if !self.allowances.is_newest_report(
                    report.reporter,
                    report.block,
                    now,
                    &self.timing,
                ) {
                    return Ok(Judgement::Ignore);
                }
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
        if heeded == Heeded::Newcomer {
            // Also a double of ours: whichever of the two has just started is to hear of the other
            // soon.
            self.beacon_clock.hurry(now, &self.timing);
        }
        if beacon.sender == self.hotkey {
            return Judgement::Accept;
        }
        self.dialer.claimed(beacon.peer, beacon.sender, beacon.addresses.clone());
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

    pub(super) fn on_not_published(
        &mut self,
        now: Duration,
        topic: Topic,
        bytes: Vec<u8>,
        out: &mut Vec<Effect>,
    ) {
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
        let page = self.admits_request(now, peer, out).then(|| self.agreement.page(request));
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

    /// Takes in a page. Innocent misfits, such as a task that has just left the window, are passed
    /// over.
    fn take_page(
        &mut self,
        page: &CatchupPage,
        out: &mut Vec<Effect>,
    ) -> Result<bool, MessageError> {
        let mut learnt = false;
        self.agreement.prepare(&self.view.context(), page);
        for file in &page.files {
            learnt |= self.take_file(file, out)?;
        }
        for evidence in &page.evidence {
            learnt |= innocent(self.agreement.evidence(&self.view.context(), evidence, out))?;
        }
        Ok(learnt)
    }

    fn take_file(
        &mut self,
        state: &FileState,
        out: &mut Vec<Effect>,
    ) -> Result<bool, MessageError> {
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
                    // One attester may have been added or removed meanwhile: its votes are counted
                    // singly below.
                    Err(error)
                        if error.is_innocent()
                            || matches!(error, MessageError::NoQuorum { .. }) => {}
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

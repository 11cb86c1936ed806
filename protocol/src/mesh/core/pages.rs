//! Catch-up pages: serving them, and taking in those of others.

use std::time::Duration;

use super::agreement::Taken;
use super::catchup::{CatchupPage, CatchupRequest, Cursor, FileState};
use super::effect::Effect;
use super::event::{Offence, Token};
use super::state::Core;
use crate::hello::PeerIdBytes;
use crate::messages::{Beacon, Certificate, MAX_VALIDATORS, MessageError, Tally};
use crate::quorum;

/// Most votes about one file: each validator is counted for two digests, and twice that leaves room
/// for an allowlist that changed.
const MAX_VOTES_PER_FILE: usize = 4 * MAX_VALIDATORS;

impl Core {
    /// Asks the sender of a beacon for what it holds, if that differs from what we hold.
    pub(super) fn compare_inventory(&mut self, now: Duration, beacon: &Beacon) {
        if self.member(&beacon.peer) != Some(beacon.sender) {
            return;
        }
        if beacon.inventory == self.agreement.inventory() {
            self.catchups.agrees(&beacon.peer);
        } else if let Some(cursor) = self.catchups.begin(beacon.peer, now) {
            self.ask_for_page(beacon.peer, cursor);
        }
    }

    fn ask_for_page(&mut self, peer: PeerIdBytes, cursor: Cursor) {
        let request = CatchupRequest { cursor, held: self.agreement.task_digests() };
        self.effects.push(Effect::AskCatchup { peer, request });
    }

    pub(super) fn on_catchup_asked(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        token: Token,
        request: &CatchupRequest,
    ) {
        let page = self.admits_request(now, peer).then(|| self.agreement.page(request));
        self.effects.push(Effect::AnswerCatchup { token, page });
    }

    pub(super) fn on_catchup_answered(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        page: Option<CatchupPage>,
    ) {
        if !self.catchups.expects(&peer) || self.member(&peer).is_none() {
            self.catchups.lost(&peer);
            return;
        }
        let mut learnt = false;
        if let Some(page) = &page {
            match self.take_page(page) {
                Ok(news) => learnt = news,
                Err(error) => {
                    // The peer is blamed for one bad item. What was good before it stays.
                    tracing::debug!(%peer, %error, "catch-up page refused");
                    self.catchups.paged(peer, None, false, now, &self.timing);
                    self.blame(now, peer, Offence::MalformedRequest);
                    return;
                }
            }
        }
        self.agreement.settle();
        if let Some(cursor) = self.catchups.paged(peer, page.as_ref(), learnt, now, &self.timing) {
            self.ask_for_page(peer, cursor);
        }
    }

    /// Takes in a page and returns whether it held anything new. Skips what an honest peer may
    /// still send, such as a task that has just left the lookback.
    fn take_page(&mut self, page: &CatchupPage) -> Result<bool, MessageError> {
        let mut learnt = false;
        self.agreement.prepare(&self.chain.context(), page);
        for file in &page.files {
            learnt |= self.take_file(file)?;
        }
        for evidence in &page.evidence {
            let taken = self.agreement.evidence(&self.chain.context(), evidence);
            learnt |= innocent(taken)?.spread(&mut self.effects);
        }
        for dispute in &page.disputes {
            let taken = self.agreement.dispute(&self.chain.context(), dispute);
            learnt |= innocent(taken)?.tell(&mut self.effects);
        }
        Ok(learnt)
    }

    fn take_file(&mut self, state: &FileState) -> Result<bool, MessageError> {
        let context = self.chain.context();
        let mut learnt = false;
        let votes: usize = state.tallies.iter().map(|tally| tally.votes.len()).sum();
        if state.announcements.len() > 2 || votes > MAX_VOTES_PER_FILE {
            return Err(MessageError::Nonsense("more about one file than is possible"));
        }
        for announcement in &state.announcements {
            if announcement.file != state.file {
                return Err(MessageError::Nonsense("an announcement of another file"));
            }
            let taken = self.agreement.announcement(&context, announcement.clone());
            learnt |= innocent(taken)?.spread(&mut self.effects);
        }
        for tally in &state.tallies {
            learnt |= self.take_tally(state, tally)?;
        }
        Ok(learnt)
    }

    fn take_tally(&mut self, state: &FileState, tally: &Tally) -> Result<bool, MessageError> {
        let context = self.chain.context();
        let (network, file, digest) = (context.network, state.file, tally.digest);
        let need = quorum(context.allowlists.for_task(file.task_id).len());
        if tally.votes.len() >= need {
            let certificate = Certificate { network, file, digest, votes: tally.votes.clone() };
            match self.agreement.certificate(&context, &certificate) {
                Ok(taken) => return Ok(taken.spread(&mut self.effects)),
                // The allowlists of the two sides may differ by an attester: count single votes.
                Err(MessageError::NoQuorum { .. }) => {}
                Err(error) if error.is_innocent() => {}
                Err(error) => return Err(error),
            }
        }
        let mut learnt = false;
        for attestation in tally.attestations(network, file) {
            let taken = self.agreement.attestation(&context, attestation);
            learnt |= innocent(taken)?.spread(&mut self.effects);
        }
        Ok(learnt)
    }
}

/// A message that an honest peer may send, but that does not count here, adds nothing.
fn innocent(taken: Result<Taken, MessageError>) -> Result<Taken, MessageError> {
    match taken {
        Err(error) if error.is_innocent() => Ok(Taken::Known),
        other => other,
    }
}

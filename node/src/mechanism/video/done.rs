//! What is done of a task: what miners sent, and what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use leoma_protocol::Hotkey;
use leoma_scoring::ScoreFault;

use super::answer::Answer;
use super::copies::Judged;
use super::judging::Judgment;
use super::requests::Asked;
use crate::mechanism::TaskError;
use crate::miners::whose_fault::{
    LostClip, Reply, Seen, clip_needs_control, silence_is_theirs, whose_clip,
};

/// What is done of a task. It outlives a try that fails.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Answers that stay: videos, and faults that are their miner's own.
    pub(super) answers: BTreeMap<Hotkey, Answer>,
    /// What became of videos.
    pub(super) judged: BTreeMap<Hotkey, Judgment>,
    /// Tries at which the judge had no usable answer about a miner's video, and one about the source.
    pub(super) silences: BTreeMap<Hotkey, u32>,
    /// Tries at which a miner's video was lost with its scoring processes, and the source clip was
    /// scored afterwards.
    pub(super) losses: BTreeMap<Hotkey, u32>,
}

impl Done {
    /// Leaves out what is not about one of `miners` at the revision it has now, and judgments that may
    /// have failed through our fault.
    pub(super) fn keep_only(&mut self, miners: &[Asked]) {
        self.answers.retain(|miner, answer| {
            let same = |asked: &Asked| {
                asked.miner == *miner && asked.model_revision == answer.model_revision
            };
            miners.iter().any(same)
        });
        self.judged.retain(|miner, judgment| {
            self.answers.contains_key(miner)
                && matches!(judgment, Judgment::Entry(judged) if !judged.refused_by_judge)
        });
    }

    /// Leaves out what may be our fault.
    pub(super) fn keep_videos(&mut self) {
        self.answers.retain(|_, answer| answer.replied.reply == Reply::Video);
        self.judged.retain(|miner, _| self.answers.contains_key(miner));
    }

    /// Videos that the judge refused, for a reason that may be its own, and videos that it had no
    /// usable answer about.
    pub(super) fn ungraded(&self) -> (usize, usize) {
        let refused = judged(self).filter(|judged| judged.refused_by_judge).count();
        let is_silence = |judgment: &&Judgment| matches!(judgment, Judgment::Silence { .. });
        (refused, self.judged.values().filter(is_silence).count())
    }

    /// The judge's refusals stand, because it takes the source clip.
    pub(super) fn settle_refusals(&mut self) {
        for judgment in self.judged.values_mut() {
            if let Judgment::Entry(judged) = judgment {
                judged.refused_by_judge = false;
            }
        }
    }

    /// Gives an entry to miners about whose videos the judge gave no usable answer at enough tries,
    /// if it `answers` about the source clip. A try at which it does not is not counted.
    ///
    /// # Errors
    /// For at least one of them it may be our fault.
    pub(super) fn settle_silences(&mut self, answers: bool) -> Result<(), TaskError> {
        let mut ours = None;
        for (miner, judgment) in &mut self.judged {
            let Judgment::Silence { entry, error } = judgment else { continue };
            let tries = self.silences.entry(*miner).or_default();
            *tries += u32::from(answers);
            if silence_is_theirs(*tries, answers) {
                *judgment = Judgment::Entry(entry.clone());
            } else {
                ours.get_or_insert_with(|| error.clone());
            }
        }
        ours.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether the source clip has to be scored before it is known whose fault lost videos are.
    pub(super) fn losses_need_control(&self) -> bool {
        let scored = judged(self).count();
        let needs_control = |judgment: &Judgment| match judgment {
            Judgment::Lost { kind, .. } => clip_needs_control(*kind, scored),
            Judgment::Entry(_) | Judgment::Silence { .. } => false,
        };
        self.judged.values().any(needs_control)
    }

    /// Gives an entry to miners whose videos are to blame that they were lost with their scoring
    /// processes. A try after which the source clip is not scored either is not counted.
    ///
    /// # Errors
    /// For at least one of them it may be our fault.
    pub(super) fn settle_losses(&mut self, source_scored: bool) -> Result<(), TaskError> {
        let scored = judged(self).count();
        let mut ours = None;
        for (miner, judgment) in &mut self.judged {
            let Judgment::Lost { kind, reason } = judgment else { continue };
            let kind = *kind;
            let tries = self.losses.entry(*miner).or_default();
            *tries += u32::from(source_scored);
            match (whose_clip(kind, scored, *tries, source_scored), self.answers.get(miner)) {
                (LostClip::Theirs, Some(answer)) => {
                    tracing::warn!(%miner, %reason, "a video that ends scoring processes counts against its miner, as others are scored");
                    *judgment = Judgment::Entry(Box::new(Judged::lost(answer, kind)));
                }
                _ => {
                    ours.get_or_insert_with(|| reason.clone());
                }
            }
        }
        ours.map_or(Ok(()), |reason| Err(ScoreFault::Worker(reason).into()))
    }

    /// Videos that were not judged yet.
    pub(super) fn unjudged(&self) -> VecDeque<Answer> {
        let files = self.answers.values().filter(|answer| answer.is_file());
        files.filter(|answer| !self.judged.contains_key(&answer.miner)).cloned().collect()
    }

    /// What an earlier try saw of those that are done. Whose fault a refusal was is decided already.
    pub(super) fn decided(&self) -> Vec<Seen> {
        let seen = |answer: &Answer| Seen {
            reply: answer.replied.reply,
            began: Duration::ZERO,
            ended: Duration::ZERO,
            first_refused: None,
        };
        let seen = self.answers.values().map(seen);
        seen.filter(|seen| !seen.reply.refuses_account()).collect()
    }
}

/// The judged videos, to be compared with each other.
fn judged(done: &Done) -> impl Iterator<Item = &Judged> {
    done.judged.values().filter_map(|judgment| match judgment {
        Judgment::Entry(judged) => Some(&**judged),
        Judgment::Lost { .. } | Judgment::Silence { .. } => None,
    })
}

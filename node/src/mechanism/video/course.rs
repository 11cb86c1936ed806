//! What a round of asking has seen so far.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use leoma_protocol::Hotkey;

use super::answer::Answer;
use super::done::Done;
use super::requests::{Asked, Endpoints, MOST_COLD, Requests, Rules, Start};
use crate::miners::whose_fault::{Again, NO_INSTANCE, Reply, Seen, asked_again, is_hopeless};

/// Miners that are remembered for a control: all of a subnet.
const MOST_KNOWN: usize = 256;

/// The miners that answered last, newest first. Several are asked, drawn at random, because miners
/// that lie to a control would make sure to answer last.
#[derive(Debug, Default)]
pub(super) struct KnownGood(VecDeque<String>);

impl KnownGood {
    fn answered(&mut self, slug: &str) {
        self.0.retain(|known| known != slug);
        self.0.push_front(slug.to_owned());
        self.0.truncate(MOST_KNOWN);
    }

    pub(super) fn slugs(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

/// What a round has seen so far.
pub(super) struct Course {
    /// All that are asked in this turn.
    pub(super) miners: BTreeMap<Hotkey, Asked>,
    /// Miners that have not answered yet.
    pub(super) left: BTreeSet<Hotkey>,
    /// Answers of this round and earlier ones.
    answered: Vec<Seen>,
    /// Replies of this round without a video, one a miner.
    pub(super) faults: Vec<(Answer, Seen)>,
    /// Refusals of our account by miners that are to be asked again: evidence only where asking on
    /// is hopeless.
    pub(super) refusing: BTreeMap<Hotkey, Seen>,
    /// Videos to judge.
    pub(super) waiting: VecDeque<Answer>,
}

impl Course {
    pub(super) fn begin(miners: &[Asked], done: &Done) -> Self {
        let miners: BTreeMap<Hotkey, Asked> =
            miners.iter().map(|asked| (asked.miner, asked.clone())).collect();
        let left = miners.keys().filter(|miner| !done.answers.contains_key(*miner)).copied();
        let left = left.collect();
        let (answered, waiting) = (done.decided(), done.unjudged());
        let (faults, refusing) = (Vec::new(), BTreeMap::new());
        Self { miners, left, answered, faults, refusing, waiting }
    }

    /// Everything that was seen, faults last.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let faults = self.faults.iter().map(|(_, seen)| seen);
        self.answered.iter().chain(faults).chain(self.refusing.values()).copied().collect()
    }

    /// Whether asking on is pointless unless a control is accepted. Then refusals by miners that
    /// are to be asked again are evidence, too: a limited miner's last reply comes minutes later.
    pub(super) fn is_hopeless<E: Endpoints>(&mut self, requests: &Requests<'_, E>) -> bool {
        self.refusing = requests.refusing();
        let hopeless = is_hopeless(&self.seen(), requests.taken());
        if !hopeless {
            self.refusing.clear();
        }
        hopeless
    }

    /// Takes in what a miner replied, in place of what it replied before.
    pub(super) fn take_in(
        &mut self,
        answer: Answer,
        one: Seen,
        done: &mut Done,
        known: &mut KnownGood,
    ) {
        self.left.remove(&answer.miner);
        self.faults.retain(|(earlier, _)| earlier.miner != answer.miner);
        if !answer.is_file() {
            return self.faults.push((answer, one));
        }
        self.answered.push(one);
        if let Some(asked) = self.miners.get(&answer.miner)
            && answer.replied.reply == Reply::Video
        {
            known.answered(&asked.slug);
        }
        done.answers.insert(answer.miner, answer.clone());
        self.waiting.push_back(answer);
    }

    /// Those that are asked once more, now that all others have had their turn.
    pub(super) fn asked_again(&self, rules: Rules) -> Vec<(Asked, Start)> {
        let seen = self.seen();
        let again = |(answer, fault): &(Answer, Seen)| {
            let its_time = match asked_again(fault, &seen, self.left.len())? {
                Again::Rest => Duration::from_millis(answer.latency_ms),
                Again::Whole => Duration::ZERO,
            };
            let not_before = fault.ended + rules.outage_pause();
            let first_refused = fault.first_refused;
            // One more request, not all those that a cold start may have.
            let cold = if fault.reply == NO_INSTANCE { MOST_COLD } else { 0 };
            let start = Start { not_before, its_time, first_refused, cold };
            let asked = self.miners.get(&answer.miner)?.clone();
            (its_time < rules.timeout).then_some((asked, start))
        };
        let again: Vec<_> = self.faults.iter().filter_map(again).collect();
        if !again.is_empty() {
            tracing::info!(
                miners = again.len(),
                "asking miners once more, as their fault may have been an outage"
            );
        }
        again
    }
}

//! Limits how long a turn waits for the judge. Videos that get no answer must leave time to judge the
//! others, to try once more, and to sign.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leoma_protocol::Hotkey;

use super::done::Done;
use super::judging::Judgment;
use crate::mechanism::TaskError;

/// For one video. An answer takes a quarter of a minute, and a service that is busy two attempts.
const USUAL: Duration = Duration::from_secs(150);
/// For one video, and for the source clip beside it, once time was lost: four times what an answer
/// takes.
pub(super) const BRIEF: Duration = Duration::from_secs(60);
/// The time that a try loses to silent videos before the wait for each further one is brief.
const MOST_LOST: Duration = Duration::from_secs(450);

/// How long one try waits for the judge.
#[derive(Debug)]
pub(super) struct JudgeTime {
    /// Miners about whose videos it said nothing at an earlier try.
    silent: BTreeSet<Hotkey>,
    /// Milliseconds that silent videos took in this try.
    lost: AtomicU64,
}

impl JudgeTime {
    /// For a try that begins now.
    pub(super) fn of_try(done: &Done) -> Self {
        Self { silent: done.silences.keys().copied().collect(), lost: AtomicU64::new(0) }
    }

    /// How long an answer about this miner's video is waited for.
    pub(super) fn wait_for(&self, miner: Hotkey) -> Duration {
        let lost = Duration::from_millis(self.lost.load(Ordering::Relaxed));
        if lost >= MOST_LOST || self.silent.contains(&miner) { BRIEF } else { USUAL }
    }

    /// A video took this time, whatever its result.
    pub(super) fn took(&self, time: Duration, judged: &Result<Judgment, TaskError>) {
        if matches!(judged, Ok(Judgment::Silence { .. })) {
            let lost = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::silence_of;
    use super::*;

    #[test]
    fn the_wait_is_brief_for_a_miner_that_was_silent_and_for_all_once_time_was_lost() {
        let miner = |n| Hotkey::from_bytes([n; 32]);
        let mut done = Done::default();
        done.silences.insert(miner(1), 1);
        let time = JudgeTime::of_try(&done);
        assert_eq!([1, 2].map(|n| time.wait_for(miner(n))), [BRIEF, USUAL]);
        // A different failure is not silence.
        time.took(MOST_LOST, &Err(TaskError::NoMiners));
        for n in 2..5 {
            assert_eq!(time.wait_for(miner(n)), USUAL, "{n}");
            time.took(USUAL, &Ok(silence_of(miner(n))));
        }
        assert_eq!(time.wait_for(miner(9)), BRIEF);
        // At the next try, only for those that were silent.
        let next = JudgeTime::of_try(&Done::default());
        assert_eq!(next.wait_for(miner(9)), USUAL);
    }
}

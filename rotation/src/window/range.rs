//! Which tasks an epoch looks at, and who may speak for them.
//!
//! | bound | rule |
//! |---|---|
//! | newest task | it began the settle margin, in intervals of its own list, before the epoch block |
//! | oldest task | it ends after the block that lies the lookback before the epoch block |
//!
//! Every task is measured by the list that it was made under, so a change of the interval shifts
//! nothing.

use leoma_protocol::{BlockNumber, ConsensusParams, FileId, TaskId};

use super::left_out::LeftOut;
use crate::{Allowlist, AllowlistHistory};

/// The bounds of one epoch.
#[derive(Clone, Copy, Debug)]
pub struct WindowRange<'a> {
    params: &'a ConsensusParams,
    history: &'a AllowlistHistory,
    epoch_block: BlockNumber,
    /// A task must end after this block; 0 for no limit, as every task ends after it.
    ends_after: BlockNumber,
}

impl<'a> WindowRange<'a> {
    /// The range at `epoch_block`, which need not be a multiple of anything. The settle margin
    /// counts task numbers back from the epoch block's task, produced or not. A lookback of zero
    /// blocks is no limit; one that begins inside a task includes that task.
    pub fn new(
        params: &'a ConsensusParams,
        history: &'a AllowlistHistory,
        epoch_block: BlockNumber,
    ) -> Self {
        let ends_after = match params.lookback_blocks {
            0 => 0,
            lookback => epoch_block.0.saturating_sub(lookback),
        };
        Self { params, history, epoch_block, ends_after: BlockNumber(ends_after) }
    }

    /// Whether the task lies in the range.
    ///
    /// # Errors
    /// [`LeftOut::NoAllowlist`], [`LeftOut::Unsettled`] or [`LeftOut::BeyondLookback`].
    pub fn check(&self, task_id: TaskId) -> Result<(), LeftOut> {
        let allowlist = &self.history.of_task(task_id).ok_or(LeftOut::NoAllowlist)?.allowlist;
        allowlist.start_of(task_id).ok_or(LeftOut::NoAllowlist)?;
        if self.newest_settled(allowlist).is_none_or(|newest| task_id > newest) {
            return Err(LeftOut::Unsettled);
        }
        if task_id < allowlist.task_at(self.ends_after) {
            return Err(LeftOut::BeyondLookback);
        }
        Ok(())
    }

    /// The step at which a file's producer was scheduled, for a task of the range.
    ///
    /// # Errors
    /// Those of [`WindowRange::check`], [`LeftOut::NotListed`] or [`LeftOut::NotScheduled`].
    pub fn admit(&self, file: &FileId) -> Result<usize, LeftOut> {
        let schedule =
            self.history.schedule_of(file.task_id, self.params).ok_or(LeftOut::NoAllowlist)?;
        if !schedule.allowlist().contains(&file.producer) {
            return Err(LeftOut::NotListed);
        }
        let step = schedule.step_of(file.task_id, &file.producer).ok_or(LeftOut::NotScheduled)?;
        self.check(file.task_id)?;
        Ok(step)
    }

    /// The newest task of a list that has settled by the epoch block, whether or not the list makes
    /// a task of that number; `None` if none has.
    fn newest_settled(&self, allowlist: &Allowlist) -> Option<TaskId> {
        let current = allowlist.task_at(self.epoch_block).0;
        current.checked_sub(self.params.settle_margin).map(TaskId)
    }

    /// The tasks of the range, newest first, produced or not.
    fn tasks(&self) -> impl Iterator<Item = TaskId> + use<'a> {
        let range = *self;
        let of_list = move |index: usize| {
            let allowlist = &range.history.entries()[index].allowlist;
            let made = range.history.tasks_of(index);
            let first = made.start().max(&allowlist.task_at(range.ends_after)).0;
            let settled = range.newest_settled(allowlist);
            let last = settled.map(|settled| settled.min(*made.end()).0);
            last.into_iter().flat_map(move |last| (first..=last).rev()).map(TaskId)
        };
        (0..range.history.entries().len()).rev().flat_map(of_list)
    }

    /// Every file that may speak for a task of the range: the tasks newest first, each with the
    /// files of its scheduled producers in their order.
    pub fn scheduled_files(&self) -> impl Iterator<Item = Vec<FileId>> + use<'a> {
        let Self { params, history, .. } = *self;
        self.tasks().filter_map(move |task_id| {
            let producers = history.schedule_of(task_id, params)?.producers(task_id);
            Some(producers.map(|producer| FileId { task_id, producer }).collect())
        })
    }

    /// How many tasks the window holds at most.
    pub(super) const fn window_tasks(&self) -> usize {
        self.params.window_tasks as usize
    }

    /// The lowest task number that this epoch or a later one may look at; what concerns lower
    /// numbers can be forgotten. The list before the first one known is taken to have numbered its
    /// tasks alike.
    pub fn oldest_task(&self) -> TaskId {
        let first_of = |(index, allowlist): (usize, &Allowlist)| {
            let made = self.history.tasks_of(index);
            let in_range = allowlist.task_at(self.ends_after);
            let first = if index == 0 { in_range } else { in_range.max(*made.start()) };
            (first <= *made.end()).then_some(first)
        };
        let lists = self.history.entries().iter().map(|entry| &entry.allowlist);
        lists.enumerate().filter_map(first_of).min().unwrap_or(TaskId(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::Hotkey;
    use proptest::prelude::*;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn history(validators: u8) -> AllowlistHistory {
        AllowlistHistory::since_genesis(Allowlist::new(100, (0..validators).map(hotkey)).unwrap())
    }

    /// Lists of one validator by block of commitment and interval.
    fn lists(commits: &[(u64, u64)]) -> AllowlistHistory {
        let mut history = AllowlistHistory::default();
        for (n, (block, interval)) in commits.iter().enumerate() {
            let list = Allowlist::new(*interval, [hotkey(n as u8)]).unwrap();
            history.commit(BlockNumber(*block), list).unwrap();
        }
        history
    }

    fn numbers(files: impl IntoIterator<Item = Vec<FileId>>) -> Vec<u64> {
        files.into_iter().map(|of_task| of_task[0].task_id.0).collect()
    }

    fn range_tasks(history: &AllowlistHistory, epoch_block: u64) -> Vec<u64> {
        let params = ConsensusParams::default();
        let range = WindowRange::new(&params, history, BlockNumber(epoch_block));
        numbers(range.scheduled_files())
    }

    #[test]
    fn the_newest_two_task_numbers_settle_and_the_rest_come_newest_first() {
        // The reference dropped the newest two *produced* tasks.
        let steady = history(4);
        assert_eq!(range_tasks(&steady, 1000), (0..=8).rev().collect::<Vec<_>>());
        assert_eq!(range_tasks(&steady, 1099), range_tasks(&steady, 1000));
        assert_eq!(range_tasks(&steady, 1100)[0], 9);
        assert_eq!(range_tasks(&steady, 50_050).last(), Some(&200), "the lookback begins in 200");
        assert!(range_tasks(&steady, 199).is_empty());
        assert!(range_tasks(&AllowlistHistory::default(), 1050).is_empty());
        let params = ConsensusParams::default();
        let range = WindowRange::new(&params, &steady, BlockNumber(1000));
        let producers: Vec<_> = range.scheduled_files().next().unwrap();
        let producers: Vec<_> = producers.iter().map(|file| file.producer).collect();
        assert_eq!(producers, [hotkey(0), hotkey(1)], "the primary, then who may step in");
    }

    #[test]
    fn a_task_settles_by_the_interval_that_it_was_made_under() {
        // From block 1010 on tasks have ten blocks: 101, 102, … Task 10 runs from 1000 to 1010 and
        // was of 100 blocks when it began. Measured by the new interval it would have settled at
        // block 1020, long before its attestations end at 1176.
        let shorter = lists(&[(0, 100), (1005, 10)]);
        let settled_at = |task: u64| {
            (0..2000).find(|block| range_tasks(&shorter, *block).contains(&task)).unwrap()
        };
        let params = ConsensusParams::default();
        let deadline = crate::attestation_deadline(&params, &shorter, TaskId(10)).unwrap();
        assert_eq!((settled_at(10), deadline), (1200, BlockNumber(1176)));
        assert_eq!(settled_at(101), 1030);
        // Newer tasks settle first then; each still counts from its own block on.
        assert_eq!(range_tasks(&shorter, 1199)[0], 117);
        assert!(!range_tasks(&shorter, 1199).contains(&10));
    }

    #[test]
    fn numbers_at_the_end_of_the_range_do_not_overflow() {
        let (params, history) = (ConsensusParams::default(), history(4));
        let range = WindowRange::new(&params, &history, BlockNumber(u64::MAX));
        assert_eq!(range.check(TaskId(u64::MAX)), Err(LeftOut::NoAllowlist));
        assert_eq!(range.check(TaskId(u64::MAX / 100)), Err(LeftOut::Unsettled));
        assert_eq!(range.check(TaskId(u64::MAX / 100 - 2)), Ok(()));
    }

    #[test]
    fn the_oldest_task_is_the_one_that_the_lookback_begins_in() {
        let params = ConsensusParams::default();
        let oldest = |history: &AllowlistHistory, block| {
            WindowRange::new(&params, history, BlockNumber(block)).oldest_task().0
        };
        let steady = history(4);
        let at = [0, 29_999, 30_100, 50_050].map(|block| oldest(&steady, block));
        assert_eq!(at, [0, 0, 1, 200]);
        assert_eq!(oldest(&AllowlistHistory::default(), 50_000), 0);
        // A shorter interval gives higher numbers; those of the list before are still in range.
        let shorter = lists(&[(0, 100), (49_950, 50)]);
        assert_eq!(oldest(&shorter, 50_050), 200);
        assert_eq!(oldest(&shorter, 90_000), 1200);
        // A longer interval gives lower ones.
        assert_eq!(oldest(&lists(&[(0, 100), (49_950, 200)]), 50_050), 200);
        assert_eq!(oldest(&lists(&[(0, 100), (49_950, 500)]), 60_000), 100);
        // Tasks before the first known list are not forgotten just for that.
        assert_eq!(oldest(&lists(&[(49_950, 100)]), 50_050), 200);
    }

    proptest! {
        #[test]
        fn the_listed_tasks_are_those_that_pass_the_check(
            commits in prop::collection::btree_map(0u64..3000, 1u64..60, 0..4),
            epoch_block in 0u64..4000, lookback_blocks in 0u64..2000, settle_margin in 0u64..4,
        ) {
            let params = ConsensusParams { lookback_blocks, settle_margin, ..ConsensusParams::default() };
            let history = lists(&commits.into_iter().collect::<Vec<_>>());
            let range = WindowRange::new(&params, &history, BlockNumber(epoch_block));
            let mut listed = numbers(range.scheduled_files());
            let starts: Vec<_> = listed
                .iter()
                .map(|task| history.of_task(TaskId(*task)).unwrap().allowlist.start_of(TaskId(*task)))
                .collect();
            prop_assert!(starts.is_sorted_by(|newer, older| newer > older));
            listed.sort_unstable();
            let expected: Vec<u64> =
                (0..4100).filter(|task| range.check(TaskId(*task)).is_ok()).collect();
            prop_assert_eq!(&listed, &expected);
            prop_assert!(expected.iter().all(|task| *task >= range.oldest_task().0));
        }
    }
}

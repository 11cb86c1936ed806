//! Which tasks an epoch looks at, and by when a file must be signed to count in it.
//!
//! | bound | rule |
//! |---|---|
//! | newest task | its number is the settle margin below that of the epoch block's task |
//! | oldest task | it ends after the block that lies the lookback before the epoch block |
//! | newest signature | the spread, a share of the interval, before the epoch block |
//!
//! Tasks are compared by their blocks, so a change of the interval shifts nothing.

use std::collections::BTreeSet;

use leoma_protocol::{BlockNumber, ConsensusParams, FileId, Hotkey, TaskId};

use super::left_out::LeftOut;
use crate::{Allowlist, AllowlistHistory};

/// The bounds of one epoch.
#[derive(Clone, Copy, Debug)]
pub struct WindowRange<'a> {
    params: &'a ConsensusParams,
    history: &'a AllowlistHistory,
    /// The newest start block of a settled task; `None` if none has settled.
    settled_until: Option<BlockNumber>,
    /// A task must end after this block; 0 for no limit, as every task ends after it.
    ends_after: BlockNumber,
    /// A file must be signed in this block or before.
    signed_until: BlockNumber,
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
        let allowlist = history.at_block(epoch_block).map(|entry| &entry.allowlist);
        let settled_until = allowlist.and_then(|allowlist| {
            let newest = allowlist.task_at(epoch_block).0.checked_sub(params.settle_margin)?;
            allowlist.start_of(TaskId(newest))
        });
        let ends_after = match params.lookback_blocks {
            0 => 0,
            lookback => epoch_block.0.saturating_sub(lookback),
        };
        let interval = allowlist.map_or(0, |allowlist| allowlist.interval());
        let spread = interval.saturating_mul(params.spread.numerator.into())
            / u64::from(params.spread.denominator.max(1));
        Self {
            params,
            history,
            settled_until,
            ends_after: BlockNumber(ends_after),
            signed_until: BlockNumber(epoch_block.0.saturating_sub(spread)),
        }
    }

    /// Whether a file that was signed in this block counts. Its task may have settled before it was
    /// made. A file that reaches some validators before they compute and others after would divide
    /// them.
    ///
    /// # Errors
    /// [`LeftOut::SignedLate`].
    pub fn check_signed(&self, signed_at: BlockNumber) -> Result<(), LeftOut> {
        if signed_at > self.signed_until {
            return Err(LeftOut::SignedLate { signed_at });
        }
        Ok(())
    }

    /// Whether the task lies in the range.
    ///
    /// # Errors
    /// [`LeftOut::NoAllowlist`], [`LeftOut::Unsettled`] or [`LeftOut::BeyondLookback`].
    pub fn check(&self, task_id: TaskId) -> Result<(), LeftOut> {
        let allowlist = &self.history.of_task(task_id).ok_or(LeftOut::NoAllowlist)?.allowlist;
        let start = allowlist.start_of(task_id).ok_or(LeftOut::NoAllowlist)?;
        if self.settled_until.is_none_or(|newest| start > newest) {
            return Err(LeftOut::Unsettled);
        }
        if task_id < allowlist.task_at(self.ends_after) {
            return Err(LeftOut::BeyondLookback);
        }
        Ok(())
    }

    /// The producers against whom there is evidence for a task in the range. Evidence for a task
    /// that has not settled waits, as its files do, until every validator has had time to hear of
    /// it.
    pub fn equivocators(&self, evidence: &[FileId]) -> BTreeSet<Hotkey> {
        let in_range = evidence.iter().filter(|file| self.check(file.task_id).is_ok());
        in_range.map(|file| file.producer).collect()
    }

    /// The tasks of the range, newest first, produced or not.
    fn tasks(&self) -> impl Iterator<Item = TaskId> + use<'a> {
        let range = *self;
        let of_list = move |index: usize| {
            let allowlist = &range.history.entries()[index].allowlist;
            let made = range.history.tasks_of(index);
            let first = made.start().max(&allowlist.task_at(range.ends_after)).0;
            let settled = range.settled_until.map(|newest| allowlist.task_at(newest));
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

    /// The files to look for before the epoch is computed: those of as many tasks as a window
    /// holds, in the order of [`WindowRange::scheduled_files`].
    pub fn wanted_files(&self) -> Vec<Vec<FileId>> {
        self.scheduled_files().take(self.params.window_tasks as usize).collect()
    }

    /// How many tasks the window holds at most.
    pub(super) const fn window_tasks(&self) -> u32 {
        self.params.window_tasks
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
    use proptest::prelude::*;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn history(validators: u8) -> AllowlistHistory {
        AllowlistHistory::since_genesis(Allowlist::new(100, (0..validators).map(hotkey)).unwrap())
    }

    #[test]
    fn a_file_counts_an_eighth_of_an_interval_after_its_signature() {
        // An eighth of 100 blocks is 12.
        let (params, history) = (ConsensusParams::default(), history(4));
        let range = WindowRange::new(&params, &history, BlockNumber(1000));
        assert_eq!([0, 700, 988].map(|block| range.check_signed(BlockNumber(block))), [Ok(()); 3]);
        for block in [989, 1000, u64::MAX] {
            let signed_at = BlockNumber(block);
            assert_eq!(range.check_signed(signed_at), Err(LeftOut::SignedLate { signed_at }));
        }
    }

    #[test]
    fn evidence_counts_while_its_task_lies_in_the_range() {
        let (params, history) = (ConsensusParams::default(), history(4));
        let evidence = [FileId { task_id: TaskId(8), producer: hotkey(0) }];
        let blamed = |block| {
            !WindowRange::new(&params, &history, BlockNumber(block))
                .equivocators(&evidence)
                .is_empty()
        };
        assert_eq!([900, 1000, 30_899, 30_900].map(blamed), [false, true, true, false]);
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

    #[test]
    fn as_many_tasks_are_wanted_as_a_window_holds_the_newest_first() {
        let params = ConsensusParams { window_tasks: 3, ..ConsensusParams::default() };
        let history = history(4);
        let range = WindowRange::new(&params, &history, BlockNumber(1050));
        let wanted = range.wanted_files();
        assert_eq!(numbers(wanted.clone()), [8, 7, 6]);
        let producers: Vec<_> = wanted[0].iter().map(|file| file.producer).collect();
        assert_eq!(producers, [hotkey(0), hotkey(1)], "the primary, then who may step in");
        assert_eq!(range.scheduled_files().count(), 9);
        let early = WindowRange::new(&params, &history, BlockNumber(150));
        assert!(early.wanted_files().is_empty());
        assert!(
            WindowRange::new(&params, &AllowlistHistory::default(), BlockNumber(1050))
                .wanted_files()
                .is_empty()
        );
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
        // What was before the first known list is not forgotten for that alone.
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

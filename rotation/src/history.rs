//! Which allowlist governs which task: a change never applies to tasks that have begun.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use leoma_protocol::messages::{MAX_ALLOWLISTS, TaskList};
use leoma_protocol::turns::Numbering;
use leoma_protocol::{BlockNumber, ConsensusParams, TaskId};

use crate::{Allowlist, Schedule};

/// The allowlists that were committed, oldest first, each with the block from which it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowlistHistory {
    /// Strictly ascending in `from_block`; at most [`MAX_ALLOWLISTS`], as the mesh keeps.
    entries: Vec<Effective>,
}

/// An allowlist and the task from which it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The list.
    pub allowlist: Allowlist,
    /// The block of the commitment.
    pub committed_at: BlockNumber,
    /// The start of the first task under this list.
    pub from_block: BlockNumber,
    /// That task.
    pub from_task: TaskId,
}

impl Effective {
    fn numbering(&self) -> Numbering {
        Numbering { from: self.from_task, interval: self.allowlist.interval() }
    }
}

/// A commitment that is older than one that was already taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an allowlist committed at block {committed_at} cannot follow one committed at block {newest}"
)]
pub struct OutOfOrder {
    /// The commitment's block.
    pub committed_at: BlockNumber,
    /// The newest block so far.
    pub newest: BlockNumber,
}

impl AllowlistHistory {
    /// A history of one list that counts from block 0 on.
    pub fn since_genesis(allowlist: Allowlist) -> Self {
        let entry = Effective {
            allowlist,
            committed_at: BlockNumber(0),
            from_block: BlockNumber(0),
            from_task: TaskId(0),
        };
        Self { entries: vec![entry] }
    }

    /// Takes in the list that was committed at `committed_at`. It counts from the first task whose
    /// start block is after that block. A list that is replaced before it counted leaves no trace,
    /// and of more than [`MAX_ALLOWLISTS`] the oldest is forgotten.
    ///
    /// # Errors
    /// [`OutOfOrder`] if a later commitment is already known; nothing changes then.
    pub fn commit(
        &mut self,
        committed_at: BlockNumber,
        allowlist: Allowlist,
    ) -> Result<(), OutOfOrder> {
        let newest = self.entries.last().map(|entry| entry.committed_at);
        if let Some(newest) = newest.filter(|newest| *newest > committed_at) {
            return Err(OutOfOrder { committed_at, newest });
        }
        let from_task = TaskId(allowlist.task_at(committed_at).0.saturating_add(1));
        let from_block = allowlist.start_of(from_task).unwrap_or(BlockNumber(u64::MAX));
        while self.entries.last().is_some_and(|entry| entry.from_block >= from_block) {
            self.entries.pop();
        }
        if self.entries.last().is_none_or(|entry| entry.allowlist != allowlist) {
            self.entries.push(Effective { allowlist, committed_at, from_block, from_task });
            let surplus = self.entries.len().saturating_sub(MAX_ALLOWLISTS);
            self.entries.drain(..surplus);
        }
        Ok(())
    }

    /// The list in force at `block`; `None` before the first one counts.
    pub fn at_block(&self, block: BlockNumber) -> Option<&Effective> {
        self.entries.iter().rev().find(|entry| entry.from_block <= block)
    }

    /// The list that `task_id` was or will be made under; `None` for a task that no list makes:
    /// before the first, or a number skipped by a change of the interval.
    pub fn of_task(&self, task_id: TaskId) -> Option<&Effective> {
        let index = self.entries.iter().rposition(|entry| entry.from_task <= task_id)?;
        self.tasks_of(index).contains(&task_id).then(|| &self.entries[index])
    }

    /// The task numbers that belong to the list at `index`, see [`Numbering::tasks`]. The mesh
    /// follows the same rule. May be empty.
    pub(crate) fn tasks_of(&self, index: usize) -> RangeInclusive<TaskId> {
        let later = self.entries[index + 1..].iter().map(Effective::numbering);
        self.entries[index].numbering().tasks(later)
    }

    /// The rotation in force at `block`.
    pub fn schedule_at(
        &self,
        block: BlockNumber,
        params: &ConsensusParams,
    ) -> Option<Schedule<'_>> {
        self.at_block(block).map(|entry| Schedule::new(&entry.allowlist, params.failover_grace))
    }

    /// The rotation of the list that `task_id` is made under.
    pub fn schedule_of(&self, task_id: TaskId, params: &ConsensusParams) -> Option<Schedule<'_>> {
        self.of_task(task_id).map(|entry| Schedule::new(&entry.allowlist, params.failover_grace))
    }

    /// The history as it was at `block`: without lists that were committed later. It does not bring
    /// back a list that a later one replaced before it counted; such a list governed nothing.
    pub fn as_of(&self, block: BlockNumber) -> Cow<'_, Self> {
        let is_known = |entry: &&Effective| entry.committed_at <= block;
        if self.entries.iter().all(|entry| is_known(&entry)) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { entries: self.entries.iter().filter(is_known).cloned().collect() })
    }

    /// All lists as they are handed to the mesh, oldest first.
    pub fn task_lists(&self) -> Vec<TaskList> {
        let list = |entry: &Effective| TaskList {
            from: entry.from_task,
            interval: entry.allowlist.interval(),
            validators: entry.allowlist.validators().to_vec(),
        };
        self.entries.iter().map(list).collect()
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[Effective] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WindowRange;
    use leoma_protocol::Hotkey;
    use leoma_protocol::messages::Allowlists;
    use proptest::prelude::*;

    fn list(interval: u64, seeds: &[u8]) -> Allowlist {
        Allowlist::new(interval, seeds.iter().map(|seed| Hotkey::from_bytes([*seed; 32]))).unwrap()
    }

    #[test]
    fn a_change_counts_from_the_first_task_that_starts_after_its_block() {
        let (old, new) = (list(100, &[1, 2]), list(100, &[1, 2, 3]));
        // A commitment in the very block at which a task starts is too late for that task.
        for (committed_at, first_task) in [(500, 6), (501, 6), (599, 6), (600, 7)] {
            let mut history = AllowlistHistory::since_genesis(old.clone());
            history.commit(BlockNumber(committed_at), new.clone()).unwrap();
            assert_eq!(history.of_task(TaskId(first_task - 1)).unwrap().allowlist, old);
            assert_eq!(history.of_task(TaskId(first_task)).unwrap().allowlist, new);
            assert_eq!(history.at_block(BlockNumber(first_task * 100 - 1)).unwrap().allowlist, old);
            assert_eq!(history.at_block(BlockNumber(first_task * 100)).unwrap().allowlist, new);
        }
    }

    #[test]
    fn a_list_replaced_before_it_counted_leaves_no_trace() {
        let (old, new) = (list(100, &[1, 2]), list(100, &[1, 2, 3]));
        let mut history = AllowlistHistory::since_genesis(old.clone());
        history.commit(BlockNumber(510), new.clone()).unwrap();
        history.commit(BlockNumber(520), old.clone()).unwrap();
        assert_eq!(history, AllowlistHistory::since_genesis(old));
        let late = history.clone().commit(BlockNumber(500), new.clone());
        assert!(
            late.is_ok(),
            "the commitment at 520 left no trace, so nothing is known to be newer"
        );
        history.commit(BlockNumber(700), new.clone()).unwrap();
        assert_eq!(history.commit(BlockNumber(699), new).unwrap_err().newest, BlockNumber(700));
    }

    #[test]
    fn no_list_makes_a_task_whose_number_a_shorter_interval_skips() {
        let mut history = AllowlistHistory::default();
        history.commit(BlockNumber(0), list(100, &[1])).unwrap();
        history.commit(BlockNumber(950), list(50, &[2])).unwrap();
        // Tasks 1 to 9 are of 100 blocks; from block 1000 on the tasks are 20, 21, … of 50 blocks.
        let interval = |task| history.of_task(TaskId(task)).map(|entry| entry.allowlist.interval());
        assert_eq!(
            [0, 1, 9, 10, 19, 20].map(interval),
            [None, Some(100), Some(100), None, None, Some(50)]
        );
        let newest = history.at_block(BlockNumber(1049)).unwrap();
        assert_eq!(newest.allowlist.task_at(BlockNumber(1049)), TaskId(20));
    }

    /// That the mesh gives every task up to `last` the list that the rotation gives it, and keeps
    /// and admits what an epoch may look at.
    fn assert_mesh_agrees(history: &AllowlistHistory, last: u64) {
        let mesh = Allowlists::new(history.task_lists());
        for task in (0..=last).map(TaskId) {
            let list = history.of_task(task).map(|entry| &entry.allowlist);
            let interval = list.map(Allowlist::interval);
            assert_eq!(mesh.interval_of(task), interval, "task {task} of {history:?}");
            let validators: Vec<Hotkey> = mesh.for_task(task).iter().copied().collect();
            let expected = list.map(|list| list.validators().to_vec()).unwrap_or_default();
            assert_eq!(validators, expected, "task {task} of {history:?}");
        }
        let newest = history.entries().last().map(|entry| entry.allowlist.validators());
        assert_eq!(mesh.newest_in_order().0, newest.unwrap_or_default());
        let params = ConsensusParams { lookback_blocks: 500, ..ConsensusParams::default() };
        for block in (0u64..3000).step_by(7).map(BlockNumber) {
            let back = BlockNumber(block.0.saturating_sub(params.lookback_blocks));
            let oldest = WindowRange::new(&params, history, block).oldest_task();
            assert_eq!(mesh.oldest_task_after(back), oldest, "block {block} of {history:?}");
            let current = history.at_block(block).map(|entry| entry.allowlist.task_at(block));
            assert!(current <= Some(mesh.newest_task_at(block)), "block {block} of {history:?}");
        }
    }

    #[test]
    fn the_mesh_gives_tasks_the_same_lists_when_the_interval_grows_and_shrinks() {
        let cases: [&[(u64, u64)]; 6] = [
            &[(0, 10)],
            &[(0, 10), (500, 5), (1000, 2)],
            &[(0, 10), (500, 50), (1000, 100)],
            &[(0, 10), (500, 50), (1000, 10), (1500, 25)],
            // The last list has the lowest numbers, and was heard of last.
            &[(290, 10), (440, 10), (495, 50)],
            // Three lists are to follow at once, from blocks 1010, 1200 and 1500 on.
            &[(0, 100), (1001, 10), (1002, 300), (1003, 500)],
        ];
        for commits in cases {
            let mut history = AllowlistHistory::default();
            for (seed, (block, interval)) in (0..).zip(commits) {
                history.commit(BlockNumber(*block), list(*interval, &[seed])).unwrap();
            }
            assert_mesh_agrees(&history, 1500);
        }
    }

    #[test]
    fn the_mesh_keeps_every_list_that_the_history_keeps() {
        let mut history = AllowlistHistory::default();
        for block in 0..300 {
            history.commit(BlockNumber(block), list(1, &[block as u8 % 2])).unwrap();
        }
        assert_eq!(history.entries().len(), MAX_ALLOWLISTS);
        let oldest = history.entries()[0].from_task;
        assert_eq!(oldest, TaskId(301 - MAX_ALLOWLISTS as u64));
        assert_eq!(history.of_task(TaskId(oldest.0 - 1)), None);
        assert_mesh_agrees(&history, 400);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_mesh_gives_every_task_the_list_that_the_rotation_gives_it(
            commits in prop::collection::vec((0u64..2000, 1u64..60, 0u8..4), 0..8),
            since_genesis: bool,
        ) {
            let mut commits = commits;
            commits.sort_unstable();
            let mut history = AllowlistHistory::default();
            if since_genesis {
                history = AllowlistHistory::since_genesis(list(7, &[9]));
            }
            for (block, interval, seed) in commits {
                history.commit(BlockNumber(block), list(interval, &[seed])).unwrap();
            }
            assert_mesh_agrees(&history, 2500);
        }
    }

    proptest! {
        #[test]
        fn the_list_of_a_task_is_the_list_at_its_start(
            commits in prop::collection::vec((0u64..2000, 1u64..60, 0u8..4), 0..8), task in 0u64..2500,
        ) {
            let mut commits = commits;
            commits.sort_unstable();
            let mut history = AllowlistHistory::since_genesis(list(7, &[9]));
            for (block, interval, seed) in commits {
                history.commit(BlockNumber(block), list(interval, &[seed])).unwrap();
            }
            if let Some(entry) = history.of_task(TaskId(task)) {
                let start = BlockNumber(task * entry.allowlist.interval());
                prop_assert_eq!(history.at_block(start), Some(entry));
            }
        }
    }
}

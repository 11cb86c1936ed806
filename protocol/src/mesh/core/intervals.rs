//! Which task a block belongs to, when the subnet owner changes the number of blocks per task.
//!
//! A change holds from some task on; earlier tasks keep their numbers. The mesh uses this only to
//! bound what it admits. The rotation crate decides what a task is, and whose turn.

use crate::{BlockNumber, TaskId};

/// Changes that are remembered: as many as allowlists.
const MAX_INTERVALS: usize = 16;

/// Blocks per task, with the task from which each holds.
#[derive(Debug)]
pub(super) struct Intervals(Vec<(TaskId, u64)>);

impl Intervals {
    pub(super) fn new(blocks: u64) -> Self {
        Self(vec![(TaskId(0), blocks.max(1))])
    }

    /// From `task` on, a task has `blocks` blocks. Telling a known change again has no effect,
    /// because the whole history is told at every change.
    pub(super) fn set_from(&mut self, task: TaskId, blocks: u64) {
        if self.0.contains(&(task, blocks.max(1))) {
            return;
        }
        self.0.retain(|(from, _)| *from < task);
        self.0.push((task, blocks.max(1)));
        if self.0.len() > MAX_INTERVALS {
            self.0.remove(0);
        }
    }

    /// The task that a block belongs to, by the newest interval that held by then, else by the
    /// first.
    pub(super) fn task_at(&self, block: BlockNumber) -> TaskId {
        let counted = |blocks: u64| TaskId(block.0 / blocks);
        let held = self
            .0
            .iter()
            .rev()
            .find(|(from, blocks)| counted(*blocks) >= *from)
            .or_else(|| self.0.first());
        held.map_or(TaskId(0), |(_, blocks)| counted(*blocks))
    }

    /// The highest number that any validator may give a block's task: others may have heard of a
    /// change before us.
    pub(super) fn newest_at(&self, block: BlockNumber) -> TaskId {
        let shortest = self.0.iter().rev().take(2).map(|(_, blocks)| *blocks).min();
        TaskId(block.0 / shortest.unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_interval_numbers_tasks_anew_from_its_first_on() {
        let mut intervals = Intervals::new(100);
        let task = |intervals: &Intervals, block| intervals.task_at(BlockNumber(block)).0;
        assert_eq!(task(&intervals, 10_050), 100);
        // Committed at block 10 020: the first task that begins later is number 201.
        intervals.set_from(TaskId(201), 50);
        assert_eq!(task(&intervals, 10_049), 100, "the last one of before");
        assert_eq!(task(&intervals, 10_050), 201);
        assert_eq!(intervals.newest_at(BlockNumber(10_020)).0, 200);
        intervals.set_from(TaskId(0), 100);
        assert_eq!(task(&intervals, 10_050), 201, "told again");
        intervals.set_from(TaskId(0), 10);
        assert_eq!(task(&intervals, 10_020), 1002, "a correction of all replaces all");
        for task in 1..100 {
            intervals.set_from(TaskId(task), 1);
        }
        assert_eq!(intervals.0.len(), MAX_INTERVALS);
        intervals.set_from(TaskId(1000), 0);
        assert_eq!(task(&intervals, 5000), 5000, "no division by nothing");
    }
}

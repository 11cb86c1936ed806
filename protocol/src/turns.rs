//! Who may produce a task, in numbers: the arithmetic behind the rotation.
//!
//! The rotation crate applies it to an allowlist, the mesh to the lists that it was given.

use std::ops::RangeInclusive;

use crate::{BlockNumber, TaskId};

/// How a list numbers its tasks: by its first one and their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// The first task under the list.
    pub from: TaskId,
    /// Blocks per task; zero counts as one.
    pub interval: u64,
}

impl Numbering {
    /// The first block of the first task; the highest possible block if the task begins later.
    #[must_use]
    pub const fn first_block(self) -> BlockNumber {
        BlockNumber(self.from.0.saturating_mul(self.interval))
    }

    /// The number of the task that `block` lies in, whether or not the list makes it.
    #[must_use]
    pub const fn task_at(self, block: BlockNumber) -> TaskId {
        match block.0.checked_div(self.interval) {
            Some(task) => TaskId(task),
            None => TaskId(block.0),
        }
    }

    /// The task numbers that belong to the list: from its first task to the last one that starts
    /// before the next list counts. `later` are the lists that were committed after it, oldest
    /// first. Numbers that a later list uses again, after a longer interval, belong to the later
    /// list. May be empty.
    #[must_use]
    pub fn tasks(self, later: impl IntoIterator<Item = Self>) -> RangeInclusive<TaskId> {
        let mut later = later.into_iter().peekable();
        let next = later.peek().map(|next| next.first_block());
        let last_block = next.map_or(u64::MAX, |first| first.0.saturating_sub(1));
        let last_started = self.task_at(BlockNumber(last_block));
        let first_reused = later.map(|list| list.from).min();
        let last_kept = first_reused.map(|first| TaskId(first.0.saturating_sub(1)));
        let last = last_kept.map_or(last_started, |last| last.min(last_started));
        self.from..=last
    }
}

/// The blocks that each producer of a task has before the next one may step in: as configured, or
/// half of the interval, at least one block.
#[must_use]
pub const fn grace_blocks(interval: u64, configured: Option<u64>) -> u64 {
    match configured {
        Some(grace) if grace > 0 => grace,
        _ if interval >= 2 => interval / 2,
        _ => 1,
    }
}

/// The failover step that a task has reached `offset` blocks after its start, among `validators`
/// validators.
#[must_use]
pub fn step_after(offset: u64, grace: u64, validators: usize) -> usize {
    let last = validators.saturating_sub(1);
    usize::try_from(offset / grace.max(1)).map_or(last, |step| step.min(last))
}

/// The last step that a task reaches before it ends.
#[must_use]
pub fn last_step(interval: u64, grace: u64, validators: usize) -> usize {
    step_after(interval.saturating_sub(1), grace, validators)
}

/// The place on the sorted list of the producer of a step of a task; `None` on an empty list.
#[must_use]
pub fn place_of_step(task: TaskId, step: usize, validators: usize) -> Option<usize> {
    (validators > 0).then(|| (first_place(task, validators) + step) % validators)
}

/// The step at which the validator at `place` may produce a task, reachable or not. `place` must be
/// below `validators`.
#[must_use]
pub fn step_of_place(task: TaskId, place: usize, validators: usize) -> usize {
    (place + validators - first_place(task, validators)) % validators
}

fn first_place(task: TaskId, validators: usize) -> usize {
    // A list has far fewer validators than fit into 32 bits, so the remainder fits as well.
    (task.0 % validators as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_places_are_inverse() {
        for validators in 1..20 {
            for task in (0..50).map(TaskId) {
                for step in 0..validators {
                    let place = place_of_step(task, step, validators).unwrap();
                    assert_eq!(step_of_place(task, place, validators), step);
                }
            }
        }
        assert_eq!(place_of_step(TaskId(3), 0, 0), None);
    }

    #[test]
    fn half_of_the_interval_reaches_one_failover() {
        assert_eq!((grace_blocks(100, None), last_step(100, 50, 64)), (50, 1));
        assert_eq!((grace_blocks(1, None), last_step(1, 1, 64)), (1, 0));
        assert_eq!((grace_blocks(100, Some(10)), last_step(100, 10, 64)), (10, 9));
        assert_eq!(last_step(100, 10, 4), 3, "no more steps than validators");
        assert_eq!(grace_blocks(7, Some(0)), 3, "zero is none");
        assert_eq!(step_after(u64::MAX, 1, 5), 4);
    }
}

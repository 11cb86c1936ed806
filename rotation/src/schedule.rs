//! Whose turn it is: the rotation under one allowlist.

use leoma_protocol::{BlockNumber, Hotkey, TaskId, turns};

use crate::Allowlist;

/// The rotation of one allowlist. Every answer follows from block numbers alone.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    allowlist: &'a Allowlist,
    grace_blocks: u64,
}

/// Who samples at some block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The task that the block lies in.
    pub task_id: TaskId,
    /// Who samples now.
    pub producer: Hotkey,
    /// How many producers before this one have let their grace period pass; 0 for the primary.
    pub failover_step: usize,
}

impl<'a> Schedule<'a> {
    /// The rotation of `allowlist`. Without a configured grace period (none, or zero blocks) it is
    /// half of the interval, at least one block.
    pub fn new(allowlist: &'a Allowlist, configured_grace: Option<u64>) -> Self {
        let grace_blocks = turns::grace_blocks(allowlist.interval(), configured_grace);
        Self { allowlist, grace_blocks }
    }

    /// The list behind the rotation.
    pub const fn allowlist(&self) -> &'a Allowlist {
        self.allowlist
    }

    /// The blocks that each producer has before the next one may step in.
    pub const fn grace_blocks(&self) -> u64 {
        self.grace_blocks
    }

    /// The task's first producer; `None` for an empty list.
    pub fn primary(&self, task_id: TaskId) -> Option<Hotkey> {
        self.producer_at(task_id, 0)
    }

    /// The failover step that the task of `block` has reached by then if nobody has produced it.
    pub fn failover_step(&self, block: BlockNumber) -> usize {
        self.step_after(block.0 % self.allowlist.interval())
    }

    /// Whose turn it is at `block`; `None` for an empty list. Once the primary has produced, the
    /// task stays the primary's.
    pub fn turn(&self, block: BlockNumber, primary_produced: bool) -> Option<Turn> {
        let task_id = self.allowlist.task_at(block);
        let failover_step = if primary_produced { 0 } else { self.failover_step(block) };
        Some(Turn { task_id, producer: self.producer_at(task_id, failover_step)?, failover_step })
    }

    /// The producers of a task in order: the primary, then those whose failover step comes before
    /// the task ends. No other validator's file counts.
    pub fn producers(&self, task_id: TaskId) -> impl Iterator<Item = Hotkey> + use<'a> {
        let schedule = *self;
        (0..=self.last_step()).filter_map(move |step| schedule.producer_at(task_id, step))
    }

    /// The step at which `producer` may produce the task; `None` if it never may.
    pub fn step_of(&self, task_id: TaskId, producer: &Hotkey) -> Option<usize> {
        let number = self.allowlist.validators().len();
        let step = turns::step_of_place(task_id, self.allowlist.position(producer)?, number);
        (step <= self.last_step()).then_some(step)
    }

    fn last_step(&self) -> usize {
        self.step_after(self.allowlist.interval() - 1)
    }

    fn step_after(&self, offset: u64) -> usize {
        turns::step_after(offset, self.grace_blocks, self.allowlist.validators().len())
    }

    fn producer_at(&self, task_id: TaskId, step: usize) -> Option<Hotkey> {
        let validators = self.allowlist.validators();
        let place = turns::place_of_step(task_id, step, validators.len())?;
        validators.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowlist(interval: u64, number: u8) -> Allowlist {
        Allowlist::new(interval, (0..number).map(|seed| Hotkey::from_bytes([seed; 32]))).unwrap()
    }

    #[test]
    fn a_step_that_the_grace_period_cannot_reach_is_not_scheduled() {
        let list = allowlist(100, 5);
        let half = Schedule::new(&list, None);
        assert_eq!(
            half.producers(TaskId(4)).collect::<Vec<_>>(),
            [list.validators()[4], list.validators()[0]]
        );
        assert_eq!(half.step_of(TaskId(4), &list.validators()[1]), None);
        let short = Schedule::new(&list, Some(10));
        assert_eq!(short.producers(TaskId(4)).count(), 5);
        let long = Schedule::new(&list, Some(100));
        assert_eq!(long.producers(TaskId(4)).count(), 1);
    }

    #[test]
    fn nobody_has_a_turn_on_an_empty_list() {
        let list = allowlist(10, 0);
        let schedule = Schedule::new(&list, None);
        assert_eq!(schedule.turn(BlockNumber(9), false), None);
        assert_eq!(schedule.failover_step(BlockNumber(9)), 0);
        assert_eq!(schedule.producers(TaskId(1)).count(), 0);
        assert_eq!(schedule.step_of(TaskId(1), &Hotkey::from_bytes([0; 32])), None);
    }

    proptest! {
        #[test]
        fn whoever_has_a_turn_is_scheduled_at_that_step(
            block: u64, interval in 1u64..5000, number in 1u8..70, grace: Option<u64>, produced: bool,
        ) {
            let list = allowlist(interval, number);
            let schedule = Schedule::new(&list, grace);
            let turn = schedule.turn(BlockNumber(block), produced).unwrap();
            prop_assert_eq!(schedule.step_of(turn.task_id, &turn.producer), Some(turn.failover_step));
            let scheduled: Vec<_> = schedule.producers(turn.task_id).collect();
            prop_assert_eq!(scheduled.get(turn.failover_step), Some(&turn.producer));
            for (step, producer) in scheduled.iter().enumerate() {
                prop_assert_eq!(schedule.step_of(turn.task_id, producer), Some(step));
            }
        }
    }
}

//! Chain time: the Timestamp of each block.
//!
//! A block that is made by the clock carries the wall clock's time; one that is stepped carries its
//! parent's plus the step, so that tests see the same times on every machine. Either way a block is
//! later than its parent.

/// What block 1 and every later one are stamped with.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Milliseconds that a stepped block moves chain time.
    step: u64,
    /// Timestamp of block 1, where it is not the wall clock's.
    start: Option<u64>,
    /// How far chain time is ahead of the wall clock because it was stepped or began elsewhere, ms.
    travelled: i64,
    /// How wrong the chain's clock is meant to be, ms.
    skew: i64,
    /// How much of the skew the newest block carries, ms.
    carried: i64,
}

impl Clock {
    /// A clock for a chain whose newest block is of `newest` (0 where there is only genesis), at
    /// wall-clock time `now`.
    pub(super) fn new(step: u64, start: Option<u64>, skew: i64, newest: u64, now: u64) -> Self {
        let travelled =
            if newest == 0 { 0 } else { difference(newest, now).saturating_sub(skew).max(0) };
        let carried = if newest == 0 { 0 } else { skew };
        Self { step, start, travelled, skew, carried }
    }

    /// Makes the clock run `skew` ms ahead, or behind where it is negative. Behind takes time, as
    /// no block can be earlier than its parent: chain time all but stands still until the wall
    /// clock has caught up.
    pub(super) fn set_skew(&mut self, skew: i64) {
        self.skew = skew;
    }

    /// Timestamp of a block that the clock makes at `now`, after one of `previous`.
    pub(super) fn ticked(&mut self, previous: u64, now: u64) -> u64 {
        if let (0, Some(start)) = (previous, self.start) {
            self.travelled = difference(start, now);
        }
        self.carried = self.skew;
        shifted(now, self.travelled.saturating_add(self.skew)).max(previous.saturating_add(1))
    }

    /// Timestamp of a block that is stepped to at `now`, after one of `previous`.
    pub(super) fn stepped(&mut self, previous: u64, now: u64) -> u64 {
        let owed = self.skew.saturating_sub(self.carried);
        let even = if previous == 0 {
            self.start.unwrap_or(now)
        } else {
            previous.saturating_add(self.step)
        };
        let time = shifted(even, owed).max(previous.saturating_add(1));
        self.carried = self.carried.saturating_add(difference(time, even));
        self.travel(time, now);
        time
    }

    /// Timestamp of a block that a fork adds at `now` on top of those it replaces, after one of
    /// `previous`.
    pub(super) fn forked(&mut self, previous: u64, now: u64) -> u64 {
        let time = previous.saturating_add(self.step.max(1));
        self.travel(time, now);
        time
    }

    /// Lets the clock go on from a block of `time`, made at `now`.
    fn travel(&mut self, time: u64, now: u64) {
        self.travelled = self.travelled.max(difference(time, now).saturating_sub(self.skew));
    }
}

fn difference(later: u64, earlier: u64) -> i64 {
    let ms = i128::from(later) - i128::from(earlier);
    i64::try_from(ms).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX })
}

fn shifted(time: u64, by: i64) -> u64 {
    time.saturating_add_signed(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const STEP: u64 = 12_000;

    #[test]
    fn steps_are_even_and_ticks_go_on_from_where_steps_led() {
        let mut clock = Clock::new(STEP, None, 0, 0, NOW);
        let first = clock.stepped(0, NOW);
        assert_eq!(first, NOW);
        let second = clock.stepped(first, NOW + 7);
        assert_eq!(second, first + STEP);
        assert_eq!(clock.ticked(second, NOW + 507), second + 500);
        // A restarted clock goes on from the newest block as well.
        assert_eq!(Clock::new(STEP, None, 0, second, NOW).ticked(second, NOW + 500), second + 500);
        // A chain that rested while it was down does not lag behind.
        assert_eq!(
            Clock::new(STEP, None, 0, second, second + 9_000).ticked(second, second + 9_500),
            second + 9_500
        );
    }

    #[test]
    fn ticks_go_on_from_where_a_fork_led() {
        let mut clock = Clock::new(STEP, None, 0, 0, NOW);
        let first = clock.ticked(0, NOW);
        let grown = clock.forked(first, NOW + 7);
        assert_eq!(grown, first + STEP);
        assert_eq!(clock.ticked(grown, NOW + 507), grown + 500);
    }

    #[test]
    fn time_begins_where_told() {
        let mut clock = Clock::new(STEP, Some(5_000), 0, 0, NOW);
        assert_eq!(clock.stepped(0, NOW), 5_000);
        let mut clock = Clock::new(500, Some(5_000), 0, 0, NOW);
        assert_eq!(clock.ticked(0, NOW), 5_000);
        assert_eq!(clock.ticked(5_000, NOW + 500), 5_500);
    }

    #[test]
    fn skew_moves_time_and_never_turns_it_back() {
        let mut clock = Clock::new(STEP, None, 0, 0, NOW);
        let first = clock.ticked(0, NOW);
        clock.set_skew(120_000);
        assert_eq!(clock.ticked(first, NOW + 500), NOW + 500 + 120_000);
        clock.set_skew(-120_000);
        let behind = clock.ticked(NOW + 120_500, NOW + 1_000);
        assert_eq!(behind, NOW + 120_501);
        assert_eq!(clock.ticked(behind, NOW + 300_000), NOW + 180_000);

        let mut clock = Clock::new(STEP, Some(1_000_000), 0, 0, NOW);
        let first = clock.stepped(0, NOW);
        clock.set_skew(-20_000);
        // 12 seconds forward and 20 back is as far back as a block can go; the rest follows.
        let second = clock.stepped(first, NOW);
        assert_eq!(second, first + 1);
        assert_eq!(clock.stepped(second, NOW), second + STEP - 8_001);
        let third = second + STEP - 8_001;
        assert_eq!(clock.stepped(third, NOW), third + STEP);
    }

    #[test]
    fn a_clock_that_starts_wrong_is_wrong_from_block_one() {
        assert_eq!(Clock::new(STEP, None, -120_000, 0, NOW).ticked(0, NOW), NOW - 120_000);
        assert_eq!(Clock::new(STEP, None, -120_000, 0, NOW).stepped(0, NOW), NOW - 120_000);
    }
}

//! The chain's randomness beacon: quicknet's clock, and a key that everybody knows.

use node_subtensor_runtime::drand::{
    MAX_KEPT_PULSES, MAX_PULSES_PER_BLOCK, Pulse, RoundNumber, beacon, pulse,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes the pulses of the rounds that passed, unless it is paused.
#[derive(Debug, Default)]
pub(super) struct Beacon {
    paused: AtomicBool,
}

impl Beacon {
    /// The pulses for a block at `now_ms` (Unix milliseconds) on a state whose newest pulse is that
    /// of round `last`, 0 for none: at most as many as one block takes, the oldest first.
    pub(super) fn pulses(&self, last: RoundNumber, now_ms: u64) -> Vec<Pulse> {
        if self.paused.load(Ordering::Relaxed) {
            return Vec::new();
        }
        due(last, beacon::round_at(now_ms)).map(pulse).collect()
    }

    /// Makes no pulses from the next block on, or catches up with those it did not make.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }
}

/// Rounds to write next, up to `newest`. The first one ever is the newest; after a gap longer than
/// what the chain keeps it is the oldest that the chain would keep.
fn due(last: RoundNumber, newest: RoundNumber) -> impl Iterator<Item = RoundNumber> {
    let first = match last {
        0 => newest,
        last if newest.saturating_sub(last) > MAX_KEPT_PULSES => newest - MAX_KEPT_PULSES + 1,
        last => last + 1,
    };
    (first.max(1)..=newest).take(MAX_PULSES_PER_BLOCK as usize)
}

/// Public key of the local beacon, a compressed point of G2: what a client encrypts timelocked
/// weights under.
pub fn beacon_public_key() -> [u8; 96] {
    beacon::public_key()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(last: RoundNumber, newest: RoundNumber) -> Option<(RoundNumber, RoundNumber)> {
        let rounds: Vec<_> = due(last, newest).collect();
        Some((*rounds.first()?, *rounds.last()?))
    }

    #[test]
    fn rounds_follow_the_last_one_within_the_bound() {
        assert_eq!(bounds(0, 500), Some((500, 500)));
        assert_eq!(bounds(500, 500), None);
        assert_eq!(bounds(500, 499), None, "the clock went back");
        assert_eq!(bounds(500, 503), Some((501, 503)));
        assert_eq!(bounds(500, 900), Some((501, 550)));
        assert_eq!(bounds(0, 0), None, "before the beacon's first round");
    }

    #[test]
    fn what_would_be_removed_at_once_is_not_made() {
        let newest = 100_000;
        let edge = newest - MAX_KEPT_PULSES;
        assert_eq!(bounds(edge, newest), Some((edge + 1, edge + 50)));
        assert_eq!(bounds(edge - 1, newest), Some((edge + 1, edge + 50)));
        assert_eq!(bounds(1, newest), Some((edge + 1, edge + 50)));
    }

    #[test]
    fn a_paused_beacon_is_silent_and_catches_up() {
        let (beacon, now) = (Beacon::default(), 1_700_000_000_000);
        let last = beacon.pulses(0, now).remove(0).round;
        beacon.pause(true);
        assert_eq!(beacon.pulses(last, now + 9_000), []);
        beacon.pause(false);
        let rounds: Vec<_> =
            beacon.pulses(last, now + 9_000).iter().map(|pulse| pulse.round).collect();
        assert_eq!(rounds, [last + 1, last + 2, last + 3]);
    }
}

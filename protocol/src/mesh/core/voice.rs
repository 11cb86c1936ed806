//! Whether another machine uses our hotkey.
//!
//! Two machines with one hotkey would sign against each other. So a validator that starts sends
//! hellos and beacons, and signs nothing else until it has listened for a beacon of its own hotkey
//! under another peer id. A machine that hears a double sends its next beacon at once, so the two
//! find each other within seconds. Neither signs while it hears the other. When one is stopped, the
//! other listens again and goes on. A restart under the same peer id is not a double, and neither
//! is a beacon that was signed before we started.

use std::time::Duration;

use serde::Serialize;

use super::limits::Timing;

/// Whether we may sign for our hotkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// We started recently and listen for a double. Only hellos and beacons may be signed.
    Listening,
    /// No double was heard.
    Alone,
    /// Another machine uses our hotkey. Nothing may be signed until one of the two is stopped and
    /// the other has heard nothing of it for a while.
    Doubled,
}

/// How long we have listened so far.
#[derive(Debug, Default)]
pub(super) struct Ears {
    at: Duration,
    hearing: Duration,
    deaf: Duration,
    is_content: bool,
    /// When a double was heard last.
    double: Option<Duration>,
}

impl Ears {
    /// Time passed, while we heard others or nobody.
    pub(super) fn pass(&mut self, now: Duration, hears_others: bool, timing: &Timing) {
        // A machine that was asleep or overloaded heard nothing in that time.
        let passed = now.saturating_sub(self.at).min(timing.beacon_interval / 4);
        self.at = now;
        if hears_others {
            self.hearing += passed;
        } else {
            self.deaf += passed;
        }
        if self.double.is_some_and(|at| now.saturating_sub(at) < timing.listen_alone()) {
            return;
        }
        self.double = None;
        self.is_content |=
            self.hearing >= timing.listen_among_others() || self.deaf >= timing.listen_alone();
    }

    /// Our hotkey has spoken from elsewhere, at some time. Then silence so far proves nothing.
    pub(super) fn suspect(&mut self) {
        (self.hearing, self.deaf) = (Duration::ZERO, Duration::ZERO);
    }

    /// Our hotkey speaks from elsewhere now.
    pub(super) fn hear_double(&mut self, now: Duration) {
        self.suspect();
        self.is_content = false;
        self.double = Some(now);
    }

    /// Whether a double was heard a short while ago.
    pub(super) const fn hears_double(&self) -> bool {
        self.double.is_some()
    }

    /// Whether we have listened long enough.
    pub(super) const fn is_content(&self) -> bool {
        self.is_content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(ears: &mut Ears, from: u64, to: u64, hears_others: bool) {
        for second in from..=to {
            ears.pass(Duration::from_secs(second), hears_others, &Timing::default());
        }
    }

    #[test]
    fn others_are_listened_to_for_two_beacons_and_silence_for_longer() {
        let mut ears = Ears::default();
        listen(&mut ears, 0, 19, true);
        assert!(!ears.is_content());
        listen(&mut ears, 20, 20, true);
        assert!(ears.is_content());
        let mut ears = Ears::default();
        listen(&mut ears, 0, 59, false);
        assert!(!ears.is_content());
        ears.suspect();
        listen(&mut ears, 60, 118, false);
        assert!(!ears.is_content(), "a beacon of a double restarts the silence");
        listen(&mut ears, 119, 120, false);
        assert!(ears.is_content());
    }

    #[test]
    fn a_double_that_falls_silent_is_forgotten_and_then_listened_for_anew() {
        let mut ears = Ears::default();
        listen(&mut ears, 0, 30, true);
        assert!(ears.is_content());
        ears.hear_double(Duration::from_secs(31));
        listen(&mut ears, 31, 60, true);
        ears.hear_double(Duration::from_secs(60));
        listen(&mut ears, 61, 119, true);
        assert!(ears.hears_double() && !ears.is_content());
        listen(&mut ears, 120, 121, true);
        assert!(!ears.hears_double() && ears.is_content());
    }

    #[test]
    fn time_asleep_is_not_time_spent_listening() {
        let mut ears = Ears::default();
        listen(&mut ears, 0, 5, true);
        ears.pass(Duration::from_secs(3600), true, &Timing::default());
        assert!(!ears.is_content());
    }
}

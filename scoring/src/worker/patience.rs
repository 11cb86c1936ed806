//! How long a pool waits for its workers.

use crate::media::Limits;
use std::time::Duration;

/// How long a pool waits for its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the next step of a start, which may compile a kernel.
    pub start: Duration,
    /// For a source clip. Decoding alone may take the limits of two media processes.
    pub source: Duration,
    /// For an answer, likewise.
    pub clip: Duration,
    /// The pause before a restart. The first restart after a finished clip comes at once, the
    /// second after this pause, and each further one after twice the pause before.
    pub restart: Duration,
    /// The longest pause before a restart.
    pub longest_restart: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let clip = 2 * Limits::ANSWER.wall + Duration::from_secs(60);
        Self {
            start: Duration::from_secs(300),
            source: clip,
            clip,
            restart: Duration::from_millis(500),
            longest_restart: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// Pause before a restart, given how many processes were lost since a clip was last finished.
    pub(super) fn pause(&self, losses: u32) -> Duration {
        match losses {
            0 | 1 => Duration::ZERO,
            _ => self.restart.saturating_mul(1 << (losses - 2).min(16)).min(self.longest_restart),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_starts_grow_and_stay_bounded() {
        let patience = Patience::default();
        let pauses: Vec<u128> = (0..6).map(|losses| patience.pause(losses).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 500, 1000, 2000, 4000]);
        assert_eq!(patience.pause(u32::MAX), patience.longest_restart);
    }
}

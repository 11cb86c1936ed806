//! How often, how long and after which pauses an operation over the network is tried: on buckets,
//! and on the services that the node asks.

use std::time::{Duration, Instant};

/// Four attempts ride out a restart of the store or a rate limit of one write per second and key.
const ATTEMPTS: u32 = 4;
/// Enough for a 200 MB source video at 2 MB/s, the slowest line that a validator can work with.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(100);
/// For all attempts: a task takes 20 minutes and needs several objects.
const DEADLINE: Duration = Duration::from_secs(240);
/// R2 allows one write per second and key, and on average a second passes before the third attempt.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// Longer pauses would use up the deadline.
const MAX_DELAY: Duration = Duration::from_secs(8);

/// A peer's verdict file has at most 4 MiB. A bucket that needs longer for it counts as not
/// answering.
const PEER_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// At an epoch boundary up to 64 peers' buckets are read, and the chain does not wait.
const PEER_DEADLINE: Duration = Duration::from_secs(45);
/// Peers also serve each other's files, so a bucket gets fewer attempts.
const PEER_ATTEMPTS: u32 = 3;

/// Bounds on one operation with its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts, at least 1.
    pub attempts: u32,
    /// Longest time for one attempt.
    pub attempt_timeout: Duration,
    /// Longest time for all attempts and the pauses between them.
    pub deadline: Duration,
    /// The pause before the second attempt, before jitter; it doubles each time.
    pub first_delay: Duration,
    /// The longest pause.
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: ATTEMPTS,
            attempt_timeout: ATTEMPT_TIMEOUT,
            deadline: DEADLINE,
            first_delay: FIRST_DELAY,
            max_delay: MAX_DELAY,
        }
    }
}

impl RetryPolicy {
    /// For buckets of peers: less patience than for our own.
    pub(crate) fn for_peers() -> Self {
        Self {
            attempts: PEER_ATTEMPTS,
            attempt_timeout: PEER_ATTEMPT_TIMEOUT,
            deadline: PEER_DEADLINE,
            ..Self::default()
        }
    }

    /// Begins an operation now.
    #[must_use]
    pub fn begin(self) -> Attempts {
        Attempts { policy: self, started: Instant::now(), made: 0, signed_anew: false }
    }
}

/// The attempts at one operation.
#[derive(Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    started: Instant,
    made: u32,
    /// Whether a request was signed again because its time was refused.
    signed_anew: bool,
}

impl Attempts {
    /// How many attempts were started.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Whether a request whose time was refused may be signed again: once, as it may have waited
    /// too long since it was signed.
    pub(crate) fn may_sign_anew(&mut self) -> bool {
        !std::mem::replace(&mut self.signed_anew, true)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts an attempt and returns how long it may take.
    pub fn start(&mut self) -> Duration {
        self.made += 1;
        self.time_left()
    }

    /// How long a request of the current attempt may take.
    pub(crate) fn time_left(&self) -> Duration {
        self.policy.attempt_timeout.min(self.policy.deadline.saturating_sub(self.elapsed()))
    }

    /// Pauses before the next attempt, at least as long as the other side `asked` for. Returns
    /// `false` at once if no attempt or no time is left.
    pub async fn pause(&self, asked: Option<Duration>) -> bool {
        if self.made >= self.policy.attempts {
            return false;
        }
        let pause = match asked {
            // A pause as long as the deadline is never made, so it can stand for any longer one.
            Some(asked) => asked.min(self.policy.deadline).mul_f64(rand::random_range(1.0..=1.5)),
            None => self.delay(rand::random_range(0.5..=1.0)),
        };
        if self.elapsed() + pause >= self.policy.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }

    /// The pause after the attempts made so far. The jitter of up to a half keeps validators that
    /// failed together from retrying together.
    fn delay(&self, jitter: f64) -> Duration {
        let doublings = self.made.saturating_sub(1).min(16);
        self.policy
            .first_delay
            .saturating_mul(1 << doublings)
            .min(self.policy.max_delay)
            .mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_and_pauses_are_bounded() {
        let policy =
            RetryPolicy { attempts: 3, first_delay: Duration::ZERO, ..RetryPolicy::default() };
        let mut attempts = policy.begin();
        let mut made = 0;
        loop {
            attempts.start();
            made += 1;
            if !attempts.pause(None).await {
                break;
            }
        }
        assert_eq!(made, 3);
        let mut attempts = RetryPolicy::default().begin();
        attempts.made = 40;
        assert_eq!(attempts.delay(1.0), MAX_DELAY);
    }

    #[tokio::test]
    async fn no_attempt_begins_after_the_deadline() {
        let policy = RetryPolicy { deadline: Duration::ZERO, ..RetryPolicy::default() };
        let mut attempts = policy.begin();
        assert_eq!(attempts.start(), Duration::ZERO);
        assert!(!attempts.pause(None).await);
    }
}

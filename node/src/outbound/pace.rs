//! Our own pace with a service: slower than its limit, and a rest where it asks for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The minute that a rate is counted in.
const MINUTE: Duration = Duration::from_secs(60);
/// Requests that may go out at once, as a share of a minute's: the rest is spread.
const BURST_SHARE: u32 = 6;
/// Longest rest that one answer can impose: a service that wants more is asked again.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// The pace of our requests to one service. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pace(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Time between two requests when there is no burst left.
    spacing: Duration,
    /// How far ahead of that spacing requests may run.
    burst: Duration,
    /// When the next request would be due without a burst.
    due: Instant,
    /// No request before this.
    rests_until: Instant,
}

impl Pace {
    /// At most `per_minute` requests in any minute, at least one.
    pub(crate) fn per_minute(per_minute: u32) -> Self {
        let burst = (per_minute / BURST_SHARE).max(1);
        let spacing = MINUTE / per_minute.saturating_sub(burst).max(1);
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Inner {
            spacing,
            burst: spacing * (burst - 1),
            due: now,
            rests_until: now,
        })))
    }

    /// Waits until the next request may go out.
    pub(crate) async fn wait(&self) {
        loop {
            let at = self.reserve();
            if at > Instant::now() {
                sleep_until(at).await;
            }
            // A rest may have been asked for meanwhile. Those who waited go out one after the other
            // when it ends: all at once would be more than the pace allows.
            if self.rests_for().is_zero() {
                return;
            }
        }
    }

    /// Sends nothing for `rest`, because the service said so.
    pub(crate) fn rest(&self, rest: Duration) {
        let until = Instant::now() + rest.min(LONGEST_REST);
        let mut inner = self.inner();
        inner.rests_until = inner.rests_until.max(until);
    }

    /// How long nothing may be sent, because the service said so.
    pub(crate) fn rests_for(&self) -> Duration {
        self.inner().rests_until.saturating_duration_since(Instant::now())
    }

    fn reserve(&self) -> Instant {
        let mut inner = self.inner();
        let first = inner.rests_until.max(Instant::now());
        let due = inner.due.max(first);
        inner.due = due + inner.spacing;
        let earliest = due.checked_sub(inner.burst).unwrap_or(first);
        earliest.max(first)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn i4_no_minute_sees_more_requests_than_the_pace_allows() {
        let pace = Pace::per_minute(50);
        let mut sent = Vec::new();
        for _ in 0..256 {
            pace.wait().await;
            sent.push(Instant::now());
        }
        for (index, first) in sent.iter().enumerate() {
            let within = sent[index..].iter().take_while(|at| **at - *first < MINUTE).count();
            assert!(within <= 50, "{within} requests in a minute");
        }
        // Slower than the limit, but not by much.
        assert!(sent[255] - sent[0] < Duration::from_secs(400), "{:?}", sent[255] - sent[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_whom_a_rest_held_back_do_not_go_out_all_at_once() {
        let pace = Pace::per_minute(50);
        let started = Instant::now();
        let waiting: Vec<_> = (0..40)
            .map(|_| {
                let pace = pace.clone();
                tokio::spawn(async move {
                    pace.wait().await;
                    Instant::now()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        pace.rest(Duration::from_secs(60));
        let sent = futures::future::join_all(waiting).await;
        let sent = sent.into_iter().map(|sent| (sent.unwrap() - started).as_secs());
        let sent: Vec<u64> = sent.collect();
        let within = |from: u64, to: u64| sent.iter().filter(|at| (from..to).contains(*at)).count();
        // Eight at once before the rest and after it.
        assert_eq!((within(0, 61), within(61, 62)), (8, 8), "{sent:?}");
        assert!(within(61, 121) >= 30, "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_holds_back_those_who_wait_already() {
        let pace = Pace::per_minute(6);
        let started = Instant::now();
        pace.wait().await;
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.wait().await }
        });
        tokio::task::yield_now().await;
        pace.rest(Duration::from_secs(55));
        waiting.await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(55));
        pace.rest(Duration::MAX / 4);
        let before = Instant::now();
        pace.wait().await;
        assert!(before.elapsed() <= LONGEST_REST);
    }
}

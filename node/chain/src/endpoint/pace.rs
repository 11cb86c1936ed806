//! Requests to one node, no faster than public nodes allow. What nobody waits for takes few of the
//! places, so that a transaction with a deadline is not held up behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use subxt::ext::jsonrpsee::core::client::Client;
use subxt::rpcs::client::{RawRpcFuture, RawRpcSubscription, RawValue, RpcClientT};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Most requests in any [`WINDOW`]: public nodes cut off addresses that ask more than ten times a
/// second, and count arrivals, which lie closer together than what was sent.
const REQUESTS: usize = 8;
const WINDOW: Duration = Duration::from_secs(1);
/// Most of them that are made [in the background](in_background).
const IN_BACKGROUND: usize = 2;

tokio::task_local! {
    static BACKGROUND: ();
}

/// Does work whose requests nobody waits for: they leave most places of the pace to others. It must
/// not hand its requests to another task.
pub(super) async fn in_background<F: Future>(work: F) -> F::Output {
    BACKGROUND.scope((), work).await
}

/// When the last requests to a node were sent. It outlives the node's connections.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sent: Mutex<VecDeque<Instant>>,
    in_background: Mutex<VecDeque<Instant>>,
}

impl Pace {
    /// Waits until another request may be sent. Callers go in the order in which they came, those in
    /// the background in an order of their own.
    pub(super) async fn turn(&self) {
        if BACKGROUND.try_with(|()| ()).is_ok() {
            let mut sent = self.in_background.lock().await;
            let at = next(&mut sent, Instant::now(), IN_BACKGROUND);
            tokio::time::sleep_until(at).await;
        }
        let mut sent = self.sent.lock().await;
        let at = next(&mut sent, Instant::now(), REQUESTS);
        tokio::time::sleep_until(at).await;
    }
}

/// When the next request may be sent, at most `most` in any window; counts it.
fn next(sent: &mut VecDeque<Instant>, now: Instant, most: usize) -> Instant {
    let first = if sent.len() < most { None } else { sent.pop_front() };
    let at = first.map_or(now, |first| now.max(first + WINDOW));
    sent.push_back(at);
    at
}

/// A connection whose requests wait for their turn.
pub(super) struct Paced {
    pub(super) client: Arc<Client>,
    pub(super) pace: Arc<Pace>,
}

impl RpcClientT for Paced {
    fn request_raw<'a>(
        &'a self,
        method: &'a str,
        params: Option<Box<RawValue>>,
    ) -> RawRpcFuture<'a, Box<RawValue>> {
        Box::pin(async move {
            self.pace.turn().await;
            self.client.request_raw(method, params).await
        })
    }

    fn subscribe_raw<'a>(
        &'a self,
        sub: &'a str,
        params: Option<Box<RawValue>>,
        unsub: &'a str,
    ) -> RawRpcFuture<'a, RawRpcSubscription> {
        Box::pin(async move {
            self.pace.turn().await;
            self.client.subscribe_raw(sub, params, unsub).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_holds_more_requests_than_allowed() {
        let mut sent = VecDeque::new();
        let begun = Instant::now();
        // A burst, a pause, and a steady stream.
        let pauses = (0..50).map(|_| 0).chain([5_000]).chain((0..50).map(|_| 70));
        let (mut now, mut times) = (begun, Vec::new());
        for pause in pauses {
            now += Duration::from_millis(pause);
            let at = next(&mut sent, now, REQUESTS);
            times.push(at);
            now = now.max(at);
        }
        for first in &times {
            let within = |time: &&Instant| **time >= *first && **time < *first + WINDOW;
            assert!(times.iter().filter(within).count() <= REQUESTS);
        }
        assert_eq!(times[REQUESTS - 1], begun, "what is allowed is not held up");
        assert_eq!(times[REQUESTS], begun + WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn work_in_the_background_holds_up_nobody() {
        let pace = Arc::new(Pace::default());
        let (reading, begun) = (Arc::clone(&pace), Instant::now());
        let reading = tokio::spawn(in_background(async move {
            futures::future::join_all((0..40).map(|_| reading.turn())).await;
            Instant::now()
        }));
        // Whoever comes while it reads has the other places at once.
        tokio::time::sleep(WINDOW / 2).await;
        for _ in 0..REQUESTS - IN_BACKGROUND {
            pace.turn().await;
        }
        assert_eq!(begun.elapsed(), WINDOW / 2);
        assert_eq!(reading.await.unwrap() - begun, WINDOW * 19, "two a second");
    }
}

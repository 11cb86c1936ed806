//! Requests to one node, no faster than public nodes allow.

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

/// When the last requests to a node were sent. It outlives the node's connections.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sent: Mutex<VecDeque<Instant>>,
}

impl Pace {
    /// Waits until another request may be sent. Callers go in the order in which they came.
    pub(super) async fn turn(&self) {
        let mut sent = self.sent.lock().await;
        let at = next(&mut sent, Instant::now());
        tokio::time::sleep_until(at).await;
    }
}

/// When the next request may be sent; counts it.
fn next(sent: &mut VecDeque<Instant>, now: Instant) -> Instant {
    let first = if sent.len() < REQUESTS { None } else { sent.pop_front() };
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
            let at = next(&mut sent, now);
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
}

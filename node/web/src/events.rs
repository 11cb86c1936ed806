//! `/events`: the number of each new block, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, stream};
use leoma_protocol::AddressPermit;
use tokio::sync::watch;

use crate::headers::client_of;
use crate::listener::Peer;
use crate::site::{ApiError, Site};

/// A line that keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Follower {
    heads: watch::Receiver<u64>,
    _permit: AddressPermit,
}

pub(crate) async fn events(
    State(site): State<Site>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let heads = site.subnet()?.heads();
    let permit = site.followers.enter(client_of(peer.ip(), &headers)).ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many readers follow the head")
    })?;
    let follower = Follower { heads, _permit: permit };
    let events = stream::unfold(follower, |mut follower| async move {
        follower.heads.changed().await.ok()?;
        let head = *follower.heads.borrow_and_update();
        Some((Ok(Event::default().event("head").data(head.to_string())), follower))
    });
    let stop = site.stop.clone();
    let events = events.take_until(Box::pin(async move { stop.cancelled().await }));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

//! One connected peer.

use std::collections::BTreeSet;
use std::time::Duration;

use super::limits::{
    Bucket, REQUEST_BURST, REQUESTS_PER_SECOND, STRANGER_GOSSIP_BURST, STRANGER_GOSSIP_PER_SECOND,
};
use crate::messages::{Address, Topic};
use crate::{BlockNumber, Hotkey};

/// Gossipsub's application score of a proven validator: above every threshold, so that strangers
/// never crowd one out.
pub(super) const MEMBER_SCORE: f64 = 10.0;

/// A hotkey's proof that has not expired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) hotkey: Hotkey,
    pub(super) expires: BlockNumber,
    /// Grows when the peer restarts.
    pub(super) seq: u64,
}

#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) since: Duration,
    pub(super) outbound: bool,
    pub(super) address: Address,
    pub(super) session: Option<Session>,
    /// When the hello that we sent expires. A new one goes out at half of its life.
    pub(super) our_hello_expires: Option<BlockNumber>,
    /// Set by a refusal: the connection closes once the answer has had time to arrive.
    pub(super) leaves_at: Option<Duration>,
    pub(super) topics: BTreeSet<Topic>,
    /// How much gossip it may send before it is proven. Then its hotkey's allowance holds.
    pub(super) gossip: Bucket,
    pub(super) requests: Bucket,
    pub(super) flood_blamed: Option<Duration>,
    /// Since when the link has been one-sided.
    pub(super) one_sided_since: Duration,
    pub(super) grant_version: u64,
    /// When to offer our grant again, and how long that wait is.
    pub(super) grant_retry: Option<(Duration, Duration)>,
}

impl PeerState {
    pub(super) fn new(address: Address, outbound: bool, now: Duration) -> Self {
        Self {
            since: now,
            outbound,
            address,
            session: None,
            our_hello_expires: None,
            leaves_at: None,
            topics: BTreeSet::new(),
            gossip: Bucket::new(STRANGER_GOSSIP_BURST, STRANGER_GOSSIP_PER_SECOND, now),
            requests: Bucket::new(REQUEST_BURST, REQUESTS_PER_SECOND, now),
            flood_blamed: None,
            one_sided_since: now,
            grant_version: 0,
            grant_retry: None,
        }
    }

    /// The hotkey that the peer proved.
    pub(super) fn hotkey(&self) -> Option<Hotkey> {
        self.session.map(|session| session.hotkey)
    }
}

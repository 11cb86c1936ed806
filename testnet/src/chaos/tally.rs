//! What strangers did, counted while they do it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What strangers did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerCounts {
    /// Identities that lived.
    pub identities: u64,
    /// Connections that a validator accepted.
    pub connections: u64,
    /// Connections that a validator closed, or refused.
    pub closed: u64,
    /// Messages and requests sent.
    pub sent: u64,
    /// Answers to them. Refusals are answers.
    pub answers: u64,
}

impl std::ops::AddAssign for StrangerCounts {
    fn add_assign(&mut self, other: Self) {
        self.identities += other.identities;
        self.connections += other.connections;
        self.closed += other.closed;
        self.sent += other.sent;
        self.answers += other.answers;
    }
}

/// The same, while they do it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) identities: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) answers: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> StrangerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StrangerCounts {
            identities: read(&self.identities),
            connections: read(&self.connections),
            closed: read(&self.closed),
            sent: read(&self.sent),
            answers: read(&self.answers),
        }
    }
}

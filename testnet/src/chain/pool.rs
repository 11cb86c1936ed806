//! Transactions that wait for a block.
//!
//! The pool keeps what the runtime called valid, one transaction per (sender, nonce) unless a later one has a higher
//! priority. Validation and block building happen outside its lock.

use node_subtensor_runtime::UncheckedExtrinsic;
use parking_lot::Mutex;
use sp_core::H256;
use sp_runtime::transaction_validity::ValidTransaction;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// Most transactions that wait at once; a subnet's neurons send a few each per epoch.
const MAX_WAITING: usize = 8_192;
/// Updates a watcher can be behind; a transaction's life has at most four.
pub(super) const WATCHER_BACKLOG: usize = 8;

/// What became of a watched transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Ready,
    InBlock(H256),
    Finalized(H256),
    Usurped(H256),
    Invalid,
}

/// Why the pool did not take a transaction that the runtime calls valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwelcome {
    AlreadyWaiting,
    /// Another transaction holds the same nonce with at least the same priority: (held, offered).
    PriorityTooLow(u64, u64),
    Full,
}

/// A transaction that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) hash: H256,
    pub(super) transaction: UncheckedExtrinsic,
    pub(super) bytes: Vec<u8>,
    priority: u64,
    /// Order of arrival.
    arrival: u64,
    provides: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<H256, Waiting>,
    /// Who provides a tag; one transaction per (sender, nonce).
    providers: HashMap<Vec<u8>, H256>,
    watchers: HashMap<H256, Vec<mpsc::Sender<Fate>>>,
    arrivals: u64,
}

/// The pool.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Inner>);

impl Pool {
    /// Takes a transaction with the validity the runtime gave it. A watcher hears of its fate until the last update.
    pub(super) fn add(
        &self,
        hash: H256,
        bytes: Vec<u8>,
        transaction: UncheckedExtrinsic,
        validity: ValidTransaction,
        watcher: Option<mpsc::Sender<Fate>>,
    ) -> Result<(), Unwelcome> {
        let mut inner = self.0.lock();
        if inner.waiting.contains_key(&hash) {
            return Err(Unwelcome::AlreadyWaiting);
        }
        let rivals: Vec<H256> = validity.provides.iter().filter_map(|tag| inner.providers.get(tag)).copied().collect();
        let held = rivals.iter().filter_map(|rival| inner.waiting.get(rival)).map(|rival| rival.priority).max();
        if let Some(held) = held.filter(|held| *held >= validity.priority) {
            return Err(Unwelcome::PriorityTooLow(held, validity.priority));
        }
        if rivals.is_empty() && inner.waiting.len() >= MAX_WAITING {
            return Err(Unwelcome::Full);
        }
        for rival in rivals {
            inner.remove(&rival, Some(Fate::Usurped(hash)));
        }
        for tag in &validity.provides {
            inner.providers.insert(tag.clone(), hash);
        }
        if let Some(watcher) = watcher {
            inner.watchers.insert(hash, vec![watcher]);
            inner.tell(&hash, Fate::Ready);
        }
        inner.arrivals += 1;
        let (priority, arrival) = (validity.priority, inner.arrivals);
        let waiting = Waiting { hash, transaction, bytes, priority, arrival, provides: validity.provides };
        inner.waiting.insert(hash, waiting);
        Ok(())
    }

    /// Everything that waits: higher priority first, then earlier arrival.
    pub(super) fn by_priority(&self) -> Vec<Waiting> {
        let mut all: Vec<Waiting> = self.0.lock().waiting.values().cloned().collect();
        all.sort_by_key(|waiting| (std::cmp::Reverse(waiting.priority), waiting.arrival));
        all
    }

    /// Whether some waiting transaction provides `tag`.
    pub(super) fn provides(&self, tag: &[u8]) -> bool {
        self.0.lock().providers.contains_key(tag)
    }

    /// Drops a transaction that a block contains; a stored block is final.
    pub(super) fn included(&self, hash: &H256, block: H256) {
        let mut inner = self.0.lock();
        inner.tell(hash, Fate::InBlock(block));
        inner.remove(hash, Some(Fate::Finalized(block)));
    }

    /// Drops a transaction that can never be included.
    pub(super) fn refused(&self, hash: &H256) {
        self.0.lock().remove(hash, Some(Fate::Invalid));
    }
}

impl Inner {
    fn remove(&mut self, hash: &H256, fate: Option<Fate>) {
        if let Some(gone) = self.waiting.remove(hash) {
            for tag in &gone.provides {
                if self.providers.get(tag) == Some(hash) {
                    self.providers.remove(tag);
                }
            }
        }
        if let Some(fate) = fate {
            self.tell(hash, fate);
        }
        self.watchers.remove(hash);
    }

    /// A watcher that went away or fell behind misses the update; it never holds the chain up.
    fn tell(&self, hash: &H256, fate: Fate) {
        for watcher in self.watchers.get(hash).into_iter().flatten() {
            let _ = watcher.try_send(fate);
        }
    }
}

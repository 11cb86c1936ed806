//! Transactions on their way to finality.
//!
//! The pool keeps what the runtime called valid, one transaction per (sender, nonce) unless a later
//! one has a higher priority. Once a block holds a transaction it is kept until that block is
//! final: a reorg puts it back. Validation and block building happen outside the pool's lock.

use node_subtensor_runtime::UncheckedExtrinsic;
use parking_lot::Mutex;
use sp_core::H256;
use sp_runtime::transaction_validity::ValidTransaction;
use std::collections::{HashMap, VecDeque};
use tokio::sync::mpsc;

/// Most transactions that wait at once; a subnet's neurons send a few each per epoch.
const MAX_WAITING: usize = 8_192;
/// Updates a watcher can be behind; a transaction's life has four, and two more for each reorg.
pub(super) const WATCHER_BACKLOG: usize = 32;
/// Blocks after which a watcher hears that finality does not come, as on other nodes; the
/// transaction can no longer return to the pool then.
const FINALITY_TIMEOUT: u32 = 512;
/// Blocks for which the bytes of a transaction that was included or refused are not taken again:
/// half an hour on the live chain.
const BAN: u32 = 150;
/// Most bans at once.
const MAX_BANNED: usize = 8_192;

/// What happened to a watched transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// An earlier nonce is missing.
    Future,
    Ready,
    InBlock(H256),
    /// The block left the best chain.
    Retracted(H256),
    Finalized(H256),
    /// The block is not final after [`FINALITY_TIMEOUT`] more.
    FinalityTimeout(H256),
    Usurped(H256),
    Invalid,
}

/// Why the pool refuses a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwelcome {
    AlreadyWaiting,
    /// It was included or refused a short while ago.
    Banned,
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
    requires: Vec<Vec<u8>>,
    provides: Vec<Vec<u8>>,
    /// Whether its watchers know that it can go into a block.
    ready: bool,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<H256, Waiting>,
    /// Who provides a tag; one transaction per (sender, nonce).
    providers: HashMap<Vec<u8>, H256>,
    /// What blocks hold that are not final yet.
    included: HashMap<H256, Vec<Waiting>>,
    /// Numbers and hashes of those blocks, by arrival.
    order: VecDeque<(u32, H256)>,
    watchers: HashMap<H256, Vec<mpsc::Sender<Fate>>>,
    /// Until which block a hash is banned.
    banned: HashMap<H256, u32>,
    arrivals: u64,
}

/// The pool.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Inner>);

impl Pool {
    /// Whether a transaction of this hash may be offered at block `best`; asked before it is
    /// validated.
    pub(super) fn admits(&self, hash: &H256, best: u32) -> Result<(), Unwelcome> {
        self.0.lock().admits(hash, best)
    }

    /// Takes a transaction with the validity the runtime gave it in block `best`. A watcher hears
    /// of its fate until the last update.
    pub(super) fn add(
        &self,
        hash: H256,
        best: u32,
        bytes: Vec<u8>,
        transaction: UncheckedExtrinsic,
        validity: ValidTransaction,
        watcher: Option<mpsc::Sender<Fate>>,
    ) -> Result<(), Unwelcome> {
        let mut inner = self.0.lock();
        // Asked again: while it was validated the same bytes may have come, even gone into a block.
        inner.admits(&hash, best)?;
        let rivals: Vec<H256> =
            validity.provides.iter().filter_map(|tag| inner.providers.get(tag)).copied().collect();
        let held = rivals
            .iter()
            .filter_map(|rival| inner.waiting.get(rival))
            .map(|rival| rival.priority)
            .max();
        if let Some(held) = held.filter(|held| *held >= validity.priority) {
            return Err(Unwelcome::PriorityTooLow(held, validity.priority));
        }
        if rivals.is_empty() && inner.waiting.len() >= MAX_WAITING {
            return Err(Unwelcome::Full);
        }
        for rival in rivals {
            inner.remove(&rival, Fate::Usurped(hash));
        }
        if let Some(watcher) = watcher {
            inner.watchers.insert(hash, vec![watcher]);
        }
        inner.arrivals += 1;
        let ValidTransaction { priority, requires, provides, .. } = validity;
        let arrival = inner.arrivals;
        inner.put(Waiting {
            hash,
            transaction,
            bytes,
            priority,
            arrival,
            requires,
            provides,
            ready: false,
        });
        if inner.waiting.get(&hash).is_some_and(|waiting| !waiting.ready) {
            inner.tell(&hash, Fate::Future);
        }
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

    /// Notes that block `number` holds a transaction.
    pub(super) fn included(&self, hash: &H256, number: u32, block: H256) {
        let mut inner = self.0.lock();
        let Some(waiting) = inner.take(hash) else { return };
        inner.tell(hash, Fate::InBlock(block));
        inner.ban(*hash, number);
        if inner.order.back().is_none_or(|(_, last)| *last != block) {
            inner.order.push_back((number, block));
        }
        inner.included.entry(block).or_default().push(waiting);
    }

    /// Forgets the transactions of a block that became final.
    pub(super) fn finalized(&self, block: H256) {
        self.0.lock().settle(block, Fate::Finalized(block));
    }

    /// Puts back the transactions of a block that left the best chain.
    pub(super) fn retracted(&self, block: H256) {
        let mut inner = self.0.lock();
        inner.order.retain(|(_, other)| *other != block);
        for waiting in inner.included.remove(&block).unwrap_or_default() {
            inner.banned.remove(&waiting.hash);
            inner.tell(&waiting.hash, Fate::Retracted(block));
            let rival = waiting.provides.iter().find_map(|tag| inner.providers.get(tag)).copied();
            match rival {
                Some(rival) => inner.forget(&waiting.hash, Fate::Usurped(rival)),
                None => inner.put(waiting),
            }
        }
    }

    /// Gives up waiting for the finality of old blocks; `best` is the newest block's number.
    pub(super) fn expire(&self, best: u32) {
        let mut inner = self.0.lock();
        while let Some((number, block)) = inner.order.front().copied() {
            if best.saturating_sub(number) <= FINALITY_TIMEOUT {
                break;
            }
            inner.settle(block, Fate::FinalityTimeout(block));
        }
        if inner.banned.len() > MAX_BANNED {
            inner.banned.retain(|_, until| *until > best);
        }
        if inner.banned.len() > MAX_BANNED {
            inner.banned.clear();
        }
    }

    /// Drops a transaction that can never be included; `best` is the newest block's number. One
    /// that a block holds by now was refused for that reason, and its watchers stay.
    pub(super) fn refused(&self, hash: &H256, best: u32) {
        let mut inner = self.0.lock();
        if !inner.is_included(hash) {
            inner.ban(*hash, best);
            inner.remove(hash, Fate::Invalid);
        }
    }
}

impl Inner {
    fn admits(&self, hash: &H256, best: u32) -> Result<(), Unwelcome> {
        match self.banned.get(hash) {
            Some(until) if *until > best => Err(Unwelcome::Banned),
            _ if self.waiting.contains_key(hash) => Err(Unwelcome::AlreadyWaiting),
            _ if self.is_included(hash) => Err(Unwelcome::Banned),
            _ => Ok(()),
        }
    }

    /// Whether a block that is not final holds it.
    fn is_included(&self, hash: &H256) -> bool {
        self.included.values().flatten().any(|included| included.hash == *hash)
    }

    fn put(&mut self, mut waiting: Waiting) {
        let hash = waiting.hash;
        for tag in &waiting.provides {
            self.providers.insert(tag.clone(), hash);
        }
        waiting.ready = false;
        self.waiting.insert(hash, waiting);
        self.promote();
    }

    /// Tells the watchers of transactions whose earlier nonces are all here by now.
    fn promote(&mut self) {
        loop {
            let ready = self.waiting.values().find(|waiting| {
                let satisfied = |tag| {
                    let provider = self.providers.get(tag).and_then(|hash| self.waiting.get(hash));
                    provider.is_some_and(|provider| provider.ready)
                };
                !waiting.ready && waiting.requires.iter().all(satisfied)
            });
            let Some(hash) = ready.map(|waiting| waiting.hash) else { return };
            if let Some(waiting) = self.waiting.get_mut(&hash) {
                waiting.ready = true;
            }
            self.tell(&hash, Fate::Ready);
        }
    }

    /// Takes a transaction out without telling anybody.
    fn take(&mut self, hash: &H256) -> Option<Waiting> {
        let gone = self.waiting.remove(hash)?;
        for tag in &gone.provides {
            if self.providers.get(tag) == Some(hash) {
                self.providers.remove(tag);
            }
        }
        Some(gone)
    }

    fn remove(&mut self, hash: &H256, fate: Fate) {
        self.take(hash);
        self.forget(hash, fate);
    }

    /// Sends the last update to a transaction's watchers.
    fn forget(&mut self, hash: &H256, fate: Fate) {
        self.tell(hash, fate);
        self.watchers.remove(hash);
    }

    fn settle(&mut self, block: H256, fate: Fate) {
        self.order.retain(|(_, other)| *other != block);
        for waiting in self.included.remove(&block).unwrap_or_default() {
            self.forget(&waiting.hash, fate);
        }
    }

    fn ban(&mut self, hash: H256, now: u32) {
        self.banned.insert(hash, now.saturating_add(BAN));
    }

    /// A watcher that went away or fell behind misses the update; it never holds the chain up.
    fn tell(&self, hash: &H256, fate: Fate) {
        for watcher in self.watchers.get(hash).into_iter().flatten() {
            let _ = watcher.try_send(fate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_subtensor_runtime::{RuntimeCall, drand};

    const BLOCK: H256 = H256::repeat_byte(9);

    fn add(pool: &Pool, hash: H256, watcher: mpsc::Sender<Fate>) -> Result<(), Unwelcome> {
        let call = RuntimeCall::Drand(drand::write(1, Vec::new()));
        let validity =
            ValidTransaction { provides: vec![hash.0.to_vec()], ..ValidTransaction::default() };
        pool.add(hash, 4, Vec::new(), UncheckedExtrinsic::new_bare(call), validity, Some(watcher))
    }

    fn told(fates: &mut mpsc::Receiver<Fate>) -> Vec<Fate> {
        std::iter::from_fn(|| fates.try_recv().ok()).collect()
    }

    /// A pool with a watched transaction that block 5 holds.
    fn included() -> (Pool, H256, mpsc::Receiver<Fate>) {
        let (pool, hash) = (Pool::default(), H256::repeat_byte(1));
        let (watcher, mut fates) = mpsc::channel(WATCHER_BACKLOG);
        add(&pool, hash, watcher).unwrap();
        pool.included(&hash, 5, BLOCK);
        assert_eq!(told(&mut fates), [Fate::Ready, Fate::InBlock(BLOCK)]);
        (pool, hash, fates)
    }

    #[test]
    fn the_same_bytes_judged_too_late_do_not_end_the_watch_of_what_a_block_holds() {
        let (pool, hash, mut fates) = included();
        pool.refused(&hash, 5);
        assert_eq!(told(&mut fates), []);
        pool.finalized(BLOCK);
        assert_eq!(told(&mut fates), [Fate::Finalized(BLOCK)]);
    }

    #[test]
    fn what_went_into_a_block_while_it_was_judged_again_is_not_taken_twice() {
        let (pool, hash, mut fates) = included();
        let (second, _) = mpsc::channel(WATCHER_BACKLOG);
        assert_eq!(add(&pool, hash, second), Err(Unwelcome::Banned));
        assert!(pool.by_priority().is_empty());
        pool.retracted(BLOCK);
        assert_eq!(
            told(&mut fates),
            [Fate::Retracted(BLOCK), Fate::Ready],
            "its watcher is still the first one"
        );
    }

    #[test]
    fn a_waiting_transaction_that_is_refused_ends_its_watch_and_is_banned() {
        let (pool, hash) = (Pool::default(), H256::repeat_byte(1));
        let (watcher, mut fates) = mpsc::channel(WATCHER_BACKLOG);
        add(&pool, hash, watcher).unwrap();
        pool.refused(&hash, 5);
        assert_eq!(told(&mut fates), [Fate::Ready, Fate::Invalid]);
        assert_eq!(pool.admits(&hash, 5), Err(Unwelcome::Banned));
        assert_eq!(pool.admits(&hash, 5 + BAN), Ok(()));
    }
}

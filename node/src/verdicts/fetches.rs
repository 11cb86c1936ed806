//! How many verdict files are fetched at a time, and how often each is tried.
//!
//! One file is fetched once at a time. A producer has a few fetches under way at most, so that one
//! whose files nobody serves does not keep the others waiting. Pauses hold no place among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leoma_protocol::{Digest, FileId, Hotkey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files fetched at a time, each of at most 4 MiB.
const CONCURRENT_FETCHES: usize = 8;
/// Of these, files of one producer.
const FETCHES_PER_PRODUCER: usize = 2;
/// Attempts to fetch an announced file: its producer has it, so a failure is likely to pass.
const FETCH_TRIES: u32 = 5;
/// Pause after the first failed attempt; doubled after each further one.
const FETCH_PAUSE: Duration = Duration::from_secs(1);

/// The fetches under way. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Fetches {
    all: Arc<Semaphore>,
    /// By producer. The core passes on files of producers of known lists only, so there are few.
    of: Arc<Mutex<BTreeMap<Hotkey, Arc<Semaphore>>>>,
    wanted: Arc<Mutex<BTreeSet<(FileId, Digest)>>>,
}

impl Default for Fetches {
    fn default() -> Self {
        let all = Arc::new(Semaphore::new(CONCURRENT_FETCHES));
        Self { all, of: Arc::default(), wanted: Arc::default() }
    }
}

/// A file that is being fetched; no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Wanted {
    fetches: Fetches,
    file: (FileId, Digest),
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut wanted = self.fetches.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.remove(&self.file);
    }
}

impl Fetches {
    /// `None` if the file is being fetched already.
    pub(super) fn want(&self, id: FileId, digest: Digest) -> Option<Wanted> {
        let file = (id, digest);
        let new = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
        new.then(|| Wanted { fetches: self.clone(), file })
    }

    /// Waits for a place: first among the producer's fetches, then among all.
    pub(super) async fn place(&self, producer: Hotkey) -> Option<[OwnedSemaphorePermit; 2]> {
        let of_producer = {
            let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(FETCHES_PER_PRODUCER));
            Arc::clone(of.entry(producer).or_insert_with(new))
        };
        // Never closed.
        let first = of_producer.acquire_owned().await.ok()?;
        let second = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some([first, second])
    }

    /// Tries to fetch a producer's file a few times, each time in a place. Returns whether it was
    /// found.
    pub(super) async fn retry<Attempt: Future<Output = bool>>(
        &self,
        producer: Hotkey,
        attempt: impl Fn() -> Attempt,
    ) -> bool {
        let mut pause = FETCH_PAUSE;
        for number in 1..=FETCH_TRIES {
            let Some(place) = self.place(producer).await else { return false };
            let found = attempt().await;
            drop(place);
            if found {
                return true;
            }
            if number < FETCH_TRIES {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use futures::future::join_all;
    use leoma_protocol::TaskId;

    fn file(task: u64, producer: u8) -> FileId {
        FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([producer; 32]) }
    }

    #[test]
    fn a_file_is_fetched_once_at_a_time() {
        let fetches = Fetches::default();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let wanted = fetches.want(file(1, 1), one);
        assert!(wanted.is_some() && fetches.want(file(1, 1), one).is_none());
        assert!(fetches.want(file(1, 1), other).is_some(), "another digest is another file");
        drop(wanted);
        assert!(fetches.want(file(1, 1), one).is_some());
    }

    #[test]
    fn a_producer_whose_files_hang_starves_nobody() {
        let fetches = Fetches::default();
        let place = |producer| fetches.place(Hotkey::from_bytes([producer; 32])).now_or_never();
        // A liar announced three hundred files that nobody serves.
        let hanging: Vec<_> = (0..300).filter_map(|_| place(1)).collect();
        assert_eq!(hanging.len(), FETCHES_PER_PRODUCER);
        assert!(place(2).is_some(), "another producer's file is still fetched");
        drop(hanging);
        assert!(place(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_between_two_attempts_holds_no_place() {
        let fetches = Fetches::default();
        let producer = Hotkey::from_bytes([1; 32]);
        let start = tokio::time::Instant::now();
        // Twice as many files as the producer has places, and nobody serves any of them.
        let files = 0..2 * FETCHES_PER_PRODUCER;
        let found = join_all(files.map(|_| fetches.retry(producer, || async { false }))).await;
        assert_eq!(found, [false; 2 * FETCHES_PER_PRODUCER]);
        // All pauses pass at the same time.
        let pauses = FETCH_PAUSE * (2_u32.pow(FETCH_TRIES - 1) - 1);
        assert!((pauses..pauses + FETCH_PAUSE).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}

//! How many verdict files are fetched at a time, and how long each is tried.
//!
//! One file is fetched once at a time. A producer has a few fetches under way at most, so that one
//! whose files nobody serves does not keep the others waiting. Pauses hold no place among them. A file
//! that did not come soon is tried until no epoch looks back on it: its holders may have been cut off,
//! and without it we can neither attest to it nor count it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leoma_protocol::{Digest, FileId, Hotkey, TaskId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files fetched at a time, each of at most 4 MiB.
const CONCURRENT_FETCHES: usize = 8;
/// Of these, files of one producer.
const FETCHES_PER_PRODUCER: usize = 2;
/// Attempts among the fetches of new files. Later ones have places of their own, so that old files
/// that nobody serves never keep new ones waiting.
const FETCH_TRIES: u32 = 5;
/// Late files fetched at a time, one of each producer.
const CONCURRENT_LATE_FETCHES: usize = 4;
/// Pause after the first failed attempt; doubled after each further one.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: a file that arrives late must still be certified before its epoch ends.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The fetches under way. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Fetches {
    fresh: Places,
    late: Places,
    wanted: Arc<Mutex<BTreeSet<(FileId, Digest)>>>,
    /// Files of older tasks are not needed any more.
    oldest: Arc<AtomicU64>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            fresh: Places::new(CONCURRENT_FETCHES, FETCHES_PER_PRODUCER),
            late: Places::new(CONCURRENT_LATE_FETCHES, 1),
            wanted: Arc::default(),
            oldest: Arc::default(),
        }
    }
}

/// Places for fetches, shared fairly by all producers.
#[derive(Clone, Debug)]
struct Places {
    all: Arc<Semaphore>,
    per_producer: usize,
    /// By producer. The core passes on files of producers of known lists only, so there are few.
    of: Arc<Mutex<BTreeMap<Hotkey, Arc<Semaphore>>>>,
}

impl Places {
    fn new(all: usize, per_producer: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), per_producer, of: Arc::default() }
    }

    /// Waits for a place: first among the producer's fetches, then among all.
    async fn place(&self, producer: Hotkey) -> Option<[OwnedSemaphorePermit; 2]> {
        let of_producer = {
            let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.per_producer));
            Arc::clone(of.entry(producer).or_insert_with(new))
        };
        // Never closed.
        let first = of_producer.acquire_owned().await.ok()?;
        let second = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some([first, second])
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

    /// Waits for a place among the fetches of new files.
    pub(super) async fn place(&self, producer: Hotkey) -> Option<[OwnedSemaphorePermit; 2]> {
        self.fresh.place(producer).await
    }

    /// Ends the fetches of files of tasks before `oldest`.
    pub(super) fn forget_before(&self, oldest: TaskId) {
        self.oldest.fetch_max(oldest.0, Ordering::Relaxed);
    }

    /// Ends all fetches.
    pub(super) fn end(&self) {
        self.forget_before(TaskId(u64::MAX));
    }

    /// Tries to fetch a file until it is found or not needed any more, each time in a place.
    pub(super) async fn retry<Attempt: Future<Output = bool>>(
        &self,
        (id, digest): (FileId, Digest),
        attempt: impl Fn() -> Attempt,
    ) -> bool {
        let mut pause = FETCH_PAUSE;
        for number in 1_u32.. {
            let places = if number <= FETCH_TRIES { &self.fresh } else { &self.late };
            let Some(place) = places.place(id.producer).await else { return false };
            if id.task_id.0 < self.oldest.load(Ordering::Relaxed) {
                return false;
            }
            let found = attempt().await;
            drop(place);
            if found {
                return true;
            }
            if number == FETCH_TRIES {
                tracing::warn!(task = %id.task_id, producer = %id.producer, digest = digest.short(), tries = number, "failed to fetch a verdict file, trying on");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use futures::future::join_all;
    use std::sync::atomic::AtomicUsize;
    use tokio::time::{Instant, timeout};

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
        let start = Instant::now();
        // Twice as many files as the producer has places, each found at the fifth attempt.
        let files = (0..2 * FETCHES_PER_PRODUCER as u64).map(|task| {
            let fetches = &fetches;
            async move {
                let (file, tries) = ((file(task, 1), Digest::of(b"a")), AtomicUsize::new(0));
                fetches.retry(file, || async { tries.fetch_add(1, Ordering::Relaxed) == 4 }).await
            }
        });
        assert_eq!(join_all(files).await, [true; 2 * FETCHES_PER_PRODUCER]);
        // All pauses, of 1, 2, 4 and 8 s, pass at the same time.
        let pauses = FETCH_PAUSE * 15;
        assert!((pauses..pauses + FETCH_PAUSE).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_tried_until_no_epoch_looks_back_on_it() {
        let fetches = Fetches::default();
        let digest = Digest::of(b"a");
        // Its holders are back after two hours.
        let back = Instant::now() + Duration::from_secs(2 * 3600);
        let found = fetches.retry((file(7, 1), digest), || async { Instant::now() >= back }).await;
        let late = back.elapsed();
        assert!(found && late <= LONGEST_PAUSE, "found {late:?} later");

        let lost = fetches.retry((file(7, 1), digest), || async { false });
        tokio::pin!(lost);
        fetches.forget_before(TaskId(7));
        assert!(timeout(10 * LONGEST_PAUSE, &mut lost).await.is_err(), "task 7 is still needed");
        fetches.forget_before(TaskId(8));
        assert_eq!(timeout(2 * LONGEST_PAUSE, &mut lost).await, Ok(false));
        fetches.end();
        let ended = fetches.retry((file(9, 1), digest), || async { true });
        assert_eq!(ended.now_or_never(), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn late_files_that_hang_keep_no_new_one_waiting() {
        let fetches = Fetches::default();
        let begun = AtomicUsize::new(0);
        // After five quick failures, each further attempt at a liar's files hangs.
        let late = (0..300).map(|task| {
            let (fetches, begun, tries) = (&fetches, &begun, AtomicUsize::new(0));
            async move {
                let attempt = || async {
                    if tries.fetch_add(1, Ordering::Relaxed) as u32 >= FETCH_TRIES {
                        begun.fetch_add(1, Ordering::Relaxed);
                        std::future::pending::<()>().await;
                    }
                    false
                };
                fetches.retry((file(task, 1), Digest::of(b"a")), attempt).await
            }
        });
        let late = join_all(late);
        tokio::pin!(late);
        assert!(timeout(Duration::from_secs(60), &mut late).await.is_err());
        assert_eq!(begun.load(Ordering::Relaxed), 1, "one late file of a producer at a time");
        let fresh = fetches.retry((file(1000, 1), Digest::of(b"b")), || async { true });
        assert_eq!(fresh.now_or_never(), Some(true));
    }
}

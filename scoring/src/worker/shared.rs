//! A pool's stop signal and figures, which its workers share.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

/// What a pool and its workers tell each other, apart from jobs.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Cancelled when the workers have to stop.
    pub(super) stop: CancellationToken,
    up: AtomicUsize,
    restarts: AtomicU64,
    peak_kib: AtomicU64,
}

impl Shared {
    pub(super) fn went_up(&self) {
        self.up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn went_down(&self) {
        self.up.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn nobody_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) == 0
    }

    pub(super) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures of a pool of `workers` that did not fall back.
    pub(super) fn counts(&self, workers: usize) -> PoolCounts {
        PoolCounts {
            workers,
            up: self.up.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            peak_kib: self.peak_kib.load(Ordering::Relaxed),
            fallback: None,
        }
    }

    pub(super) fn saw_peak(&self, kib: u64) {
        self.peak_kib.fetch_max(kib, Ordering::Relaxed);
    }
}

/// A pool's figures for operators.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PoolCounts {
    /// Workers that the pool was opened with.
    pub workers: usize,
    /// Workers that are ready or working.
    pub up: usize,
    /// Processes that were lost and replaced since the start.
    pub restarts: u64,
    /// The largest resident memory of any worker so far, in KiB, as of the clips it scored.
    pub peak_kib: u64,
    /// Why the CPU scores although `auto` found another device; `None` where it did not have to.
    pub fallback: Option<String>,
}

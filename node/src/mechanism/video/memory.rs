//! How much of all answers is in memory at a time.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most of it, in KiB: two answers as large as one may be, or a dozen honest ones.
const MOST_KIB: u32 = 128 << 10;

/// Room for answers that are judged. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<Semaphore>);

/// An answer in memory, and its place there.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) video: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_KIB as usize)))
    }

    /// Reads a file once there is room for it.
    pub(super) async fn load(&self, file: &Path) -> std::io::Result<Loaded> {
        let bytes = tokio::fs::metadata(file).await?.len();
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(MOST_KIB).min(MOST_KIB);
        // The semaphore is never closed.
        let place = Arc::clone(&self.0).acquire_many_owned(kib).await.ok();
        Ok(Loaded { video: tokio::fs::read(file).await?.into(), _place: place })
    }
}

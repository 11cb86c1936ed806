//! What samplers published beside their verdicts, kept for the pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leoma_protocol::FileId;
use leoma_web::Unavailable;
use leoma_web::view::TaskRecord;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Tasks whose metadata is kept in memory: with every measure of 256 answers each takes two
/// megabytes.
const KEPT_RECORDS: usize = 4;
/// How long a record that is missing or cannot be read is not asked for again: however many look at
/// the page, the bucket is asked twice a minute.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What a bucket holds of a task.
pub(super) type Found = Result<Option<Arc<TaskRecord>>, Unavailable>;

#[derive(Debug)]
struct Answer {
    found: Found,
    read_at: Instant,
}

impl Answer {
    /// A record never changes; everything else may.
    fn is_good(&self) -> bool {
        matches!(self.found, Ok(Some(_))) || self.read_at.elapsed() < ASK_AGAIN_AFTER
    }
}

/// The records that were asked for, each read by one reader at a time.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<BTreeMap<FileId, Arc<OnceCell<Answer>>>>);

impl Records {
    /// The record of `id`, read by `read` where it is not known. Whoever comes while it is read
    /// waits for it and gets it.
    pub(super) async fn get_or_read(&self, id: FileId, read: impl Future<Output = Found>) -> Found {
        let cell = self.cell(id);
        // A reader that goes away leaves the cell to the next one.
        let read = || async move { Answer { found: read.await, read_at: Instant::now() } };
        cell.get_or_init(read).await.found.clone()
    }

    fn cell(&self, id: FileId) -> Arc<OnceCell<Answer>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One without an answer is being read.
        cells.retain(|_, cell| cell.get().is_none_or(Answer::is_good));
        if let Some(cell) = cells.get(&id) {
            return Arc::clone(cell);
        }
        if cells.len() >= KEPT_RECORDS {
            cells.pop_first();
        }
        Arc::clone(cells.entry(id).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use leoma_protocol::{Hotkey, TaskId};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_record_has_one_reader_at_a_time_and_a_failure_is_remembered_for_a_while() {
        let records = Records::default();
        let (reads, fails) = (AtomicU32::new(0), AtomicU32::new(1));
        let id = FileId { task_id: TaskId(7), producer: Hotkey::from_bytes([1; 32]) };
        let get = || {
            records.get_or_read(id, async {
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                match fails.load(Ordering::Relaxed) {
                    1 => Err(Unavailable("the bucket hangs".to_owned())),
                    _ => Ok(Some(Arc::new(TaskRecord::default()))),
                }
            })
        };
        let (one, other) = tokio::join!(get(), get());
        assert!(one.is_err() && other.is_err());
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(get().await.is_err());
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        // After that it is asked for again, and what was found is kept for good.
        tokio::time::advance(Duration::from_secs(2)).await;
        fails.store(0, Ordering::Relaxed);
        assert!(get().await.unwrap().is_some());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(get().await.unwrap().is_some());
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}

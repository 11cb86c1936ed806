//! Verdict files held for peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Digest, FileId};

/// Files by task, bounded by total size.
#[derive(Debug)]
pub(super) struct Held {
    limit: usize,
    bytes: usize,
    files: BTreeMap<(FileId, Digest), Arc<Vec<u8>>>,
}

impl Held {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, files: BTreeMap::new() }
    }

    /// Holds a file. If that exceeds the limit, the oldest tasks give way, the new file included.
    pub(super) fn insert(&mut self, file: FileId, digest: Digest, bytes: Arc<Vec<u8>>) {
        self.bytes += bytes.len();
        if let Some(before) = self.files.insert((file, digest), bytes) {
            self.bytes -= before.len();
        }
        while self.bytes > self.limit {
            let Some((_, dropped)) = self.files.pop_first() else { break };
            self.bytes -= dropped.len();
        }
    }

    /// A file. It is shared, because many peers may be reading it slowly.
    pub(super) fn get(&self, file: FileId, digest: Digest) -> Option<Arc<Vec<u8>>> {
        self.files.get(&(file, digest)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hotkey, TaskId};

    #[test]
    fn the_oldest_tasks_give_way() {
        let mut held = Held::new(100);
        let file = |task| FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) };
        let digest = Digest::of(b"");
        for task in 1..=5 {
            held.insert(file(task), digest, vec![0; 30].into());
            held.insert(file(task), digest, vec![0; 30].into());
        }
        assert!(held.get(file(2), digest).is_none());
        assert!(held.get(file(3), digest).is_some());
        held.insert(file(0), digest, vec![0; 30].into());
        assert!(held.get(file(0), digest).is_none());
        held.insert(file(9), digest, vec![0; 101].into());
        assert!(held.files.is_empty() && held.bytes == 0);
    }
}

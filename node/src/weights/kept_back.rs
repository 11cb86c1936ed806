//! Our own files that an earlier run signed and may not have announced, as it ended before they were
//! in our bucket. Other validators have them from this run at the earliest, so unless they are
//! certified they count as if this run had signed them when it began to speak.

use std::collections::BTreeSet;
use std::sync::Arc;

use leoma_protocol::{BlockNumber, Digest, FileId};
use leoma_rotation::{Certificates, TaskVerdicts};

use crate::state::StoredFile;

/// Those files, and when this run began to speak.
#[derive(Debug)]
pub(super) struct KeptBack {
    files: BTreeSet<(FileId, Digest)>,
    /// The head when this run began to speak.
    pub(super) until: Option<BlockNumber>,
}

impl KeptBack {
    pub(super) fn new(unpublished: Vec<StoredFile>) -> Self {
        Self {
            files: unpublished.into_iter().map(|file| (file.id, file.digest)).collect(),
            until: None,
        }
    }

    /// The files, those that were kept back with a later block of signing.
    pub(super) fn applied_to(
        &self,
        files: Vec<Arc<TaskVerdicts>>,
        certificates: &Certificates,
    ) -> Vec<Arc<TaskVerdicts>> {
        let Some(until) = self.until else { return files };
        let told = |file: Arc<TaskVerdicts>| {
            let certified = certificates.get(&file.id) == Some(file.digest);
            if certified || !self.files.contains(&(file.id, file.digest)) {
                return file;
            }
            let mut file = TaskVerdicts::clone(&file);
            file.signed_at = file.signed_at.max(until);
            Arc::new(file)
        };
        files.into_iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Hotkey, TaskId};

    use super::*;

    #[test]
    fn what_an_earlier_run_told_nobody_counts_from_this_run_on() {
        let file = |task: u64| {
            let id = FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) };
            let mut file = TaskVerdicts::new(id, Digest::of(&task.to_le_bytes()), Vec::new());
            file.signed_at = BlockNumber(100 * task);
            Arc::new(file)
        };
        let stored = |task: u64| StoredFile {
            id: file(task).id,
            digest: file(task).digest,
            bytes: Vec::new(),
        };
        let mut kept_back = KeptBack::new(vec![stored(1), stored(2), stored(9)]);
        let certificates = Certificates::from_iter([(file(2).id, file(2).digest)]);
        let blocks = |kept_back: &KeptBack| -> Vec<u64> {
            let files = kept_back.applied_to([1, 2, 3, 9].map(file).into(), &certificates);
            files.iter().map(|file| file.signed_at.0).collect()
        };
        assert_eq!(blocks(&kept_back), [100, 200, 300, 900]);
        kept_back.until = Some(BlockNumber(800));
        // The second is certified, the third was published, the last says itself that it is later.
        assert_eq!(blocks(&kept_back), [800, 200, 300, 900]);
    }
}

//! The part of a verified verdict file that consensus reads: far less than the file holds.

use leoma_protocol::verdict::VerifiedVerdict;
use leoma_protocol::{Digest, FileId, Hotkey};

/// One producer's verdicts on one task, from a file whose signatures and binding were checked
/// ([`leoma_protocol::verdict::verify`]). Keep these rather than the files: they take 33 bytes for
/// each miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskVerdicts {
    /// Task and producer.
    pub id: FileId,
    /// The file's identity.
    pub digest: Digest,
    /// Sorted by miner, no miner twice.
    verdicts: Vec<Verdict>,
}

/// Whether one miner's video passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The miner.
    pub miner: Hotkey,
    /// The one bit that counts.
    pub passed: bool,
}

impl TaskVerdicts {
    /// Verdicts in any order. A miner that is named twice passed only if it
    /// passed each time.
    pub fn new(id: FileId, digest: Digest, mut verdicts: Vec<Verdict>) -> Self {
        verdicts.sort_unstable_by_key(|verdict| (verdict.miner, verdict.passed));
        // `false` sorts first, so the failed one of a miner's verdicts is the one that stays.
        verdicts.dedup_by_key(|verdict| verdict.miner);
        Self { id, digest, verdicts }
    }

    /// The verdicts, sorted by miner.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }
}

impl From<&VerifiedVerdict> for TaskVerdicts {
    fn from(file: &VerifiedVerdict) -> Self {
        let verdict = |entry: &leoma_protocol::verdict::VerdictEntry| Verdict {
            miner: entry.hotkey,
            passed: entry.passed,
        };
        Self::new(file.id, file.digest, file.entries.iter().map(verdict).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::TaskId;

    #[test]
    fn a_repeated_miner_counts_once_and_its_failure_stays() {
        let [a, b] = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let id = FileId { task_id: TaskId(1), producer: a };
        let verdict = |miner, passed| Verdict { miner, passed };
        let given = vec![verdict(b, true), verdict(a, true), verdict(a, false), verdict(b, true)];
        let expected = [verdict(a, false), verdict(b, true)];
        assert_eq!(TaskVerdicts::new(id, Digest::default(), given.clone()).verdicts(), expected);
        let reversed = given.into_iter().rev().collect();
        assert_eq!(TaskVerdicts::new(id, Digest::default(), reversed).verdicts(), expected);
    }
}

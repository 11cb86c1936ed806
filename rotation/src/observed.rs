//! The part of a verified verdict file that a policy record reads.

use leoma_protocol::verdict::{Name, Observation, VerdictEntry, VerifiedVerdict};
use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey};

use crate::{TaskVerdicts, Verdict};

/// One producer's verdicts and observations on one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskObservations {
    /// Task and producer.
    pub id: FileId,
    /// The file's identity.
    pub digest: Digest,
    /// The first block of the task, by the list that it was made under.
    pub start: BlockNumber,
    /// The chain's head when the file was signed.
    pub signed_at: BlockNumber,
    /// Sorted by miner, no miner twice.
    entries: Vec<MinerObservations>,
}

/// What one file says about one miner, or its producer about itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinerObservations {
    /// The miner.
    pub miner: Hotkey,
    /// Whether its answer passed.
    pub passed: bool,
    /// At most one for each pool.
    pub observations: Vec<Observation>,
}

impl MinerObservations {
    /// The observation of this pool.
    pub fn of_pool(&self, pool: &Name) -> Option<&Observation> {
        self.observations.iter().find(|observation| observation.pool == *pool)
    }

    /// Whether this has only observations in these pools, as a producer's own reading has.
    fn has_only(&self, truths: &[Name]) -> bool {
        let is_truth = |observation: &Observation| truths.contains(&observation.pool);
        !self.observations.is_empty() && self.observations.iter().all(is_truth)
    }
}

impl TaskObservations {
    /// Entries in any order. A verified file names no miner twice; of a hand-made one that does, the
    /// entry that did not pass stays.
    pub fn new(
        id: FileId,
        digest: Digest,
        start: BlockNumber,
        signed_at: BlockNumber,
        mut entries: Vec<MinerObservations>,
    ) -> Self {
        entries.sort_unstable();
        entries.dedup_by_key(|entry| entry.miner);
        Self { id, digest, start, signed_at, entries }
    }

    /// What a verified file says about a task that begins at `start`. A file without an envelope
    /// does not say when it was signed; it counts as signed at the start.
    pub fn from_file(file: &VerifiedVerdict, start: BlockNumber) -> Self {
        let signed_at = file.envelope.as_ref().map_or(start, |signed| signed.envelope.block);
        let entry = |entry: &VerdictEntry| MinerObservations {
            miner: entry.hotkey,
            passed: entry.passed,
            observations: entry.observations.clone(),
        };
        let entries = file.entries.iter().map(entry).collect();
        Self::new(file.id, file.digest, start, signed_at, entries)
    }

    /// Sorted by miner.
    pub fn entries(&self) -> &[MinerObservations] {
        &self.entries
    }

    /// What the producer itself read in this pool.
    pub(crate) fn reading(&self, pool: &Name) -> Option<&Observation> {
        let own = self.entries.binary_search_by_key(&self.id.producer, |entry| entry.miner);
        self.entries[own.ok()?].of_pool(pool)
    }

    /// The verdicts on miners, without the producer's own reading of these pools. An entry about
    /// anybody else is always a verdict: otherwise a producer could leave out its rival's verdicts.
    pub(crate) fn verdicts(&self, truths: &[Name]) -> TaskVerdicts {
        let is_reading =
            |entry: &MinerObservations| entry.miner == self.id.producer && entry.has_only(truths);
        let of_miners = self.entries.iter().filter(|entry| !is_reading(entry));
        let verdicts =
            of_miners.map(|entry| Verdict { miner: entry.miner, passed: entry.passed }).collect();
        TaskVerdicts::new(self.id, self.digest, verdicts)
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Nano, TaskId};

    use super::*;

    #[test]
    fn only_its_producers_own_entry_is_a_reading_and_no_verdict() {
        let [producer, rival, miner] = [1, 2, 3].map(|seed| Hotkey::from_bytes([seed; 32]));
        let [truth, pool] = ["close", "forecast"].map(|text| text.parse::<Name>().unwrap());
        let observed =
            |pool| Observation { pool, values: vec![Some(Nano::ONE)], counts: Vec::new() };
        let entry = |miner, observations| MinerObservations { miner, passed: true, observations };
        let verdicts_on = |entries| -> Vec<Hotkey> {
            let id = FileId { task_id: TaskId(7), producer };
            let start = BlockNumber(700);
            let file = TaskObservations::new(id, Digest::default(), start, start, entries);
            file.verdicts(&[truth]).verdicts().iter().map(|verdict| verdict.miner).collect()
        };
        let reading = entry(producer, vec![observed(truth)]);
        let of_miner = entry(miner, vec![observed(pool)]);
        let of_rival = entry(rival, vec![observed(truth)]);
        assert_eq!(verdicts_on(vec![reading, of_rival, of_miner]), [rival, miner]);
        // A producer that also is a miner of the pool is judged in it.
        let both = entry(producer, vec![observed(truth), observed(pool)]);
        assert_eq!(verdicts_on(vec![both, entry(miner, Vec::new())]), [producer, miner]);
    }
}

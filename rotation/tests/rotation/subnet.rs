//! A small subnet with defaults that a test changes where it matters.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, TaskId, Uid};
use leoma_rotation::{
    Allowlist, AllowlistHistory, Certificates, Decision, EpochInputs, EpochSnapshot, Miner,
    Outcome, Slot, TaskVerdicts, Verdict, WitnessCommitment, epoch, own_witness,
};

pub(crate) const INTERVAL: u64 = 100;
/// Task 40 has settled, and so has every one before it.
pub(crate) const EPOCH: u64 = 4200;
/// The slot of the subnet's owner.
pub(crate) const OWNER: Slot = Slot { hotkey: Hotkey::from_bytes([99; 32]), uid: Uid(0) };

pub(crate) fn hotkey(seed: u8) -> Hotkey {
    Hotkey::from_bytes([seed; 32])
}

/// Validators have the seeds from 0, miners those from 100.
pub(crate) fn list(interval: u64, validators: u8) -> Allowlist {
    Allowlist::new(interval, (0..validators).map(hotkey)).unwrap()
}

pub(crate) fn file(task: u64, producer: u8, verdicts: &[(u8, bool)]) -> TaskVerdicts {
    let id = FileId { task_id: TaskId(task), producer: hotkey(producer) };
    let verdicts: Vec<_> = verdicts
        .iter()
        .map(|(miner, passed)| Verdict { miner: hotkey(*miner), passed: *passed })
        .collect();
    let content: Vec<_> = verdicts
        .iter()
        .flat_map(|verdict| [verdict.miner.as_bytes()[0], verdict.passed.into()])
        .collect();
    TaskVerdicts::new(id, Digest::of(&content), verdicts)
}

pub(crate) fn miner(seed: u8, commit_block: u64) -> Miner {
    Miner {
        hotkey: hotkey(seed),
        uid: Uid(u16::from(seed)),
        commit_block: Some(BlockNumber(commit_block)),
    }
}

/// One subnet.
#[derive(Clone, Debug)]
pub(crate) struct Subnet {
    pub(crate) params: ConsensusParams,
    pub(crate) history: AllowlistHistory,
    pub(crate) snapshot: EpochSnapshot,
    pub(crate) files: Vec<TaskVerdicts>,
    pub(crate) certificates: Certificates,
}

impl Subnet {
    /// `validators` and two miners, 100 before 101. Everybody holds and witnesses all files.
    pub(crate) fn new(validators: u8, files: Vec<TaskVerdicts>) -> Self {
        let mut subnet = Self {
            params: ConsensusParams::default(),
            history: AllowlistHistory::since_genesis(list(INTERVAL, validators)),
            snapshot: EpochSnapshot {
                block: BlockNumber(EPOCH),
                miners: vec![miner(100, 10), miner(101, 20)],
                owner: Some(OWNER),
                witnesses: BTreeMap::new(),
            },
            files,
            certificates: Certificates::default(),
        };
        subnet.agree();
        subnet
    }

    /// Certifies the files that are there now, and lets everybody witness them.
    pub(crate) fn agree(&mut self) {
        self.certificates = self.files.iter().map(|file| (file.id, file.digest)).collect();
        let held: Vec<FileId> = self.files.iter().map(|file| file.id).collect();
        self.snapshot.witnesses.clear();
        for validator in self.listed() {
            self.witness(validator, &held);
        }
    }

    /// Lets one validator witness these files in the block before the epoch block.
    pub(crate) fn witness(&mut self, validator: Hotkey, held: &[FileId]) {
        let block = self.snapshot.block;
        let witness = own_witness(&self.params, &self.history, block, |file| held.contains(file));
        let committed_at = BlockNumber(block.0.saturating_sub(1));
        self.snapshot.witnesses.insert(validator, WitnessCommitment { committed_at, witness });
    }

    /// The list in force at the epoch block.
    pub(crate) fn listed(&self) -> Vec<Hotkey> {
        let entry = self.history.at_block(self.snapshot.block);
        entry.map_or_else(Vec::new, |entry| entry.allowlist.validators().to_vec())
    }

    fn epoch(&self) -> (Outcome, Decision) {
        epoch(&EpochInputs {
            params: &self.params,
            history: &self.history,
            snapshot: &self.snapshot,
            files: &self.files,
            certificates: &self.certificates,
        })
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.epoch().0
    }

    pub(crate) fn winner(&self) -> Option<u8> {
        self.outcome().winner.map(|winner| winner.hotkey.as_bytes()[0])
    }

    pub(crate) fn decide(&self) -> Decision {
        self.epoch().1
    }
}

/// The tasks `from..=40` by their primaries, each with the same verdicts.
pub(crate) fn primaries(validators: u8, from: u64, verdicts: &[(u8, bool)]) -> Vec<TaskVerdicts> {
    (from..=40).map(|task| file(task, (task % u64::from(validators)) as u8, verdicts)).collect()
}

//! A small subnet with defaults that a test changes where it matters.

use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, TaskId, Uid};
use leoma_rotation::{
    Allowlist, AllowlistHistory, Certificates, Decision, EpochInputs, EpochSnapshot, Miner,
    Outcome, Readable, Slot, TaskVerdicts, Verdict, epoch,
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
fn history(validators: u8) -> AllowlistHistory {
    AllowlistHistory::since_genesis(Allowlist::new(INTERVAL, (0..validators).map(hotkey)).unwrap())
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
    pub(crate) evidence: Vec<FileId>,
}

impl Subnet {
    /// `validators` and two miners, 100 before 101.
    pub(crate) fn new(validators: u8, files: Vec<TaskVerdicts>) -> Self {
        Self {
            params: ConsensusParams::default(),
            history: history(validators),
            snapshot: EpochSnapshot {
                block: BlockNumber(EPOCH),
                miners: vec![miner(100, 10), miner(101, 20)],
                owner: Some(OWNER),
            },
            files,
            certificates: Certificates::default(),
            evidence: Vec::new(),
        }
    }

    /// The epoch if the files of this many validators could be read.
    fn epoch(&self, readable: usize, last_winner: Option<Hotkey>) -> (Outcome, Decision) {
        let listed = self
            .history
            .at_block(self.snapshot.block)
            .map_or(0, |entry| entry.allowlist.validators().len());
        epoch(&EpochInputs {
            params: &self.params,
            history: &self.history,
            snapshot: &self.snapshot,
            files: &self.files,
            certificates: &self.certificates,
            evidence: &self.evidence,
            readable: Readable { readable, listed },
            last_winner,
        })
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.epoch(usize::MAX, None).0
    }

    pub(crate) fn winner(&self) -> Option<u8> {
        self.outcome().winner.map(|winner| winner.hotkey.as_bytes()[0])
    }

    pub(crate) fn decide(&self, readable: usize, last_winner: Option<Hotkey>) -> Decision {
        self.epoch(readable, last_winner).1
    }
}

/// The tasks `from..=40` by their primaries, each with the same verdicts.
pub(crate) fn primaries(validators: u8, from: u64, verdicts: &[(u8, bool)]) -> Vec<TaskVerdicts> {
    (from..=40).map(|task| file(task, (task % u64::from(validators)) as u8, verdicts)).collect()
}

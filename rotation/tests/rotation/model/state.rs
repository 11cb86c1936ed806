//! Everything there is in a run, and the small steps that all parts share.

use std::collections::{BTreeMap, BTreeSet};

use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, TaskId, quorum};
use leoma_rotation::{Counted, Reason, TaskVerdicts, Verdict, WeightVector};

use super::chain::{Chain, MINERS, miner};
use super::mutation::Mutation;
use super::plan::{Fault, Plan, params};
use super::random::Random;

/// A verdict file that somebody signed. Files are known by their place in [`World::files`].
#[derive(Debug)]
pub(super) struct File {
    pub(super) verdicts: TaskVerdicts,
    /// The first block of its task.
    pub(super) start: u64,
    /// The last head for attestations to it.
    pub(super) deadline: u64,
    /// The first block that may count it.
    pub(super) settles_at: u64,
    /// The task's list.
    pub(super) listed: u128,
    /// Other files of the same task and producer.
    pub(super) siblings: Vec<usize>,
}

/// An honest validator.
#[derive(Debug, Default)]
pub(super) struct Honest {
    pub(super) place: usize,
    /// Blocks that its endpoint is behind.
    pub(super) lag: u64,
    /// The side of a cut that it is on.
    pub(super) side: u64,
    /// For each file who attested to it, as far as known here.
    pub(super) votes: Vec<u128>,
    pub(super) held: Vec<bool>,
    /// The first certificate of each task and producer.
    pub(super) certified: BTreeMap<FileId, usize>,
    /// What it attested to. This outlives a lost disk: the guard refuses a second digest.
    pub(super) attested: BTreeSet<(FileId, usize)>,
    /// Producers that are known to have signed twice.
    pub(super) evidence: u128,
    pub(super) produced: BTreeSet<TaskId>,
    pub(super) producing: Option<(TaskId, u64)>,
    /// The epoch of its newest witness, and the block of sending it.
    pub(super) submitted: Option<(u64, u64)>,
    /// What counts in an epoch, once it has read that.
    pub(super) counted: Option<(u64, Result<Counted, Reason>)>,
    /// The newest epoch that it set weights for.
    pub(super) done: u64,
    pub(super) last_weights: Option<WeightVector>,
}

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Two honest validators set different weights for one epoch.
    DifferentWeights { epoch: u64 },
    /// Two files of one task and producer are certified.
    TwoCertificates { file: FileId },
    /// An honest validator attested to a file whose task had settled.
    LateAttestation { file: FileId, block: u64 },
    /// An honest validator set nothing for an epoch in which everything worked again.
    NotHealed { epoch: u64, place: usize },
    /// A healed epoch counted no file.
    EmptyWindow { epoch: u64 },
    /// A validator's weights are not those of the chain at the epoch block and all files there are.
    NotTheRule { epoch: u64 },
}

/// What a run saw.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How often each planned fault happened.
    pub(crate) fired: BTreeMap<Fault, u32>,
    /// Weights that were set.
    pub(crate) set: u32,
    /// Who could not compute which epoch at once.
    pub(crate) waited: BTreeSet<(u64, usize)>,
    /// Epochs that some honest validators set and others never did.
    pub(crate) abstained: u32,
}

/// One run.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) params: ConsensusParams,
    pub(super) mutation: Option<Mutation>,
    pub(super) block: u64,
    pub(super) chain: Chain,
    pub(super) files: Vec<File>,
    pub(super) honest: Vec<Honest>,
    /// What liars will show later: the block, the file, to whom, and whether the file goes along.
    pub(super) later: Vec<(u64, Shown)>,
    /// Files on which the liars have decided how to vote.
    pub(super) voted_on: usize,
    /// By epoch, who set which weights.
    pub(super) set: BTreeMap<u64, BTreeMap<usize, WeightVector>>,
    pub(super) report: Report,
}

/// What liars show to some honest validators.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// A file and the liars' votes for it.
    File { file: usize, to: u128 },
    /// The liars' votes alone.
    Votes { file: usize, to: u128 },
    /// Proof that this producer signed twice.
    Evidence { producer: usize, to: u128 },
}

impl World {
    pub(super) fn fire(&mut self, fault: Fault) {
        *self.report.fired.entry(fault).or_default() += 1;
    }

    /// Whether a fault happens now: by chance, and for certain if it never did.
    pub(super) fn strikes(&mut self, fault: Fault, percent: u64) -> bool {
        let is_first = !self.report.fired.contains_key(&fault);
        let strikes = self.plan.has(fault) && (is_first || self.random.chance(percent));
        if strikes {
            self.fire(fault);
        }
        strikes
    }

    pub(super) fn epoch_of(&self, block: u64) -> u64 {
        self.params.epoch_block(BlockNumber(block)).0
    }

    /// A new file of a task's producer with verdicts drawn by chance.
    pub(super) fn sign_file(&mut self, id: FileId) -> usize {
        let verdicts = (0..MINERS)
            .map(|seed| Verdict { miner: miner(seed), passed: self.random.chance(50) })
            .collect();
        let number = self.files.len();
        let digest = Digest::of(&(number as u64).to_le_bytes());
        let list = &self.chain.history_at(self.block).of_task(id.task_id).unwrap().allowlist;
        let (interval, listed) = (list.interval(), self.plan.members(list));
        let params = params();
        let siblings: Vec<usize> =
            (0..number).filter(|other| self.files[*other].verdicts.id == id).collect();
        for &sibling in &siblings {
            self.files[sibling].siblings.push(number);
        }
        self.files.push(File {
            verdicts: TaskVerdicts::new(id, digest, verdicts),
            start: id.task_id.0 * interval,
            deadline: params.attestation_deadline(interval, id.task_id).0,
            settles_at: params.settles_at(interval, id.task_id).0,
            listed,
            siblings,
        });
        for honest in &mut self.honest {
            honest.votes.push(0);
            honest.held.push(false);
        }
        number
    }

    pub(super) fn needed(&self, file: usize) -> u32 {
        let quorum = quorum(self.files[file].listed.count_ones() as usize) as u32;
        quorum - u32::from(self.mutation == Some(Mutation::QuorumTooSmall))
    }

    /// Whether these votes certify a file.
    pub(super) fn is_quorum(&self, file: usize, votes: u128) -> bool {
        (votes & self.files[file].listed).count_ones() >= self.needed(file)
    }

    /// All votes of honest validators, and those that the liars could give.
    pub(super) fn possible_votes(&self, file: usize) -> u128 {
        let by_honest = self.honest.iter().map(|honest| honest.votes[file]);
        by_honest.fold(self.plan.liars, |all, votes| all | votes)
    }

    /// The files that may still be attested to, and some more for late ones.
    pub(super) fn active_from(&self) -> usize {
        self.files.partition_point(|file| file.settles_at + 60 < self.block)
    }

    pub(super) fn show(&mut self, shown: Shown) {
        let liars = self.plan.liars;
        for honest in &mut self.honest {
            let is_shown = |to: u128| to >> honest.place & 1 == 1;
            match shown {
                Shown::File { file, to } if is_shown(to) => {
                    honest.held[file] = true;
                    honest.votes[file] |= liars;
                }
                Shown::Votes { file, to } if is_shown(to) => honest.votes[file] |= liars,
                Shown::Evidence { producer, to } if is_shown(to) => {
                    honest.evidence |= 1 << producer;
                }
                _ => {}
            }
        }
    }
}

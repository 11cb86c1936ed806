//! The rule with one part changed. Each change must be noticed for some seed, or the model would not
//! notice if the crate lost that part. One changes nothing, so that what is noticed is the change.

use leoma_protocol::{BlockNumber, ConsensusParams, FileId, Hotkey, TaskId, Uid, faulty};
use leoma_rotation::{
    AllowlistHistory, Certificates, Counted, Decision, EpochInputs, EpochSnapshot, Slot,
    TaskVerdicts, WitnessCommitment, epoch, own_witness,
};

use super::plan::params;

/// One change of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A certificate needs one attestation less.
    QuorumTooSmall,
    /// Validators attest to every digest that they see.
    AttestTwice,
    /// Validators attest however late a file is.
    AttestLate,
    /// Files count that nobody certified: the lowest step that a validator holds.
    UncertifiedCount,
    /// A validator's own certificates decide, not the witnesses.
    OwnCertificates,
    /// As many witnesses as may lie are enough.
    CountAtF,
    /// Witnesses are read from the newest block, not at the epoch block.
    WitnessAfterEpoch,
    /// The epoch block is read before it is final.
    BeforeFinality,
    /// A witness names files without certificates.
    WitnessUncertified,
    /// A witness names certified files that are not held.
    WitnessWithoutFile,
    /// Counted files that are missing are passed over.
    PassOverMissing,
    /// The newest list that a validator has heard of says who witnesses, not the one in force at
    /// the epoch block.
    PolledList,
    /// Evidence takes files out of the window.
    EvidenceInWindow,
    /// Who cannot compute repeats its last weights.
    LastWinner,
    /// A witness's bit of the lowest step is read for every file of its task.
    LowestStepsBit,
    /// Everybody's newest witness counts, for whatever epoch and from however long before its span.
    StaleWitnesses,
    /// Tasks are witnessed and count one interval before they have settled.
    UnsettledCount,
    /// Weight is burned on uid 0, whoever holds it.
    BurnOnFirstSlot,
    /// The rule as it is.
    Nothing,
}

impl Mutation {
    /// What this mutation makes of the chain at the epoch block.
    pub(super) fn reread(self, snapshot: &mut EpochSnapshot) {
        let block = snapshot.block;
        let last = BlockNumber(block.0 - 1);
        match self {
            Self::WitnessAfterEpoch => {
                for found in snapshot.witnesses.values_mut() {
                    found.committed_at = found.committed_at.min(last);
                }
            }
            Self::StaleWitnesses => {
                let before = |found: &&mut WitnessCommitment| found.committed_at < block;
                for found in snapshot.witnesses.values_mut().filter(before) {
                    found.committed_at = last;
                    found.witness.epoch_block = block;
                }
            }
            Self::BurnOnFirstSlot => {
                let first = snapshot.miners.iter().find(|miner| miner.uid == Uid(0));
                snapshot.owner = first.map(|miner| Slot { hotkey: miner.hotkey, uid: miner.uid });
            }
            _ => {}
        }
    }

    /// The window that this mutation makes of what the chain says; the real rule's files where it
    /// does not touch the count.
    pub(super) fn recount(
        self,
        history: &AllowlistHistory,
        polled: &AllowlistHistory,
        counted: &Counted,
    ) -> Vec<FileId> {
        let list = &polled.entries().last().unwrap().allowlist;
        let required = match self {
            Self::CountAtF => counted.required.saturating_sub(1).max(1),
            Self::PolledList => faulty(list.validators().len()) + 1,
            Self::LowestStepsBit => counted.required,
            _ => return counted.files.clone(),
        };
        let may_witness = |who: &&Hotkey| self != Self::PolledList || list.contains(who);
        let enough = counted.witnesses.keys().copied().filter(|file| {
            let read = if self == Self::LowestStepsBit { primary(history, file) } else { *file };
            let by = counted.witnesses.get(&read).into_iter().flatten();
            by.filter(may_witness).count() >= required
        });
        lowest_steps(history, enough)
    }
}

/// The parameters by which validators witness and count.
pub(super) fn counting_params(mutation: Option<Mutation>) -> ConsensusParams {
    let mut params = params();
    params.settle_margin -= u64::from(mutation == Some(Mutation::UnsettledCount));
    params
}

/// The file of the lowest step of a file's task.
fn primary(history: &AllowlistHistory, file: &FileId) -> FileId {
    let params = params();
    let schedule = history.schedule_of(file.task_id, &params).unwrap();
    FileId { producer: schedule.primary(file.task_id).unwrap(), ..*file }
}

/// Of each task the file of its lowest step; the newest tasks that a window holds, oldest first.
pub(super) fn lowest_steps(
    history: &AllowlistHistory,
    files: impl IntoIterator<Item = FileId>,
) -> Vec<FileId> {
    let params = params();
    let step = |file: &FileId| {
        history.schedule_of(file.task_id, &params).unwrap().step_of(file.task_id, &file.producer)
    };
    let mut files: Vec<FileId> = files.into_iter().collect();
    files.sort_unstable_by_key(|file| (file.task_id, step(file)));
    files.dedup_by_key(|file| file.task_id);
    files.drain(..files.len().saturating_sub(params.window_tasks as usize));
    files
}

/// The weights of exactly these files, by the crate's arithmetic: all listed validators witness
/// them, and they are certified.
pub(super) fn decide(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
    files: &[&TaskVerdicts],
) -> Decision {
    let list = &history.at_block(snapshot.block).unwrap().allowlist;
    let chosen = |file: &FileId| files.iter().any(|held| held.id == *file);
    let witness = own_witness(params, history, snapshot.block, chosen);
    let committed_at = BlockNumber(snapshot.block.0 - 1);
    let committed = WitnessCommitment { committed_at, witness };
    let everybody = list.validators().iter().map(|hotkey| (*hotkey, committed.clone()));
    let snapshot = EpochSnapshot { witnesses: everybody.collect(), ..snapshot.clone() };
    let certificates: Certificates = files.iter().map(|file| (file.id, file.digest)).collect();
    let (outcome, decision) = epoch(&EpochInputs {
        params,
        history,
        snapshot: &snapshot,
        files,
        certificates: &certificates,
    });
    assert_eq!(outcome.window.len(), files.len(), "every file that was chosen counts");
    decision
}

/// Whether a task is one that an epoch may count.
pub(super) fn in_range(history: &AllowlistHistory, block: BlockNumber, task_id: TaskId) -> bool {
    leoma_rotation::WindowRange::new(&params(), history, block).check(task_id).is_ok()
}

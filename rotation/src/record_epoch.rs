//! An epoch by a policy record: which files count is decided as without one, and the record says
//! who is paid what.
//!
//! | step | rule | where |
//! |---|---|---|
//! | 1 | which files count, whether all are there, who is eligible | `epoch.rs` |
//! | 2 | each eligible miner's share | `policy.rs` |
//! | 3 | weights within the chain's limits, or the reason why there are none | here |

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;

use leoma_protocol::{ConsensusParams, FileId};
use num_rational::BigRational;

use crate::decision::{Decision, Reason};
use crate::epoch::{EpochInputs, epoch, uncertified_epoch};
use crate::limits::ChainLimits;
use crate::outcome::Outcome;
use crate::policy::{PolicyOutcome, Unallocated, policy_outcome};
use crate::rank::by_commitment;
use crate::snapshot::EpochSnapshot;
use crate::{AllowlistHistory, PolicyRecord, TaskObservations, TaskVerdicts};

/// An epoch by a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordEpoch {
    /// What the files say. Miners are ranked by their shares, and the winner is who has the largest
    /// weight; `None` if that is burned.
    pub outcome: Outcome,
    /// What each pool says, and the shares; `None` where a counted file is missing or nobody sets
    /// weights.
    pub paid: Option<PolicyOutcome>,
    /// The weights, or why there are none.
    pub decision: Decision,
}

/// Computes an epoch by a record, as [`fn@epoch`] does by video's rule. `limits` are the chain's at
/// the epoch block. The start of each task is taken from the lists of `inputs`, whatever the files
/// have.
pub fn record_epoch<F: Borrow<TaskObservations>>(
    inputs: &EpochInputs<'_, F>,
    record: &PolicyRecord,
    limits: ChainLimits,
) -> RecordEpoch {
    let EpochInputs { params, history, snapshot, files, certificates } = *inputs;
    let truths = record.truths();
    let verdicts: Vec<TaskVerdicts> =
        files.iter().map(|file| file.borrow().verdicts(&truths)).collect();
    let (outcome, decision) =
        epoch(&EpochInputs { params, history, snapshot, files: &verdicts, certificates });
    if decision.is_withheld() {
        return RecordEpoch { outcome, paid: None, decision };
    }
    let is_certified = |file: &&TaskObservations| certificates.get(&file.id) == Some(file.digest);
    let held = files.iter().map(Borrow::borrow).filter(is_certified);
    let by_id: BTreeMap<FileId, &TaskObservations> = held.map(|file| (file.id, file)).collect();
    pay(record, &history.as_of(snapshot.block), snapshot, &by_id, (outcome, limits))
}

/// The same without certificates and witnesses, for show: no validator sets weights by it.
pub fn uncertified_record_epoch<F: Borrow<TaskObservations>>(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
    files: &[F],
    record: &PolicyRecord,
    limits: ChainLimits,
) -> RecordEpoch {
    let truths = record.truths();
    let verdicts: Vec<TaskVerdicts> =
        files.iter().map(|file| file.borrow().verdicts(&truths)).collect();
    let (outcome, _) = uncertified_epoch(params, history, snapshot, &verdicts);
    let by_id: BTreeMap<FileId, &TaskObservations> =
        files.iter().map(|file| (file.borrow().id, file.borrow())).collect();
    pay(record, history, snapshot, &by_id, (outcome, limits))
}

/// Applies the record to the files of a window that is complete.
fn pay(
    record: &PolicyRecord,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
    held: &BTreeMap<FileId, &TaskObservations>,
    (mut outcome, limits): (Outcome, ChainLimits),
) -> RecordEpoch {
    let in_window = outcome.window.iter().filter_map(|id| held.get(id));
    let placed: Vec<Cow<'_, TaskObservations>> =
        in_window.map(|file| placed(history, file)).collect();
    let window: Vec<&TaskObservations> = placed.iter().map(AsRef::as_ref).collect();
    let paid = policy_outcome(record, snapshot, &window);
    let decision = match paid.weights(snapshot, limits) {
        Ok(weights) if paid.ranks.is_empty() => {
            Decision::Set { weights, reason: Reason::NoneEligible }
        }
        Ok(weights) if paid.shares.is_empty() => {
            Decision::Set { weights, reason: Reason::NothingEarned }
        }
        Ok(weights) => Decision::Set { weights, reason: Reason::Shared },
        Err(Unallocated::NoOwnerSlot) => Decision::Abstain { reason: Reason::NoOwnerSlot },
        Err(Unallocated::Limit { max_weight, weights }) => {
            Decision::Abstain { reason: Reason::WeightLimit { max_weight, weights } }
        }
    };
    rank_by_share(&mut outcome, &paid);
    let heaviest = decision.weights().and_then(|weights| weights.heaviest());
    let is_paid = |hotkey| paid.shares.iter().any(|(miner, _)| *miner == hotkey);
    outcome.winner = heaviest
        .filter(|entry| is_paid(entry.hotkey))
        .and_then(|entry| snapshot.slot_of(&entry.hotkey));
    RecordEpoch { outcome, paid: Some(paid), decision }
}

/// A file with the start that the lists give its task.
fn placed<'f>(history: &AllowlistHistory, file: &'f TaskObservations) -> Cow<'f, TaskObservations> {
    let list = history.of_task(file.id.task_id).map(|entry| &entry.allowlist);
    match list.and_then(|list| list.start_of(file.id.task_id)) {
        Some(start) if start != file.start => {
            let mut moved = file.clone();
            moved.start = start;
            Cow::Owned(moved)
        }
        _ => Cow::Borrowed(file),
    }
}

/// Orders the eligible miners by their shares, the largest first, equal ones by commitment.
fn rank_by_share(outcome: &mut Outcome, paid: &PolicyOutcome) {
    let shares: BTreeMap<_, &BigRational> =
        paid.shares.iter().map(|(miner, share)| (*miner, share)).collect();
    outcome.ranks.sort_by(|one, other| {
        let (ours, theirs) = (shares.get(&one.miner), shares.get(&other.miner));
        theirs.cmp(&ours).then_with(|| {
            by_commitment((one.commit_block, &one.miner), (other.commit_block, &other.miner))
        })
    });
    for (rank, ranked) in (1..).zip(&mut outcome.ranks) {
        ranked.rank = rank;
    }
}

//! An epoch from its inputs to its weights: the one function by which a validator sets weights and
//! by which anyone recomputes them.
//!
//! | step | rule | where |
//! |---|---|---|
//! | 1 | which files count, by the witnesses on chain | `window/counted.rs` |
//! | 2 | all of them are there, with their certificates; else no weights | here |
//! | 3 | how good each miner is by those files | `aggregate.rs` |
//! | 4 | who is eligible, and who wins | `rank.rs` |
//! | 5 | which weights follow | `decision.rs`, `allocation.rs` |
//!
//! Step 1 needs the chain at one block and nothing else. A counted file has one certified digest,
//! so every honest validator computes the same weights or none. `docs/agreement.md` has the
//! argument and its limits.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use leoma_protocol::{ConsensusParams, FileId};

use crate::decision::{Decision, Reason, decide};
use crate::outcome::Outcome;
use crate::rank::{rank, required_validators};
use crate::snapshot::EpochSnapshot;
use crate::window::{Counted, HeldFile, LeftOut, UncertifiedWindow, WindowRange, count, producers};
use crate::{AllowlistHistory, Certificates, TaskVerdicts, aggregate};

/// What an epoch's outcome and weights follow from. `F` is a [`TaskVerdicts`] or anything that
/// holds one, as an `Arc` does.
#[derive(Debug)]
pub struct EpochInputs<'a, F> {
    /// The subnet's constants in force at the epoch block. They hold for all tasks of the window,
    /// also for those that were made under earlier ones.
    pub params: &'a ConsensusParams,
    /// The allowlists up to the epoch block. Later ones change nothing.
    pub history: &'a AllowlistHistory,
    /// The chain at the epoch block.
    pub snapshot: &'a EpochSnapshot,
    /// Verified files that we hold, in any order; more than the window needs does no harm.
    pub files: &'a [F],
    /// The digests that are certified by the lists of `history`, as [`Certificates::count`] finds
    /// them. A certificate that was counted earlier may follow a list that is no longer its task's.
    pub certificates: &'a Certificates,
}

/// Computes an epoch: what its files say, and the weights that follow. The same inputs give the
/// same result on every machine, in whatever order they come. Two validators with the same
/// snapshot, history and constants get the same weights, or one of them gets none.
pub fn epoch<F: Borrow<TaskVerdicts>>(inputs: &EpochInputs<'_, F>) -> (Outcome, Decision) {
    let EpochInputs { params, history, snapshot, files, certificates } = *inputs;
    let history = &*history.as_of(snapshot.block);
    let counted = count(params, history, snapshot);
    let witnessed = counted.as_ref().map_or(Err(Reason::NoAllowlist), Counted::check);
    let counted = counted.unwrap_or_default();

    let is_certified = |file: &&TaskVerdicts| certificates.get(&file.id) == Some(file.digest);
    let files = || files.iter().map(Borrow::borrow);
    let held: BTreeMap<FileId, &TaskVerdicts> =
        files().filter(is_certified).map(|file| (file.id, file)).collect();
    let window: Vec<Option<&TaskVerdicts>> =
        counted.files.iter().map(|file| held.get(file).copied()).collect();
    let missing: Vec<FileId> = counted
        .files
        .iter()
        .zip(&window)
        .filter(|(_, held)| held.is_none())
        .map(|(id, _)| *id)
        .collect();
    // With a file missing nothing is added up, so that no half result can be taken for the winner.
    let complete: Option<Vec<&TaskVerdicts>> = window.into_iter().collect();
    let mut outcome = fold(params, snapshot, &complete.unwrap_or_default());

    let range = WindowRange::new(params, history, snapshot.block);
    let why = |file: &TaskVerdicts| {
        why_left_out(&range, &counted, certificates, file).map(|reason| (file.id, reason))
    };
    outcome.left_out = files().filter_map(why).collect();
    outcome.left_out.sort_unstable();
    outcome.left_out.dedup();
    outcome.window = counted.files;
    outcome.missing = missing;
    let decision = decide(snapshot, &outcome, witnessed);
    (outcome, decision)
}

/// Computes an epoch without certificates and witnesses, as the Python implementation does, whose
/// vectors and files `leoma audit --allow-v1` reads. No validator sets weights by it.
pub fn uncertified_epoch<F: Borrow<TaskVerdicts>>(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
    files: &[F],
) -> (Outcome, Decision) {
    let range = WindowRange::new(params, history, snapshot.block);
    let held: Vec<HeldFile> = files.iter().map(|file| HeldFile::from(file.borrow())).collect();
    let window = UncertifiedWindow::select(&range, &held);
    let by_id: BTreeMap<FileId, &TaskVerdicts> =
        files.iter().map(|file| (file.borrow().id, file.borrow())).collect();
    let in_window: Vec<&TaskVerdicts> =
        window.files.iter().filter_map(|file| by_id.get(file).copied()).collect();
    let mut outcome = fold(params, snapshot, &in_window);
    outcome.left_out = window.left_out;
    outcome.left_out.sort_unstable();
    let decision = decide(snapshot, &outcome, Ok(()));
    (outcome, decision)
}

/// The outcome of a window's files, oldest first.
fn fold(params: &ConsensusParams, snapshot: &EpochSnapshot, files: &[&TaskVerdicts]) -> Outcome {
    let window: Vec<FileId> = files.iter().map(|file| file.id).collect();
    let active_validators = producers(&window);
    let required_distinct = required_validators(params, active_validators.len());
    let aggregates = aggregate(files);
    let ranking = rank(params, &aggregates, &snapshot.commit_blocks(), required_distinct);
    Outcome {
        epoch_block: snapshot.block,
        window,
        active_validators,
        required_distinct,
        aggregates,
        winner: ranking.winner().and_then(|hotkey| snapshot.slot_of(&hotkey)),
        ranks: ranking.ranks,
        ineligible: ranking.ineligible,
        missing: Vec::new(),
        left_out: Vec::new(),
    }
}

/// Why a file that we hold is not in the window; `None` if it is.
fn why_left_out(
    range: &WindowRange<'_>,
    counted: &Counted,
    certificates: &Certificates,
    file: &TaskVerdicts,
) -> Option<LeftOut> {
    if let Err(reason) = range.admit(&file.id) {
        return Some(reason);
    }
    match certificates.get(&file.id) {
        None => return Some(LeftOut::NotCertified),
        Some(certified) if certified != file.digest => {
            return Some(LeftOut::NotTheCertified { certified });
        }
        Some(_) => {}
    }
    let (witnesses, required) = (counted.witnesses_of(&file.id), counted.required);
    if witnesses < required {
        return Some(LeftOut::NotWitnessed { witnesses, required });
    }
    match counted.files.binary_search_by_key(&file.id.task_id, |counted| counted.task_id) {
        Ok(index) if counted.files[index] == file.id => None,
        Ok(index) => Some(LeftOut::Superseded { by: counted.files[index].producer }),
        Err(_) => Some(LeftOut::OlderThanWindow),
    }
}

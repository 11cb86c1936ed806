//! An epoch from its inputs to its weights: the one function by which a validator sets weights and
//! by which anyone recomputes them.
//!
//! | step | rule | where |
//! |---|---|---|
//! | 1 | which files speak for the window's tasks | `window/` |
//! | 2 | how good each miner is by those files | `aggregate.rs` |
//! | 3 | who is eligible, and who wins | `rank.rs` |
//! | 4 | whether enough was read to set weights, and which | `decision.rs`, `allocation.rs` |

use std::borrow::Borrow;

use leoma_protocol::{ConsensusParams, FileId, Hotkey};

use crate::decision::{Decision, Readable, decide};
use crate::outcome::Outcome;
use crate::rank::{rank, required_validators};
use crate::snapshot::EpochSnapshot;
use crate::window::{HeldFile, InTime, Window, WindowRange, canonical_files};
use crate::{AllowlistHistory, Certificates, TaskVerdicts, aggregate};

/// What an epoch's outcome and weights follow from. `F` is a [`TaskVerdicts`] or anything that
/// holds one, as an `Arc` does.
#[derive(Debug)]
pub struct EpochInputs<'a, F> {
    /// The subnet's constants.
    pub params: &'a ConsensusParams,
    /// The allowlists up to the epoch block.
    pub history: &'a AllowlistHistory,
    /// The chain at the epoch block.
    pub snapshot: &'a EpochSnapshot,
    /// Every verified file that we hold, in any order; more than the window needs does no harm.
    pub files: &'a [F],
    /// The digests that are certified.
    pub certificates: &'a Certificates,
    /// Task and producer of each proven equivocation.
    pub evidence: &'a [FileId],
    /// Whose files could be read.
    pub readable: Readable,
    /// The winner of the newest earlier epoch that had one, if it is remembered.
    pub last_winner: Option<Hotkey>,
}

/// Computes an epoch: what its files say, and the weights that follow. The same inputs give the
/// same result on every machine, in whatever order they come.
pub fn epoch<F: Borrow<TaskVerdicts>>(inputs: &EpochInputs<'_, F>) -> (Outcome, Decision) {
    let outcome = outcome(inputs);
    let EpochInputs { params, snapshot, readable, last_winner, .. } = *inputs;
    let decision = decide(params, snapshot, &outcome, readable, last_winner);
    (outcome, decision)
}

fn outcome<F: Borrow<TaskVerdicts>>(inputs: &EpochInputs<'_, F>) -> Outcome {
    let EpochInputs { params, history, snapshot, .. } = *inputs;
    let range = WindowRange::new(params, history, snapshot.block);
    let in_time = InTime::select(&range, inputs.files, inputs.certificates);
    let held: Vec<HeldFile> = in_time.files.iter().map(|file| HeldFile::from(*file)).collect();
    let equivocators = range.equivocators(inputs.evidence);
    let canonical = canonical_files(params, history, &held, &in_time.certificates, &equivocators);
    let window = Window::select(&range, &canonical.files);

    let active_validators = window.active_validators();
    let required_distinct = required_validators(params, active_validators.len());
    let in_window: Vec<&TaskVerdicts> =
        window.files.iter().filter_map(|file| in_time.files.get(file.held?).copied()).collect();
    let aggregates = aggregate(&in_window);
    let ranking = rank(params, &aggregates, &snapshot.commit_blocks(), required_distinct);

    let mut left_out = canonical.left_out;
    left_out.extend(window.left_out);
    left_out.extend(in_time.left_out);
    left_out.sort_unstable();
    Outcome {
        epoch_block: snapshot.block,
        window: window.files.iter().map(|file| file.id).collect(),
        active_validators,
        required_distinct,
        aggregates,
        winner: ranking.winner().and_then(|hotkey| snapshot.slot_of(&hotkey)),
        ranks: ranking.ranks,
        ineligible: ranking.ineligible,
        missing: window.missing,
        left_out,
    }
}

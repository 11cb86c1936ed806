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
use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, ConsensusParams, FileId, Hotkey, Uid};

use crate::allocation::Slot;
use crate::decision::{Decision, Readable, decide};
use crate::rank::{Ineligible, Ranked, rank, required_validators};
use crate::window::{HeldFile, InTime, LeftOut, Window, WindowRange, canonical_files};
use crate::{Aggregates, AllowlistHistory, Certificates, TaskVerdicts, aggregate};

/// A miner of the subnet as the chain has it at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miner {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Its slot at that block.
    pub uid: Uid,
    /// The block of its model commitment; `None` if it cannot be told.
    pub commit_block: Option<BlockNumber>,
}

/// Everything that is read from the chain, all of it at the hash of one block: the epoch block.
/// Reading any of it later gives validators different answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSnapshot {
    /// The epoch block.
    pub block: BlockNumber,
    /// The subnet's neurons at that block, in any order.
    pub miners: Vec<Miner>,
    /// The subnet owner's slot, on which weight is burned; `None` if it is not known.
    pub owner: Option<Slot>,
}

impl EpochSnapshot {
    /// The slot of a hotkey; `None` if it has none. A chain lists no hotkey twice; a hand-made
    /// snapshot may, and then the lowest uid counts.
    #[must_use]
    pub fn slot_of(&self, hotkey: &Hotkey) -> Option<Slot> {
        let of_hotkey = self.miners.iter().filter(|miner| miner.hotkey == *hotkey);
        of_hotkey.map(|miner| miner.uid).min().map(|uid| Slot { hotkey: *hotkey, uid })
    }

    /// The commit block of each hotkey, by the same rule for one that is listed twice.
    fn commit_blocks(&self) -> BTreeMap<Hotkey, Option<BlockNumber>> {
        let mut lowest: BTreeMap<Hotkey, (Uid, Option<BlockNumber>)> = BTreeMap::new();
        for miner in &self.miners {
            let found = (miner.uid, miner.commit_block);
            let kept = lowest.entry(miner.hotkey).or_insert(found);
            *kept = found.min(*kept);
        }
        lowest.into_iter().map(|(hotkey, (_, block))| (hotkey, block)).collect()
    }
}

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

/// All that an epoch's files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The epoch block.
    pub epoch_block: BlockNumber,
    /// The window's tasks, oldest first, and who speaks for each.
    pub window: Vec<FileId>,
    /// The distinct producers of the window, sorted.
    pub active_validators: Vec<Hotkey>,
    /// How many distinct validators a miner needs.
    pub required_distinct: usize,
    /// All miners with a verdict in the window.
    pub aggregates: Aggregates,
    /// The eligible miners, the winner first.
    pub ranks: Vec<Ranked>,
    /// The others, sorted, each with its reason.
    pub ineligible: Vec<(Hotkey, Ineligible)>,
    /// The winner; `None` if no miner is eligible.
    pub winner: Option<Slot>,
    /// Certified files of the window that were not given. With any of these the outcome is not
    /// everybody's: fetch them and compute again.
    pub missing: Vec<FileId>,
    /// Files that have no part in the outcome, sorted, each with its reason.
    pub left_out: Vec<(FileId, LeftOut)>,
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

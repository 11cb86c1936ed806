//! The outcome of an epoch's files.

use leoma_protocol::{BlockNumber, FileId, Hotkey};

use crate::aggregate::Aggregates;
use crate::rank::{Ineligible, Ranked};
use crate::snapshot::Slot;
use crate::window::LeftOut;

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
    /// Files of the window that were not given, or whose certificates were not. With any of these
    /// nothing is added up: fetch them and compute again.
    pub missing: Vec<FileId>,
    /// Files that have no part in the outcome, sorted, each with its reason.
    pub left_out: Vec<(FileId, LeftOut)>,
}

//! A subnet as seen from outside.

use leoma_protocol::Hotkey;

use super::agreement::{Agreement, History};
use super::status::ValidatorStatus;
use crate::chain::Emissions;

/// A validator as seen from outside, at one moment.
#[derive(Clone, Debug)]
pub struct ValidatorView {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Whether its process runs.
    pub running: bool,
    /// Its last status.
    pub status: ValidatorStatus,
    /// The weights that it set so far.
    pub history: History,
}

/// A subnet as seen from outside, at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The newest block.
    pub block: u64,
    /// In the order of their uids.
    pub validators: Vec<ValidatorView>,
    /// The longest agreement so far.
    pub agreement: Option<Agreement>,
    /// What everyone earned in the chain's last epoch; `None` if that could not be read.
    pub emissions: Option<Emissions>,
}

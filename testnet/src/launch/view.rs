//! A subnet as seen from outside.

use leoma_protocol::Hotkey;

use super::agreement::{Agreement, History};
use super::mechanism::Mechanism;
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

/// A further mechanism as seen from outside.
#[derive(Clone, Debug)]
pub struct MechanismView {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// In the order of their uids.
    pub validators: Vec<ValidatorView>,
    /// The longest agreement so far.
    pub agreement: Option<Agreement>,
}

impl View {
    /// The number of consecutive epochs in which the validators agreed, of the mechanism with the
    /// fewest.
    pub fn epochs_agreed(&self) -> usize {
        let further = self.mechanisms.iter().map(|mechanism| &mechanism.agreement);
        let epochs = |agreement: &Option<Agreement>| {
            agreement.as_ref().map_or(0, |agreement| agreement.epochs.len())
        };
        [&self.agreement].into_iter().chain(further).map(epochs).min().unwrap_or(0)
    }
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
    /// The further mechanisms.
    pub mechanisms: Vec<MechanismView>,
    /// What everyone earned in the chain's last epoch; `None` if that could not be read.
    pub emissions: Option<Emissions>,
}

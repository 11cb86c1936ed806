//! Which weights to set, and how sure we are of them.
//!
//! | state | when | weights |
//! |---|---|---|
//! | known | the outcome was computed from enough files | all on the winner; burned if no miner is eligible |
//! | expected | files are missing, and the last winner is known | all on the last winner's slot at the epoch block; burned if it has none |
//! | unknown | files are missing and no winner is remembered, or the slot to burn on is not known | none |
//!
//! Only hotkeys are remembered from one epoch to the next: a slot that was the winner's yesterday
//! may be a stranger's today.

use leoma_protocol::{ConsensusParams, Hotkey};

use crate::allocation::{WeightVector, burn, pay};
use crate::rank::required_validators;
use crate::{EpochSnapshot, Outcome};

/// How many of the listed validators' files could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    /// Validators whose files were readable: from their bucket or from peers.
    pub readable: usize,
    /// Validators on the allowlist.
    pub listed: usize,
}

/// Why the weights are what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The winner of this epoch's window.
    #[error("won the window")]
    Won,
    /// Enough was read, and no miner may be ranked.
    #[error("no miner is eligible")]
    NoneEligible,
    /// Too few validators' files could be read.
    #[error("files of {readable} validators are readable, {required} are required")]
    TooFewReadable {
        /// How many could be read.
        readable: usize,
        /// As many as a miner needs to be ranked: a winner found from fewer files could not pass
        /// that gate at other validators.
        required: usize,
    },
    /// Certified files of the window are not held.
    #[error("{files} certified files of the window are missing")]
    MissingCertified {
        /// How many.
        files: usize,
    },
    /// The weight is to be burned, and the owner's slot at the epoch block is not known.
    #[error("the weight is to be burned, and the subnet owner's uid is not known")]
    NoOwnerSlot,
}

/// The weights of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision is for setting weights and for the log"]
pub enum Decision {
    /// Computed from this epoch's files.
    Known {
        /// The weights to set.
        weights: WeightVector,
        /// Why.
        reason: Reason,
    },
    /// The last winner again, in its slot of this epoch.
    Expected {
        /// The weights to set.
        weights: WeightVector,
        /// Why nothing better is known.
        reason: Reason,
    },
    /// No weights to set.
    Unknown {
        /// Why.
        reason: Reason,
    },
}

impl Decision {
    /// The weights; `None` if none are to be set.
    pub const fn weights(&self) -> Option<&WeightVector> {
        match self {
            Self::Known { weights, .. } | Self::Expected { weights, .. } => Some(weights),
            Self::Unknown { .. } => None,
        }
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Known { reason, .. }
            | Self::Expected { reason, .. }
            | Self::Unknown { reason } => *reason,
        }
    }

    /// `known`, `expected` or `unknown`, for logs.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Known { .. } => "known",
            Self::Expected { .. } => "expected",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The hotkey to remember as the last winner. Only a winner of the window is remembered; `None`
    /// leaves the memory as it is.
    pub fn winner_to_remember(&self) -> Option<Hotkey> {
        match self {
            Self::Known { weights, reason: Reason::Won } => Some(weights.heaviest()?.hotkey),
            _ => None,
        }
    }
}

/// Decides the weights of the epoch that `outcome` was computed for.
pub(crate) fn decide(
    params: &ConsensusParams,
    snapshot: &EpochSnapshot,
    outcome: &Outcome,
    files: Readable,
    last_winner: Option<Hotkey>,
) -> Decision {
    let decision = match (why_uncertain(params, outcome, files), outcome.winner, last_winner) {
        (None, Some(winner), _) => {
            Some(Decision::Known { weights: WeightVector::whole(winner), reason: Reason::Won })
        }
        (None, None, _) => {
            burn(snapshot).map(|weights| Decision::Known { weights, reason: Reason::NoneEligible })
        }
        (Some(reason), _, Some(hotkey)) => {
            pay(hotkey, snapshot).map(|weights| Decision::Expected { weights, reason })
        }
        (Some(reason), _, None) => Some(Decision::Unknown { reason }),
    };
    decision.unwrap_or(Decision::Unknown { reason: Reason::NoOwnerSlot })
}

fn why_uncertain(params: &ConsensusParams, outcome: &Outcome, files: Readable) -> Option<Reason> {
    let required = required_validators(params, files.listed);
    if files.readable < required {
        return Some(Reason::TooFewReadable { readable: files.readable, required });
    }
    let missing = outcome.missing.len();
    (missing > 0).then_some(Reason::MissingCertified { files: missing })
}

//! Which weights an epoch sets, or why it sets none.
//!
//! | decision | when | weights |
//! |---|---|---|
//! | set | every counted file is there | all on the winner, or shared by a policy record; burned if no miner is eligible |
//! | abstain | too few witnesses, a counted file or its allowlist missing, nowhere to burn, or a limit of the chain that no weights meet | none; what is on the chain stays |
//!
//! Nothing is remembered from one epoch to the next: a validator's memory is its own, and two
//! validators that remember differently would set different weights.

use crate::allocation::{WeightVector, burn};
use crate::{EpochSnapshot, Outcome};

/// Why weights are set as they are, or why none are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Set: the winner of this epoch's window.
    #[error("won the window")]
    Won,
    /// Set: each eligible miner's share by the policy record.
    #[error("shared by the record's rule")]
    Shared,
    /// Set: by the policy record no eligible miner earned anything, so all weight is burned.
    #[error("no eligible miner earned anything")]
    NothingEarned,
    /// Set: the witnesses are there, and no miner may be ranked.
    #[error("no miner is eligible")]
    NoneEligible,
    /// None: no allowlist is in force at the epoch block.
    #[error("no allowlist is in force at the epoch block")]
    NoAllowlist,
    /// None, by anybody: too few validators of the list in force at the epoch block witnessed in
    /// time.
    #[error("{fresh} validators witnessed this epoch on chain, {required} are required")]
    TooFewWitnesses {
        /// How many did.
        fresh: usize,
        /// One more than may be dishonest.
        required: usize,
    },
    /// None: witnesses name tasks whose allowlist we do not know. The subnet owner's record of past
    /// lists is missing or older than the epoch's lookback.
    #[error("{tasks} tasks that count were made under an allowlist that is not known here")]
    UnknownLists {
        /// How many.
        tasks: usize,
    },
    /// None yet: files that count are not held, or their certificates are not.
    #[error("{files} files that count are missing")]
    MissingFiles {
        /// How many; [`Outcome::missing`] names them.
        files: usize,
    },
    /// None: the weight is to be burned, and the owner's hotkey has no slot at the epoch block. Any
    /// other slot is an ordinary neuron's.
    #[error("the weight is to be burned, and the subnet owner has no uid at the epoch block")]
    NoOwnerSlot,
    /// None: the chain limits each weight to less than an equal share, so it would refuse them all.
    #[error(
        "the chain allows at most {max_weight} of 65535 for each weight, and only {weights} are \
         above zero"
    )]
    WeightLimit {
        /// The chain's limit.
        max_weight: u16,
        /// Weights above zero.
        weights: usize,
    },
}

/// The weights of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision is for setting weights and for the log"]
pub enum Decision {
    /// The weights that every honest validator sets, if it sets any.
    Set {
        /// The weights.
        weights: WeightVector,
        /// [`Reason::Won`], [`Reason::Shared`], [`Reason::NothingEarned`] or
        /// [`Reason::NoneEligible`].
        reason: Reason,
    },
    /// No weights.
    Abstain {
        /// Any other reason.
        reason: Reason,
    },
}

impl Decision {
    /// The weights; `None` if none are to be set.
    pub const fn weights(&self) -> Option<&WeightVector> {
        match self {
            Self::Set { weights, .. } => Some(weights),
            Self::Abstain { .. } => None,
        }
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Set { reason, .. } | Self::Abstain { reason } => *reason,
        }
    }

    /// Whether no rule has anything to add: nobody sets weights, or a counted file is missing.
    pub(crate) const fn is_withheld(&self) -> bool {
        match self.reason() {
            Reason::Won | Reason::Shared | Reason::NothingEarned | Reason::NoneEligible => false,
            // Only a rule knows whether anything is to be burned.
            Reason::NoOwnerSlot => false,
            Reason::NoAllowlist
            | Reason::TooFewWitnesses { .. }
            | Reason::UnknownLists { .. }
            | Reason::MissingFiles { .. }
            | Reason::WeightLimit { .. } => true,
        }
    }

    /// `set` or `abstain`, for logs.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Abstain { .. } => "abstain",
        }
    }
}

/// The weights that follow from an outcome. `witnessed` is the reason why nobody sets any, if there
/// is one.
pub(crate) fn decide(
    snapshot: &EpochSnapshot,
    outcome: &Outcome,
    witnessed: Result<(), Reason>,
) -> Decision {
    if let Err(reason) = witnessed {
        return Decision::Abstain { reason };
    }
    if !outcome.missing.is_empty() {
        return Decision::Abstain { reason: Reason::MissingFiles { files: outcome.missing.len() } };
    }
    if let Some(winner) = outcome.winner {
        return Decision::Set { weights: WeightVector::whole(winner), reason: Reason::Won };
    }
    burn(snapshot).map_or(Decision::Abstain { reason: Reason::NoOwnerSlot }, |weights| {
        Decision::Set { weights, reason: Reason::NoneEligible }
    })
}

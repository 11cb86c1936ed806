//! Which weights to set, and how sure we are of them.
//!
//! | state | when | weights |
//! |---|---|---|
//! | known | the outcome was computed from enough files | 1.0 on the winner, or on the burn uid where nobody is eligible |
//! | expected | files are missing, and the last winner is known | 1.0 on the last winner's slot at the epoch block, or on the burn uid where it has none |
//! | unknown | the chain cannot be read, or files are missing and no winner is remembered | none |
//!
//! Only hotkeys are remembered from one epoch to the next. A slot that was a winner's yesterday may
//! be a stranger's today.

use leoma_protocol::{BlockNumber, ConsensusParams, Hotkey, Uid};

use crate::policy::share_rounded_up;
use crate::{EpochSnapshot, Outcome};

/// How many of the listed validators' files could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    /// Validators whose files were readable: from their bucket or from peers.
    pub readable: usize,
    /// Validators on the allowlist.
    pub listed: usize,
}

impl Readable {
    /// As many as a miner needs to be ranked: the share of distinct validators, rounded up and at
    /// least one. A winner found from fewer could not stand before the others' gate.
    #[must_use]
    pub fn required(&self, params: &ConsensusParams) -> usize {
        share_rounded_up(self.listed, params.distinct_validators).max(1)
    }
}

/// What an epoch's weights are decided from.
#[derive(Clone, Copy, Debug)]
pub enum EpochView<'a> {
    /// The chain was read at the epoch block.
    Read {
        /// The chain at that block.
        snapshot: &'a EpochSnapshot,
        /// Computed from the same snapshot.
        outcome: &'a Outcome,
        /// Whose files went into it.
        files: Readable,
    },
    /// The chain could not be read at this epoch block.
    ChainUnreadable {
        /// The epoch block.
        block: BlockNumber,
    },
}

/// Where the weight goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A miner, in its slot at the epoch block.
    Miner {
        /// Its hotkey: what to remember.
        hotkey: Hotkey,
        /// Its slot: what to set, and to forget.
        uid: Uid,
    },
    /// Nobody.
    Burn {
        /// The slot whose incentive is withheld.
        uid: Uid,
    },
}

impl Target {
    /// The slot that gets the whole weight.
    #[must_use]
    pub const fn uid(&self) -> Uid {
        match self {
            Self::Miner { uid, .. } | Self::Burn { uid } => *uid,
        }
    }

    /// The vectors of `set_weights`: 1.0 on one slot.
    #[must_use]
    pub fn weights(&self) -> (Vec<u16>, Vec<u16>) {
        (vec![self.uid().0], vec![u16::MAX])
    }
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
        /// Readable.
        readable: usize,
        /// Required.
        required: usize,
    },
    /// Certified files of the window could not be had.
    #[error("{files} certified files of the window are missing")]
    MissingCertified {
        /// How many.
        files: usize,
    },
    /// The chain at the epoch block could not be read, so no slot is known.
    #[error("the chain is unreadable at the epoch block {block}")]
    ChainUnreadable {
        /// The epoch block.
        block: BlockNumber,
    },
}

/// The weights of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision is for setting weights and for the log"]
pub enum Decision {
    /// Computed from this epoch's files.
    Known {
        /// Where the weight goes.
        target: Target,
        /// Why.
        reason: Reason,
    },
    /// The last winner again, in its slot of this epoch.
    Expected {
        /// Where the weight goes.
        target: Target,
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
    /// Where the weight goes; `None` where none is to be set.
    #[must_use]
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Known { target, .. } | Self::Expected { target, .. } => Some(*target),
            Self::Unknown { .. } => None,
        }
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Known { reason, .. }
            | Self::Expected { reason, .. }
            | Self::Unknown { reason } => *reason,
        }
    }

    /// `known`, `expected` or `unknown`, for logs.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Known { .. } => "known",
            Self::Expected { .. } => "expected",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The hotkey to remember as the last winner. Only what is known is remembered; `None` leaves
    /// the memory as it is.
    #[must_use]
    pub const fn winner_to_remember(&self) -> Option<Hotkey> {
        match self {
            Self::Known { target: Target::Miner { hotkey, .. }, .. } => Some(*hotkey),
            _ => None,
        }
    }
}

/// Decides an epoch's weights. `burn_uid` is the slot of the subnet owner's hotkey at the epoch
/// block, usually 0.
pub fn decide_weights(
    params: &ConsensusParams,
    view: &EpochView<'_>,
    last_winner: Option<Hotkey>,
    burn_uid: Uid,
) -> Decision {
    let (snapshot, outcome, files) = match *view {
        EpochView::Read { snapshot, outcome, files } => (snapshot, outcome, files),
        EpochView::ChainUnreadable { block } => {
            return Decision::Unknown { reason: Reason::ChainUnreadable { block } };
        }
    };
    if let Some(reason) = why_uncertain(params, outcome, files) {
        return match last_winner {
            Some(hotkey) => {
                Decision::Expected { target: resolve(hotkey, snapshot, burn_uid), reason }
            }
            None => Decision::Unknown { reason },
        };
    }
    match outcome.winner {
        Some(winner) => Decision::Known {
            target: resolve(winner.hotkey, snapshot, burn_uid),
            reason: Reason::Won,
        },
        None => {
            Decision::Known { target: Target::Burn { uid: burn_uid }, reason: Reason::NoneEligible }
        }
    }
}

fn why_uncertain(params: &ConsensusParams, outcome: &Outcome, files: Readable) -> Option<Reason> {
    let required = files.required(params);
    if files.readable < required {
        return Some(Reason::TooFewReadable { readable: files.readable, required });
    }
    (!outcome.missing.is_empty())
        .then_some(Reason::MissingCertified { files: outcome.missing.len() })
}

/// The hotkey's slot in the snapshot. A miner that is gone gets nothing: leaving its weight in
/// place would pay whoever has its slot now.
fn resolve(hotkey: Hotkey, snapshot: &EpochSnapshot, burn_uid: Uid) -> Target {
    let slots =
        snapshot.miners.iter().filter(|miner| miner.hotkey == hotkey).map(|miner| miner.uid);
    slots.min().map_or(Target::Burn { uid: burn_uid }, |uid| Target::Miner { hotkey, uid })
}

//! Why an epoch's weights are not on the chain, and whether trying again within the epoch can help.

use leoma_chain::{ChainError, Rejection, Remedy};
use leoma_rotation::Reason;

use super::put::WeightsError;
use crate::state::StateError;
use crate::subnet::SubnetError;

/// Why an epoch's weights were not set.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The boundary could not be read.
    #[error(transparent)]
    Boundary(#[from] SubnetError),
    /// The weights are not on the chain.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The state could not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The rule sets no weights.
    #[error("no weights: {0}")]
    Abstained(Reason),
    /// Fetching its files took until the next epoch, whose weights are due now.
    #[error("the epoch ended before all its files were fetched")]
    Over,
}

/// Whether a fault that an operator or the chain's next epoch cures may be cured within this epoch:
/// a lost permit comes back with the stake.
const fn may_pass(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::NoPermit
            | Rejection::StakeTooLow
            | Rejection::NotRegistered
            | Rejection::CannotPay
    )
}

/// Whether trying again within the epoch cannot help.
pub(super) fn is_final(error: &EpochError) -> bool {
    match error {
        // The winner of the boundary does not get its slot back.
        EpochError::Weights(WeightsError::SlotChanged(_)) => true,
        EpochError::Weights(WeightsError::VersionTooOld { .. }) => true,
        EpochError::Weights(WeightsError::Submit(error)) => {
            error.rejection().is_some_and(|rejection| {
                rejection.remedy() == Remedy::Operator && !may_pass(rejection)
            })
        }
        // All but missing files follow from the boundary alone.
        EpochError::Abstained(reason) => !matches!(reason, Reason::MissingFiles { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use leoma_chain::SubmitError;

    use super::*;

    #[test]
    fn a11_a_permit_that_is_missing_is_asked_for_again_within_the_epoch() {
        let refused = |rejection| {
            is_final(&EpochError::Weights(WeightsError::Submit(SubmitError::Rejected {
                what: "set_weights",
                rejection,
            })))
        };
        for passing in [Rejection::NoPermit, Rejection::StakeTooLow, Rejection::NotRegistered] {
            assert!(!refused(passing.clone()), "{passing}");
        }
        assert!(refused(Rejection::VersionTooOld));
    }

    #[test]
    fn only_missing_files_are_tried_for_again() {
        let abstained = |reason| is_final(&EpochError::Abstained(reason));
        assert!(abstained(Reason::TooFewWitnesses { fresh: 1, required: 2 }));
        assert!(abstained(Reason::NoOwnerSlot) && abstained(Reason::NoAllowlist));
        assert!(!abstained(Reason::MissingFiles { files: 1 }));
    }
}

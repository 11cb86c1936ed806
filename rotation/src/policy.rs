//! What turns verdicts into weights, as a record: another subnet's rules would be another record,
//! not other code paths through the same names.

use leoma_protocol::{ConsensusParams, Fraction};
use serde::{Deserialize, Serialize};

/// The rules from verdicts to weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How one validator's verdicts on a miner become a number.
    pub fold: Fold,
    /// How the validators' numbers become the miner's, and what a miner must have to be ranked.
    pub peers: Peers,
    /// How the miners' numbers become weights.
    pub weights: WeightRule,
}

/// How one validator's verdicts on a miner become a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fold {
    /// Passed verdicts over all verdicts.
    PassRate,
}

/// How several validators' numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peers {
    /// The mean, each validator weighing the same however many tasks it sampled: sampling more buys
    /// no influence.
    PerValidatorMean {
        /// Share of the window's tasks with any verdict that must have one on the miner.
        completeness: Fraction,
        /// Share of the active validators, rounded up and at least one, that must have evaluated
        /// the miner.
        min_validators: Fraction,
    },
}

/// How numbers become weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightRule {
    /// All to one miner: the latest whose number is at least every earlier one's plus the
    /// dominance.
    WinnerTakeAll {
        /// The margin that protects earlier miners from copies.
        dominance: Fraction,
    },
}

impl Policy {
    /// The policy of the video mechanism.
    #[must_use]
    pub const fn video(params: &ConsensusParams) -> Self {
        Self {
            fold: Fold::PassRate,
            peers: Peers::PerValidatorMean {
                completeness: params.completeness,
                min_validators: params.distinct_validators,
            },
            weights: WeightRule::WinnerTakeAll { dominance: params.dominance },
        }
    }

    /// How many distinct validators must have evaluated a miner when `active` validators made the
    /// window.
    #[must_use]
    pub fn required_validators(&self, active: usize) -> usize {
        let Peers::PerValidatorMean { min_validators, .. } = self.peers;
        share_rounded_up(active, min_validators).max(1)
    }
}

/// `ceil(number * share)`.
pub(crate) fn share_rounded_up(number: usize, share: Fraction) -> usize {
    let product = number as u128 * u128::from(share.numerator);
    usize::try_from(product.div_ceil(u128::from(share.denominator.max(1)))).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_active_validators_rounded_up_and_at_least_one() {
        let policy = Policy::video(&ConsensusParams::default());
        let required: Vec<_> = (0..6).map(|active| policy.required_validators(active)).collect();
        assert_eq!(required, [1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_policy_is_data() {
        let policy = Policy::video(&ConsensusParams::default());
        let text = serde_json::to_string(&policy).unwrap();
        assert!(
            text.contains("WinnerTakeAll")
                && text.contains("PerValidatorMean")
                && text.contains("PassRate"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }
}

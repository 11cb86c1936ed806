//! Who wins.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Fraction, Hotkey};

use crate::policy::{Peers, Policy, WeightRule};
use crate::{Aggregates, MinerAggregate, Rate};

/// An eligible miner in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// From 1, the winner.
    pub rank: u32,
    /// The miner.
    pub miner: Hotkey,
    /// Its passed verdicts.
    pub passed: u32,
    /// Its rate.
    pub rate: Rate,
    /// When it committed; `None` where that is not known.
    pub commit_block: Option<BlockNumber>,
}

/// Why a miner that was evaluated is not ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ineligible {
    /// Not a miner of the subnet at the epoch block.
    #[error("not registered at the epoch block")]
    NotRegistered,
    /// Evaluated on too few tasks.
    #[error("evaluated on {tasks} of {existing} tasks")]
    Incomplete {
        /// Its tasks.
        tasks: u32,
        /// All tasks of the window that exist.
        existing: u32,
    },
    /// Evaluated by too few validators.
    #[error("evaluated by {validators} validators, {required} are required")]
    TooFewValidators {
        /// Its validators.
        validators: usize,
        /// How many it needs.
        required: usize,
    },
}

/// The order of a window's miners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// Eligible miners: the winner, then the rest by passes (most first), then by hotkey.
    pub ranks: Vec<Ranked>,
    /// The others, sorted by hotkey.
    pub ineligible: Vec<(Hotkey, Ineligible)>,
}

impl Ranking {
    /// The winner; `None` where no miner is eligible.
    #[must_use]
    pub fn winner(&self) -> Option<Hotkey> {
        self.ranks.first().map(|first| first.miner)
    }
}

/// Ranks miners. `registered` has the commit block of every miner of the subnet at the epoch block,
/// `None` for one whose block is unknown; such a miner comes after all others, so that an unknown
/// block is no advantage. A miner needs verdicts of `required_validators` distinct validators.
#[must_use]
pub fn rank(
    policy: &Policy,
    aggregates: &Aggregates,
    registered: &BTreeMap<Hotkey, Option<BlockNumber>>,
    required_validators: usize,
) -> Ranking {
    let mut ineligible = Vec::new();
    let mut eligible: Vec<(Option<BlockNumber>, &MinerAggregate)> =
        Vec::with_capacity(aggregates.miners.len());
    for aggregate in &aggregates.miners {
        match check(policy, aggregates, aggregate, registered, required_validators) {
            Ok(commit_block) => eligible.push((commit_block, aggregate)),
            Err(reason) => ineligible.push((aggregate.miner, reason)),
        }
    }
    ineligible.sort_unstable_by_key(|(miner, _)| *miner);
    eligible.sort_unstable_by_key(|(block, aggregate)| (block.is_none(), *block, aggregate.miner));
    let WeightRule::WinnerTakeAll { dominance } = policy.weights;
    let winner = dominant(eligible.iter().map(|(_, aggregate)| &aggregate.rate), dominance);
    let mut ordered: Vec<_> =
        eligible.iter().enumerate().map(|(index, miner)| (Some(index) != winner, *miner)).collect();
    ordered.sort_unstable_by_key(|(lost, (_, aggregate))| {
        (*lost, std::cmp::Reverse(aggregate.passed), aggregate.miner)
    });
    let ranks = (1..).zip(ordered).map(|(rank, (_, (commit_block, aggregate)))| Ranked {
        rank,
        miner: aggregate.miner,
        passed: aggregate.passed,
        rate: aggregate.rate.clone(),
        commit_block,
    });
    Ranking { ranks: ranks.collect(), ineligible }
}

fn check(
    policy: &Policy,
    aggregates: &Aggregates,
    aggregate: &MinerAggregate,
    registered: &BTreeMap<Hotkey, Option<BlockNumber>>,
    required_validators: usize,
) -> Result<Option<BlockNumber>, Ineligible> {
    let commit_block = *registered.get(&aggregate.miner).ok_or(Ineligible::NotRegistered)?;
    let Peers::PerValidatorMean { completeness, .. } = policy.peers;
    if !aggregate.is_complete(aggregates.existing_tasks, completeness) {
        return Err(Ineligible::Incomplete {
            tasks: aggregate.tasks,
            existing: aggregates.existing_tasks,
        });
    }
    let validators = aggregate.validators as usize;
    if validators < required_validators {
        return Err(Ineligible::TooFewValidators { validators, required: required_validators });
    }
    Ok(commit_block)
}

/// The index of the last rate that is at least every earlier one plus the margin. The first has no
/// earlier one.
fn dominant<'a>(rates: impl Iterator<Item = &'a Rate>, margin: Fraction) -> Option<usize> {
    let mut best: Option<&Rate> = None;
    let mut winner = None;
    for (index, rate) in rates.enumerate() {
        if best.is_none_or(|best| rate.beats(best, margin)) {
            winner = Some(index);
        }
        best = best.max(Some(rate));
    }
    winner
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::ConsensusParams;
    use proptest::prelude::*;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn miner(seed: u8, passed: u32, evaluated: u32) -> MinerAggregate {
        MinerAggregate {
            miner: hotkey(seed),
            rate: Rate::new(passed.into(), evaluated.into()),
            passed,
            evaluated,
            tasks: evaluated,
            validators: 1,
            first_tally: 0,
        }
    }

    /// Miners as (hotkey seed, passes of 20, commit block).
    fn ranking(miners: &[(u8, u32, Option<u64>)]) -> Vec<u8> {
        ranking_of(20, miners)
    }

    fn ranking_of(tasks: u32, miners: &[(u8, u32, Option<u64>)]) -> Vec<u8> {
        let policy = Policy::video(&ConsensusParams::default());
        let aggregates = Aggregates {
            existing_tasks: tasks,
            miners: miners.iter().map(|(seed, passed, _)| miner(*seed, *passed, tasks)).collect(),
            ..Aggregates::default()
        };
        let registered =
            miners.iter().map(|(seed, _, block)| (hotkey(*seed), block.map(BlockNumber))).collect();
        rank(&policy, &aggregates, &registered, 1)
            .ranks
            .iter()
            .map(|ranked| ranked.miner.as_bytes()[0])
            .collect()
    }

    #[test]
    fn the_later_miner_wins_with_exactly_the_margin_and_not_with_less() {
        assert_eq!(ranking(&[(1, 2, Some(10)), (2, 3, Some(20))]), [2, 1]);
        assert_eq!(ranking(&[(1, 2, Some(10)), (2, 2, Some(20))]), [1, 2]);
        // Against every earlier one, not only against the winner so far.
        assert_eq!(ranking(&[(1, 10, Some(10)), (2, 10, Some(20)), (3, 11, Some(30))]), [3, 1, 2]);
        assert_eq!(ranking(&[(1, 5, Some(10)), (2, 9, Some(20)), (3, 9, Some(30))])[0], 2);
    }

    #[test]
    fn one_commit_block_is_ordered_by_hotkey_and_an_unknown_one_comes_last() {
        assert_eq!(ranking(&[(2, 10, Some(10)), (1, 10, Some(10))])[0], 1);
        assert_eq!(ranking(&[(1, 10, None), (2, 10, Some(u64::MAX))])[0], 2);
        assert_eq!(ranking(&[(1, 11, None), (2, 10, Some(u64::MAX))])[0], 1);
    }

    #[test]
    fn the_rest_follow_by_passes_then_hotkey() {
        assert_eq!(
            ranking(&[(4, 20, Some(1)), (1, 5, Some(2)), (3, 7, Some(3)), (2, 7, Some(4))]),
            [4, 2, 3, 1]
        );
    }

    #[test]
    fn each_gate_names_its_reason() {
        let policy = Policy::video(&ConsensusParams::default());
        let aggregates = Aggregates {
            existing_tasks: 20,
            miners: vec![miner(1, 20, 20), miner(2, 15, 15), miner(3, 16, 16)],
            ..Aggregates::default()
        };
        let registered = [2, 3].map(|seed| (hotkey(seed), None)).into();
        let found = rank(&policy, &aggregates, &registered, 1);
        assert_eq!(found.winner(), Some(hotkey(3)));
        let reasons = [
            (hotkey(1), Ineligible::NotRegistered),
            (hotkey(2), Ineligible::Incomplete { tasks: 15, existing: 20 }),
        ];
        assert_eq!(found.ineligible, reasons);
        let strict = rank(&policy, &aggregates, &registered, 2);
        assert_eq!(strict.winner(), None);
        assert_eq!(
            strict.ineligible[2].1,
            Ineligible::TooFewValidators { validators: 1, required: 2 }
        );
    }

    proptest! {
        #[test]
        fn the_winner_is_the_latest_that_dominates_all_before_it(passes in prop::collection::vec(0u32..=40, 1..12)) {
            let miners: Vec<_> = passes.iter().enumerate().map(|(n, passed)| (n as u8, *passed, Some(n as u64))).collect();
            let expected = (0..passes.len()).rev().find(|later| (0..*later).all(|earlier| passes[*later] >= passes[earlier] + 2));
            // Two of 40 tasks are the margin, so that one more pass raises the bar without winning.
            prop_assert_eq!(Some(ranking_of(40, &miners)[0] as usize), expected);
        }
    }
}

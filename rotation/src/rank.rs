//! Who is ranked, and who wins.
//!
//! | step | rule | here |
//! |---|---|---|
//! | 1 | a miner is eligible if it is registered, was evaluated on enough of the tasks, and by enough validators | `Gates::admit` |
//! | 2 | the eligible ones stand in the order of their commitments | `by_commitment` |
//! | 3 | the last whose rate is at least every earlier rate plus the dominance wins: a copy of an earlier model must be better by that margin | `dominant` |
//! | 4 | the winner is followed by the others in the order of their passes | `Candidate::by_passes` |

use std::cmp::Ordering;
use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, ConsensusParams, Hotkey};

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
    /// When it committed; `None` if that is not known.
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
    /// The winner; `None` if no miner is eligible.
    pub fn winner(&self) -> Option<Hotkey> {
        self.ranks.first().map(|first| first.miner)
    }
}

/// Ranks miners. `registered` has the commit block of every miner of the subnet at the epoch block,
/// `None` if it is unknown. A miner needs verdicts of `required_validators` distinct validators.
#[must_use]
pub fn rank(
    params: &ConsensusParams,
    aggregates: &Aggregates,
    registered: &BTreeMap<Hotkey, Option<BlockNumber>>,
    required_validators: usize,
) -> Ranking {
    let gates = Gates { params, existing_tasks: aggregates.existing_tasks, required_validators };
    let mut eligible = Vec::with_capacity(aggregates.miners.len());
    let mut ineligible = Vec::new();
    for aggregate in &aggregates.miners {
        match gates.admit(aggregate, registered) {
            Ok(candidate) => eligible.push(candidate),
            Err(reason) => ineligible.push((aggregate.miner, reason)),
        }
    }
    ineligible.sort_unstable_by_key(|(miner, _)| *miner);

    eligible.sort_unstable_by(Candidate::by_commitment);
    let rates = eligible.iter().map(|candidate| &candidate.aggregate.rate);
    let beats = |rate: &Rate, best: &Rate| rate.beats(best, params.dominance);
    let winner = dominant(rates, beats).map(|index| eligible.remove(index));
    eligible.sort_unstable_by(Candidate::by_passes);

    let in_order = winner.into_iter().chain(eligible);
    let ranks = (1..).zip(in_order).map(|(rank, candidate)| candidate.ranked(rank)).collect();
    Ranking { ranks, ineligible }
}

/// How many distinct validators must have evaluated a miner if `number` validators could have: the
/// share of the constants, rounded up and at least one.
#[must_use]
pub fn required_validators(params: &ConsensusParams, number: usize) -> usize {
    let share = params.distinct_validators;
    let parts = number as u128 * u128::from(share.numerator);
    let required = parts.div_ceil(u128::from(share.denominator.max(1))).max(1);
    usize::try_from(required).unwrap_or(usize::MAX)
}

/// What a miner must have to be ranked.
struct Gates<'a> {
    params: &'a ConsensusParams,
    existing_tasks: u32,
    required_validators: usize,
}

impl Gates<'_> {
    fn admit<'a>(
        &self,
        aggregate: &'a MinerAggregate,
        registered: &BTreeMap<Hotkey, Option<BlockNumber>>,
    ) -> Result<Candidate<'a>, Ineligible> {
        let commit_block = *registered.get(&aggregate.miner).ok_or(Ineligible::NotRegistered)?;
        let (tasks, existing) = (aggregate.tasks, self.existing_tasks);
        if !aggregate.is_complete(existing, self.params.completeness) {
            return Err(Ineligible::Incomplete { tasks, existing });
        }
        let (validators, required) = (aggregate.validators as usize, self.required_validators);
        if validators < required {
            return Err(Ineligible::TooFewValidators { validators, required });
        }
        Ok(Candidate { aggregate, commit_block })
    }
}

/// The oldest commitment first. An unknown block comes last, so that hiding it is no advantage; the
/// hotkey decides between equal blocks.
pub(crate) fn by_commitment(
    one: (Option<BlockNumber>, &Hotkey),
    other: (Option<BlockNumber>, &Hotkey),
) -> Ordering {
    let known_first = one.0.is_none().cmp(&other.0.is_none());
    known_first.then(one.cmp(&other))
}

/// A miner that passed the gates.
struct Candidate<'a> {
    aggregate: &'a MinerAggregate,
    commit_block: Option<BlockNumber>,
}

impl Candidate<'_> {
    fn by_commitment(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (&self.aggregate.miner, &other.aggregate.miner);
        by_commitment((self.commit_block, ours), (other.commit_block, theirs))
    }

    /// Most passed verdicts first; the hotkey decides between equal numbers.
    fn by_passes(&self, other: &Self) -> Ordering {
        let most_first = other.aggregate.passed.cmp(&self.aggregate.passed);
        most_first.then_with(|| self.by_hotkey(other))
    }

    fn by_hotkey(&self, other: &Self) -> Ordering {
        self.aggregate.miner.cmp(&other.aggregate.miner)
    }

    fn ranked(&self, rank: u32) -> Ranked {
        let MinerAggregate { miner, passed, ref rate, .. } = *self.aggregate;
        Ranked { rank, miner, passed, rate: rate.clone(), commit_block: self.commit_block }
    }
}

/// The index of the last candidate that beats all before it; the first has none to beat. `None`
/// without candidates.
pub(crate) fn dominant<'a, T: Ord + 'a>(
    in_order: impl Iterator<Item = &'a T>,
    beats: impl Fn(&T, &T) -> bool,
) -> Option<usize> {
    let mut best: Option<&T> = None;
    let mut winner = None;
    for (index, this) in in_order.enumerate() {
        if best.is_none_or(|best| beats(this, best)) {
            winner = Some(index);
        }
        best = best.max(Some(this));
    }
    winner
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let params = ConsensusParams::default();
        let aggregates = Aggregates {
            existing_tasks: tasks,
            miners: miners.iter().map(|(seed, passed, _)| miner(*seed, *passed, tasks)).collect(),
            ..Aggregates::default()
        };
        let registered =
            miners.iter().map(|(seed, _, block)| (hotkey(*seed), block.map(BlockNumber))).collect();
        rank(&params, &aggregates, &registered, 1)
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
    fn half_of_the_active_validators_rounded_up_and_at_least_one() {
        let params = ConsensusParams::default();
        let required: Vec<_> = (0..6).map(|active| required_validators(&params, active)).collect();
        assert_eq!(required, [1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn each_gate_names_its_reason() {
        let params = ConsensusParams::default();
        let aggregates = Aggregates {
            existing_tasks: 20,
            miners: vec![miner(1, 20, 20), miner(2, 15, 15), miner(3, 16, 16)],
            ..Aggregates::default()
        };
        let registered = [2, 3].map(|seed| (hotkey(seed), None)).into();
        let found = rank(&params, &aggregates, &registered, 1);
        assert_eq!(found.winner(), Some(hotkey(3)));
        let reasons = [
            (hotkey(1), Ineligible::NotRegistered),
            (hotkey(2), Ineligible::Incomplete { tasks: 15, existing: 20 }),
        ];
        assert_eq!(found.ineligible, reasons);
        let strict = rank(&params, &aggregates, &registered, 2);
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

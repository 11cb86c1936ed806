//! From the scores of a pool to each miner's share of it, exact.

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use crate::rank::dominant;
use crate::record::{WeightRule, exact};
use crate::score::Score;

/// Each miner's share of a pool. Scores come with the oldest commitment first, `None` for a miner
/// that nobody observed. The shares sum to one, or are all zero: such a pool is burned and never
/// handed to another.
pub(crate) fn shares(rule: WeightRule, scores: &[Option<Score>]) -> Vec<BigRational> {
    let parts = match rule {
        WeightRule::WinnerTakeAll { dominance } => winner_take_all(scores, &exact(dominance)),
        WeightRule::Proportional => above(scores, &BigRational::zero()),
        WeightRule::MinMax => min_max(scores),
    };
    let sum: BigRational = parts.iter().sum();
    if sum.is_zero() {
        return parts;
    }
    parts.into_iter().map(|part| part / &sum).collect()
}

fn winner_take_all(scores: &[Option<Score>], margin: &BigRational) -> Vec<BigRational> {
    let observed: Vec<usize> = (0..scores.len()).filter(|index| scores[*index].is_some()).collect();
    let in_order = observed.iter().filter_map(|index| scores[*index].as_ref());
    let beats = |score: &Score, best: &Score| score.0 >= &best.0 + margin;
    let winner = dominant(in_order, beats).map(|place| observed[place]);
    let part = |index| {
        if Some(index) == winner { BigRational::one() } else { BigRational::zero() }
    };
    (0..scores.len()).map(part).collect()
}

fn min_max(scores: &[Option<Score>]) -> Vec<BigRational> {
    let observed = || scores.iter().flatten();
    match (observed().min(), observed().max()) {
        (Some(least), Some(most)) if least < most => above(scores, &least.0),
        _ => above(scores, &BigRational::zero()),
    }
}

/// How far each score is above `floor`; zero for one that is below it.
fn above(scores: &[Option<Score>], floor: &BigRational) -> Vec<BigRational> {
    let part = |score: &Option<Score>| {
        let above = score.as_ref().map(|score| &score.0 - floor);
        above.filter(Signed::is_positive).unwrap_or_else(BigRational::zero)
    };
    scores.iter().map(part).collect()
}

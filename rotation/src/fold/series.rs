//! One validator's observations of one miner, and what each fold makes of them.

use leoma_protocol::verdict::Observation;
use leoma_protocol::{BlockNumber, Fraction, Nano};

use super::exp::logistic;
use crate::record::{Coverage, Fold, Pool, SignedFraction};

const PARTS: i128 = Nano::PARTS as i128;

/// The values of one validator on one miner in one pool, by task ascending.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Whether there was an observation, even one without values.
    is_observed: bool,
    seen: Vec<Seen>,
    /// The sums of the counts that the fold reads, in the order of their names.
    counts: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The first block of its task.
    start: BlockNumber,
    value: Option<Nano>,
}

impl Seen {
    /// Whether its task begins less than `blocks` blocks before the epoch block.
    fn is_within(&self, blocks: u64, epoch_block: BlockNumber) -> bool {
        self.start.0.saturating_add(blocks) > epoch_block.0
    }
}

impl Series {
    /// Returns itself, and adds its miner to those observed, once until it is cleared.
    pub(super) fn observe(&mut self, miner: usize, observed: &mut Vec<usize>) -> &mut Self {
        if !std::mem::replace(&mut self.is_observed, true) {
            observed.push(miner);
        }
        self
    }

    pub(super) fn push(&mut self, fold: &Fold, start: BlockNumber, observation: &Observation) {
        self.seen.extend(observation.values.iter().map(|value| Seen { start, value: *value }));
        let Fold::Latest { bonus } = fold else { return };
        self.counts.resize(bonus.len(), 0);
        for (sum, name) in self.counts.iter_mut().zip(bonus.keys()) {
            *sum += u64::from(observation.count(name));
        }
    }

    pub(super) fn push_value(&mut self, start: BlockNumber, value: Nano) {
        self.seen.push(Seen { start, value: Some(value) });
    }

    /// Forgets everything, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.is_observed = false;
        self.seen.clear();
        self.counts.clear();
    }

    /// The score, in parts of 10⁹.
    pub(super) fn fold(&self, pool: &Pool, epoch_block: BlockNumber) -> i128 {
        let value = |seen: &Seen| i128::from(seen.value.unwrap_or(pool.missing).0);
        let values = self.seen.iter().map(value);
        match &pool.fold {
            // Passes are counted by the aggregate; they are not observations.
            Fold::PassRate => 0,
            Fold::Ema { alpha, init } => ema(values, *alpha, *init),
            Fold::RankCells { alpha, .. } => ema(values, *alpha, Nano::ZERO),
            Fold::WindowMean { last, coverage } => {
                window_mean(&self.seen, usize::from(*last), *coverage)
            }
            Fold::Sum { blocks } => {
                let within = self.seen.iter().filter(|seen| seen.is_within(*blocks, epoch_block));
                within.map(value).sum()
            }
            Fold::CountTimesEma { blocks, alpha, init, accept } => {
                let is_good = |seen: &&Seen| {
                    seen.is_within(*blocks, epoch_block) && value(seen) >= i128::from(accept.0)
                };
                let number = self.seen.iter().filter(is_good).count();
                number as i128 * ema(values, *alpha, *init)
            }
            Fold::Latest { bonus } => {
                let newest = self.seen.iter().rev().find_map(|seen| seen.value);
                let worth = |(count, rate): (&u64, &SignedFraction)| {
                    let parts = i128::from(*count) * i128::from(rate.numerator) * PARTS;
                    divide(parts, rate.denominator.max(1).into())
                };
                let worth: i128 = self.counts.iter().zip(bonus.values()).map(worth).sum();
                (i128::from(newest.unwrap_or(Nano::ZERO).0) + worth).max(0)
            }
        }
    }
}

/// `s ← s + ⌊(x - s) · alpha⌋` for each value.
fn ema(values: impl Iterator<Item = i128>, alpha: Fraction, init: Nano) -> i128 {
    let (numerator, denominator) =
        (i128::from(alpha.numerator), i128::from(alpha.denominator.max(1)));
    values.fold(init.0.into(), |average, value| {
        average + divide((value - average) * numerator, denominator)
    })
}

/// `⌊dividend / divisor⌋` for a divisor above zero; most fit 64 bits, where a division is several
/// times as fast.
fn divide(dividend: i128, divisor: i128) -> i128 {
    match (i64::try_from(dividend), i64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) => dividend.div_euclid(divisor).into(),
        _ => dividend.div_euclid(divisor),
    }
}

fn window_mean(seen: &[Seen], last: usize, coverage: Option<Coverage>) -> i128 {
    let newest = &seen[seen.len().saturating_sub(last)..];
    let present = newest.iter().filter_map(|seen| seen.value);
    let (number, sum) = present
        .fold((0i128, 0i128), |(number, sum), value| (number + 1, sum + i128::from(value.0)));
    if number == 0 {
        return 0;
    }
    let mean = divide(sum, number);
    let Some(Coverage { mid, width }) = coverage else { return mean };
    let [mid_n, mid_d] = [mid.numerator, mid.denominator.max(1)].map(i128::from);
    let [width_n, width_d] = [width.numerator.max(1), width.denominator].map(i128::from);
    let all = newest.len() as i128;
    // (number/all - mid) / width, multiplied out: at most 2^17 · 2^32 · 2^30 · 2^20.
    let above = (number * mid_d - mid_n * all) * PARTS * width_d;
    let argument = above.div_euclid(all * mid_d * width_n);
    let limit = i128::from(i64::MAX);
    let factor = logistic(Nano(argument.clamp(-limit, limit) as i64));
    (mean * i128::from(factor.0)).div_euclid(PARTS)
}

//! From observations to one score for each miner, in exact integers.
//!
//! | step | rule | where |
//! |---|---|---|
//! | 1 | each validator's observations of a miner in one pool, by task ascending | `sheet.rs` |
//! | 2 | one score from them, by the pool's fold | `series.rs` |
//! | | forecasts are ranked against the truth before | `rank_cells.rs` |
//! | 3 | the mean over the validators that observed the miner, rounded down | here |
//!
//! Each validator weighs the same however many tasks it sampled. Producers compute powers and
//! sigmoids of what they measured; here only `exp.rs` computes one, in integers.

mod exp;
mod rank_cells;
mod series;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Hotkey, Nano};

use crate::TaskObservations;
use crate::record::Pool;
use rank_cells::Forecasts;
use series::Series;
use sheet::Sheet;

/// The scores of one pool in parts of 10⁹, in the order of `miners`: those that count, the oldest
/// commitment first. Files may come in any order. `None` for a miner that nobody observed here.
pub(crate) fn scores(
    pool: &Pool,
    files: &[&TaskObservations],
    miners: &[Hotkey],
    epoch_block: BlockNumber,
) -> Vec<Option<i128>> {
    let mut by_validator = files.to_vec();
    by_validator.sort_unstable_by_key(|file| (file.id.producer, file.id.task_id, file.digest));
    let mut by_hotkey: Vec<(Hotkey, usize)> = miners.iter().copied().zip(0..).collect();
    by_hotkey.sort_unstable();
    let sheets: Vec<Sheet<'_>> =
        by_validator.iter().map(|file| Sheet::new(pool, file, &by_hotkey)).collect();

    let forecasts = Forecasts::of(&pool.fold, &sheets);
    let mut series: Vec<Series> = miners.iter().map(|_| Series::default()).collect();
    let mut sums = vec![Sum::default(); miners.len()];
    let mut observed = Vec::with_capacity(miners.len());
    for of_validator in sheets.chunk_by(|a, b| a.file.id.producer == b.file.id.producer) {
        for sheet in of_validator {
            let start = sheet.file.start;
            let ranked = forecasts.as_ref().map(|forecasts| forecasts.rank(sheet));
            for (miner, value) in ranked.iter().flatten() {
                series[*miner].observe(*miner, &mut observed).push_value(start, *value);
            }
            let rows = if ranked.is_none() { &sheet.rows[..] } else { &[] };
            for (miner, observation) in rows {
                let of_miner = series[*miner].observe(*miner, &mut observed);
                of_miner.push(&pool.fold, start, observation);
            }
        }
        for miner in observed.drain(..) {
            sums[miner].add(series[miner].fold(pool, epoch_block));
            series[miner].clear();
        }
    }
    sums.iter().map(Sum::mean).collect()
}

/// What the forecasts of a pool are ranked against: the price at each moment that enough validators
/// read, in seconds since 1970. Empty for a pool of anything else.
pub(crate) fn truth(pool: &Pool, files: &[&TaskObservations]) -> BTreeMap<u64, Nano> {
    let sheets: Vec<Sheet<'_>> = files.iter().map(|file| Sheet::new(pool, file, &[])).collect();
    Forecasts::of(&pool.fold, &sheets).map(|forecasts| forecasts.truth).unwrap_or_default()
}

/// The scores that validators give one miner.
#[derive(Clone, Copy, Default)]
struct Sum {
    total: i128,
    validators: i128,
}

impl Sum {
    fn add(&mut self, score: i128) {
        self.total += score;
        self.validators += 1;
    }

    fn mean(&self) -> Option<i128> {
        (self.validators > 0).then(|| self.total.div_euclid(self.validators))
    }
}

//! Forecasts against the truth.
//!
//! | step | rule |
//! |---|---|
//! | truth | at a moment the lower median of what distinct producers read; of the window's `n` producers at least half, rounded up, must have read it, and at least `2f + 1` where `f = ⌊(n - 1)/3⌋` may lie, so that the median lies between honest readings; of one producer's readings the newest counts |
//! | forecast | counts if its file was signed in time, and all of the file's forecasts begin at one moment |
//! | cell | one moment of one task; it exists when the truths of its moment and of the beginning do |
//! | rank | right directions by error, then wrong ones by error; equal errors by commitment; no forecast is the last place |
//! | value | miners in the order of their summed ranks, equal sums by commitment: place `k` from zero on gets `e^-(k · rate)`; nothing beyond the places, or for who forecast nothing |
//!
//! No clock takes part. Moments are counts in signed files, and the truth is another validator's
//! observation, so anyone can repeat the join.

use std::collections::{BTreeMap, BTreeSet};

use leoma_protocol::verdict::{Name, Observation};
use leoma_protocol::{Hotkey, Nano, TaskId, faulty};

use super::exp::exp_neg;
use super::sheet::Sheet;
use crate::record::Fold;

/// The count that says at which moment an observation begins, in seconds since 1970.
const MOMENT: &str = "t0";

/// What is needed to rank a file's forecasts.
pub(super) struct Forecasts {
    step_s: u64,
    deadline_blocks: u64,
    cells: usize,
    /// What each place gets.
    places: Vec<Nano>,
    pub(super) truth: BTreeMap<u64, Nano>,
    moment: Option<Name>,
}

/// Binary places of a row's number; files have at most 1024 rows.
const ROW_BITS: u32 = 16;
/// Errors below this fit beside a row and a direction into 64 bits.
const SMALL_ERROR: u64 = 1 << (63 - ROW_BITS);

/// One forecast in a cell.
#[derive(Clone, Copy)]
struct Forecast {
    is_wrong: bool,
    error: u64,
    /// Its row, where rows are in the order of commitments.
    row: u16,
}

impl Forecast {
    /// Its place in the cell as one number, the best lowest: right before wrong, then by error, then
    /// by commitment. One comparison is several times as fast as three.
    fn place(self) -> u128 {
        u128::from(self.is_wrong) << 127 | u128::from(self.error) << ROW_BITS | u128::from(self.row)
    }

    /// The same order in half the bits, for a small error.
    fn small_place(self) -> u64 {
        u64::from(self.is_wrong) << 63 | self.error << ROW_BITS | u64::from(self.row)
    }
}

/// Adds each forecast's rank in the cell, from one on, to its row's sum.
fn add_ranks(cell: &[Forecast], sums: &mut [u64]) {
    let mut add = |rows: &mut dyn Iterator<Item = u16>| {
        for (rank, row) in (1..).zip(rows) {
            sums[usize::from(row)] += rank;
        }
    };
    if cell.iter().all(|forecast| forecast.error < SMALL_ERROR) {
        let mut places: Vec<u64> = cell.iter().map(|one| one.small_place()).collect();
        places.sort_unstable();
        add(&mut places.into_iter().map(|place| place as u16));
    } else {
        let mut places: Vec<u128> = cell.iter().map(|one| one.place()).collect();
        places.sort_unstable();
        add(&mut places.into_iter().map(|place| place as u16));
    }
}

impl Forecasts {
    /// `None` for another fold.
    pub(super) fn of(fold: &Fold, sheets: &[Sheet<'_>]) -> Option<Self> {
        let Fold::RankCells { truth, step_s, deadline_blocks, cells, rate, last, .. } = fold else {
            return None;
        };
        let moment = MOMENT.parse().ok();
        let step_s = u64::from(*step_s);
        let place = |place: u16| {
            // Below 2^78. An exponent too large for a `Nano` earns nothing, as the largest that
            // fits does.
            let parts = u128::from(place)
                * u128::from(rate.numerator)
                * u128::from(Nano::PARTS.unsigned_abs());
            let power = parts / u128::from(rate.denominator.max(1));
            exp_neg(Nano(i64::try_from(power).unwrap_or(i64::MAX)))
        };
        Some(Self {
            step_s,
            deadline_blocks: *deadline_blocks,
            cells: usize::from(*cells),
            places: (0..*last).map(place).collect(),
            truth: read_truth(sheets, truth, moment, step_s),
            moment,
        })
    }

    /// What each miner of a file gets for its forecasts; nothing for anyone while no cell exists.
    pub(super) fn rank(&self, sheet: &Sheet<'_>) -> Vec<(usize, Nano)> {
        let deadline = sheet.file.start.0.saturating_add(self.deadline_blocks);
        let begin = sheet.rows.first().and_then(|(_, first)| begin_of(first, self.moment));
        let Some(begin) = begin.filter(|_| sheet.file.signed_at.0 <= deadline) else {
            return Vec::new();
        };
        let is_same = |(_, row): &(usize, &Observation)| begin_of(row, self.moment) == Some(begin);
        let Some(before) = self.truth.get(&begin).filter(|_| sheet.rows.iter().all(is_same)) else {
            return Vec::new();
        };
        // Equal errors and equal sums go by commitment, which is the miners' order.
        let mut rows = sheet.rows.clone();
        rows.sort_unstable_by_key(|(miner, _)| *miner);
        let mut sums = vec![0u64; rows.len()];
        let mut has_forecast = vec![false; rows.len()];
        let mut exists = false;
        let mut cell: Vec<Forecast> = Vec::with_capacity(rows.len());
        for step in 0..self.cells {
            let moment = begin + (step as u64 + 1) * self.step_s;
            let Some(after) = self.truth.get(&moment) else { continue };
            exists = true;
            cell.clear();
            for (row, (_, observation)) in (0u16..).zip(&rows) {
                let index = usize::from(row);
                let Some(forecast) = observation.values.get(step).copied().flatten() else {
                    sums[index] += rows.len() as u64;
                    continue;
                };
                has_forecast[index] = true;
                let is_wrong = (before >= after) != (*before >= forecast);
                let error = forecast.0.abs_diff(after.0);
                cell.push(Forecast { is_wrong, error, row });
            }
            add_ranks(&cell, &mut sums);
        }
        if !exists {
            return Vec::new();
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| sums[*row]);
        let value = |(place, row): (usize, usize)| {
            let earned = self.places.get(place).copied().filter(|_| has_forecast[row]);
            (rows[row].0, earned.unwrap_or(Nano::ZERO))
        };
        order.into_iter().enumerate().map(value).collect()
    }
}

/// When an observation begins; `None` if it does not say, as a count of zero cannot.
fn begin_of(observation: &Observation, moment: Option<Name>) -> Option<u64> {
    let begin = u64::from(observation.count(&moment?));
    (begin > 0).then_some(begin)
}

fn read_truth(
    sheets: &[Sheet<'_>],
    pool: &Name,
    moment: Option<Name>,
    step_s: u64,
) -> BTreeMap<u64, Nano> {
    let producers: BTreeSet<Hotkey> = sheets.iter().map(|sheet| sheet.file.id.producer).collect();
    let mut readings: BTreeMap<u64, BTreeMap<Hotkey, (TaskId, Nano)>> = BTreeMap::new();
    for sheet in sheets {
        let id = sheet.file.id;
        let Some(reading) = sheet.file.reading(pool) else { continue };
        let Some(begin) = begin_of(reading, moment) else { continue };
        for (bar, value) in (0..).zip(&reading.values) {
            let Some(value) = *value else { continue };
            let of_moment = readings.entry(begin + bar * step_s).or_default();
            let newest = of_moment.entry(id.producer).or_insert((id.task_id, value));
            *newest = (*newest).max((id.task_id, value));
        }
    }
    // With fewer readers the liars among them could be the lower half of all.
    let required = producers.len().div_ceil(2).max(2 * faulty(producers.len()) + 1);
    let median = |(moment, of_moment): (u64, BTreeMap<Hotkey, (TaskId, Nano)>)| {
        let mut values: Vec<Nano> = of_moment.into_values().map(|(_, value)| value).collect();
        values.sort_unstable();
        let lower = values.len().checked_sub(1)? / 2;
        (values.len() >= required).then(|| (moment, values[lower]))
    };
    readings.into_iter().filter_map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::Fraction;
    use proptest::prelude::*;

    #[test]
    fn the_steepest_rate_overflows_nowhere_and_pays_the_first_place_alone() {
        let places = |rate: Fraction| {
            let fold = Fold::RankCells {
                truth: "close".parse().unwrap(),
                step_s: 300,
                deadline_blocks: 5,
                cells: 6,
                rate,
                last: 1000,
                alpha: Fraction { numerator: 1, denominator: 20 },
            };
            Forecasts::of(&fold, &[]).unwrap().places
        };
        let steepest = places(Fraction { numerator: i32::MAX as u32, denominator: 1 });
        assert_eq!((steepest.len(), steepest[0]), (1000, Nano::ONE));
        assert!(steepest[1..].iter().all(|earned| *earned == Nano::ZERO), "{steepest:?}");
        let gentle = places(Fraction { numerator: 1, denominator: 20 });
        assert_eq!(gentle[1], Nano(951_229_425));
        assert!(steepest.is_sorted_by(|a, b| a >= b) && gentle.is_sorted_by(|a, b| a >= b));
    }

    proptest! {
        /// A forecast that is far off is last, and moves nobody before it. With it the places of a
        /// cell take twice the bits.
        #[test]
        fn ranks_are_the_same_in_either_width(
            found in prop::collection::vec((any::<bool>(), 0u64..4), 0..40),
        ) {
            let mut cell: Vec<Forecast> = (0u16..)
                .zip(found)
                .map(|(row, (is_wrong, error))| Forecast { is_wrong, error, row })
                .collect();
            let mut narrow = vec![0; cell.len() + 1];
            add_ranks(&cell, &mut narrow);
            let row = cell.len() as u16;
            cell.push(Forecast { is_wrong: true, error: u64::MAX, row });
            let mut wide = vec![0; cell.len()];
            add_ranks(&cell, &mut wide);
            prop_assert_eq!(wide.pop(), Some(cell.len() as u64));
            prop_assert_eq!(narrow.pop(), Some(0));
            prop_assert_eq!(narrow, wide);
        }
    }
}

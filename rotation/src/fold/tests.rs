//! The folds' published and derived figures, and what must hold for all of them.

use leoma_protocol::verdict::{Name, Observation};
use leoma_protocol::{BlockNumber, Digest, FileId, Fraction, Hotkey, Nano, TaskId};
use proptest::prelude::*;

use super::scores;
use crate::record::{Coverage, Fold, Pool, SignedFraction, WeightRule};
use crate::{MinerObservations, TaskObservations};

const PARTS: i64 = Nano::PARTS;
const AT: BlockNumber = BlockNumber(100_000);

fn hotkey(seed: u8) -> Hotkey {
    Hotkey::from_bytes([seed; 32])
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn part(numerator: u32, denominator: u32) -> Fraction {
    Fraction { numerator, denominator }
}

fn pool(fold: Fold) -> Pool {
    Pool {
        name: name("pool"),
        share: part(1, 1),
        missing: Nano::ZERO,
        fold,
        weights: WeightRule::Proportional,
    }
}

fn observed(values: Vec<Option<i64>>, counts: &[(&str, u32)]) -> Observation {
    Observation {
        pool: name("pool"),
        values: values.into_iter().map(|value| value.map(Nano)).collect(),
        counts: counts.iter().map(|(text, count)| (name(text), *count)).collect(),
    }
}

/// A file of a task of ten blocks, signed at its start.
fn file(task: u64, validator: u8, entries: Vec<(u8, Observation)>) -> TaskObservations {
    let entries = entries.into_iter().map(|(miner, observation)| MinerObservations {
        miner: hotkey(miner),
        passed: true,
        observations: vec![observation],
    });
    let (id, start) = (FileId { task_id: TaskId(task), producer: hotkey(validator) }, 10 * task);
    let start = BlockNumber(start);
    TaskObservations::new(id, Digest::of(&task.to_le_bytes()), start, start, entries.collect())
}

/// The score of one miner by one validator with one observation.
fn score_of(fold: Fold, values: Vec<Option<i64>>, counts: &[(&str, u32)]) -> i128 {
    let file = file(1, 1, vec![(9, observed(values, counts))]);
    scores(&pool(fold), &[&file], &[hotkey(9)], AT)[0].unwrap()
}

fn all(values: &[i64]) -> Vec<Option<i64>> {
    values.iter().copied().map(Some).collect()
}

#[test]
fn moving_averages_are_those_of_the_design() {
    let values = [886_737_799, 704_971_145, 0, 886_737_799];
    for (number, expected) in
        [(1, 88_673_779), (2, 150_303_515), (3, 135_273_163), (4, 210_419_626)]
    {
        let fold = Fold::Ema { alpha: part(1, 10), init: Nano::ZERO };
        assert_eq!(score_of(fold, all(&values[..number]), &[]), expected);
    }
    let fold = Fold::Ema { alpha: part(1, 20), init: Nano::ONE };
    assert_eq!(score_of(fold, all(&[824_030_564; 3]), &[]), 974_902_358);
}

#[test]
fn a_missing_value_counts_as_the_pool_says() {
    let ema = Fold::Ema { alpha: part(1, 10), init: Nano::ZERO };
    let file = file(1, 1, vec![(9, observed(vec![None], &[]))]);
    let lenient = Pool { missing: Nano(500_000_000), ..pool(ema) };
    assert_eq!(scores(&lenient, &[&file], &[hotkey(9)], AT), [Some(50_000_000)]);
}

#[test]
fn window_means_are_those_of_the_design() {
    let coverage = Some(Coverage { mid: part(1, 2), width: part(1, 10) });
    let fold = Fold::WindowMean { last: 15, coverage };
    let values = vec![Some(50 * PARTS), Some(60 * PARTS), None, Some(70 * PARTS)];
    assert_eq!(score_of(fold.clone(), values, &[]), 55_448_509_200);
    assert_eq!(score_of(fold.clone(), all(&[50 * PARTS; 15]), &[]), 49_665_357_450);
    assert_eq!(score_of(fold.clone(), vec![None, None], &[]), 0);
    // Only the newest fifteen count.
    let older = [vec![Some(900 * PARTS)], all(&[50 * PARTS; 15])].concat();
    assert_eq!(score_of(fold, older, &[]), 49_665_357_450);
    let plain = Fold::WindowMean { last: 15, coverage: None };
    assert_eq!(score_of(plain, vec![Some(-3), Some(0), None], &[]), -2);
}

#[test]
fn the_newest_value_and_the_counts_of_the_window_are_added() {
    let rate = |numerator| SignedFraction { numerator, denominator: 10_000 };
    let bonus = [(name("failed_user"), rate(-8)), (name("ok_user"), rate(1))].into();
    let fold = Fold::Latest { bonus };
    let counts = [("failed_user", 2), ("ok_user", 10)];
    // The published .6591095378 is .6597095378 + 10·10⁻⁴ - 2·8·10⁻⁴.
    assert_eq!(score_of(fold.clone(), all(&[1, 659_709_538]), &counts), 659_109_538);
    assert_eq!(score_of(fold.clone(), vec![Some(7), None], &[]), 7);
    assert_eq!(score_of(fold, vec![None], &counts), 0);
}

#[test]
fn sums_and_numbers_are_of_tasks_that_begin_within_the_blocks() {
    let files: Vec<_> =
        (0..4).map(|task| file(task, 1, vec![(9, observed(all(&[PARTS]), &[]))])).collect();
    let files: Vec<_> = files.iter().collect();
    let at = BlockNumber(40);
    let of = |fold| scores(&pool(fold), &files, &[hotkey(9)], at)[0].unwrap();
    // Tasks begin at 0, 10, 20 and 30; one that begins 20 blocks before is not within 20.
    assert_eq!(of(Fold::Sum { blocks: 20 }), i128::from(PARTS));
    assert_eq!(of(Fold::Sum { blocks: 21 }), 2 * i128::from(PARTS));
    let fold = |accept| Fold::CountTimesEma {
        blocks: 21,
        alpha: part(1, 2),
        init: Nano::ZERO,
        accept: Nano(accept),
    };
    assert_eq!(of(fold(PARTS)), 2 * 937_500_000);
    assert_eq!(of(fold(PARTS + 1)), 0);
}

#[test]
fn each_validator_that_observed_a_miner_weighs_the_same() {
    let mean = pool(Fold::WindowMean { last: 100, coverage: None });
    let files = [
        file(1, 1, vec![(9, observed(all(&[10]), &[]))]),
        file(2, 2, vec![(9, observed(all(&[1]), &[]))]),
        file(3, 2, vec![(9, observed(all(&[2]), &[])), (8, observed(all(&[-3]), &[]))]),
        file(4, 3, vec![(9, observed(all(&[4]), &[]))]),
    ];
    let files: Vec<_> = files.iter().collect();
    let miners = [hotkey(7), hotkey(8), hotkey(9)];
    // (10 + ⌊3/2⌋ + 4) / 3, and one validator's -3.
    assert_eq!(scores(&mean, &files, &miners, AT), [None, Some(-3), Some(5)]);
}

/// Closing prices 100, 100.8, 101.1 and the forecasts of three miners at the first two of them.
fn market() -> (Pool, Vec<TaskObservations>) {
    let fold = Fold::RankCells {
        truth: name("close"),
        step_s: 300,
        deadline_blocks: 5,
        cells: 2,
        rate: part(1, 20),
        last: 100,
        alpha: part(1, 1),
    };
    let tenths = |values: [i64; 2]| all(&values.map(|value| value * PARTS / 10));
    let forecasts = |rows: [[i64; 2]; 3], t0: u32| {
        let row = |(miner, values)| (miner, observed(tenths(values), &[("t0", t0)]));
        (11..).zip(rows).map(row).collect::<Vec<_>>()
    };
    let reading = |values: &[i64]| Observation {
        pool: name("close"),
        values: values.iter().map(|value| Some(Nano(value * PARTS / 10))).collect(),
        counts: vec![(name("t0"), 3000)],
    };
    let earlier = forecasts([[1005, 1012], [995, 1020], [1010, 1000]], 3000);
    let later = forecasts([[1010, 1020], [1002, 990], [1030, 1040]], 3300);
    let files = vec![
        file(1, 1, [earlier, vec![(1, reading(&[1000]))]].concat()),
        file(2, 2, [later, vec![(2, reading(&[1000, 1008, 1011]))]].concat()),
        file(3, 3, vec![(3, reading(&[1000, 1008, 1011]))]),
        file(4, 4, vec![(4, reading(&[1, 1, 1]))]),
    ];
    (pool(fold), files)
}

#[test]
fn forecasts_rank_as_in_the_published_example() {
    let (pool, files) = market();
    let miners = [hotkey(11), hotkey(12), hotkey(13)];
    let of =
        |files: &[TaskObservations]| scores(&pool, &files.iter().collect::<Vec<_>>(), &miners, AT);
    let expected = [1_000_000_000, 904_837_418, 951_229_425].map(Some);
    // Both tasks have the order 1, 3, 2: mean ranks 1.5, 2.5, 2 and 1, 3, 2. One liar in four moves
    // no median.
    assert_eq!(of(&files), expected);
    assert_eq!(of(&files[..3]), expected);
    // Too few of the producers read the later prices: nothing has matured.
    let [idle, other] = [(5, 5), (6, 6)].map(|(task, validator)| file(task, validator, vec![]));
    assert_eq!(of(&[files[0].clone(), files[3].clone(), idle, other]), [None; 3]);
}

#[test]
fn a_liar_and_one_honest_reader_make_no_truth_among_four() {
    let (pool, files) = market();
    let miners = [hotkey(11), hotkey(12), hotkey(13)];
    let of =
        |files: &[TaskObservations]| scores(&pool, &files.iter().collect::<Vec<_>>(), &miners, AT);
    // The later prices are read by validators 3 and 4 of four, and 4 lies: it has the lower median.
    let idle = file(5, 2, vec![]);
    let [forecasts, honest, liar] = [0, 2, 3].map(|index: usize| files[index].clone());
    assert_eq!(of(&[forecasts.clone(), honest, liar, idle]), [None; 3]);
    // A third reader is honest, and so is the median.
    assert!(of(&[vec![forecasts], files[1..].to_vec()].concat()).iter().all(Option::is_some));
}

#[test]
fn silence_late_files_and_differing_moments_earn_nothing() {
    let (pool, mut files) = market();
    let miners = [hotkey(11), hotkey(12), hotkey(13)];
    let of =
        |files: &[TaskObservations]| scores(&pool, &files.iter().collect::<Vec<_>>(), &miners, AT);
    let silent = |file: &TaskObservations, change: &dyn Fn(&mut Observation)| {
        let mut entries = file.entries().to_vec();
        let of_miner = entries.iter_mut().find(|entry| entry.miner == hotkey(12)).unwrap();
        change(&mut of_miner.observations[0]);
        TaskObservations::new(file.id, file.digest, file.start, file.signed_at, entries)
    };
    let nulls = files[0].clone();
    files[0] = silent(&nulls, &|observation| observation.values = vec![None, None]);
    files.remove(1);
    let reader =
        file(2, 2, files[1].entries().iter().map(|e| (2, e.observations[0].clone())).collect());
    files.push(reader);
    assert_eq!(of(&files), [1_000_000_000, 0, 951_229_425].map(Some));

    let differing = silent(&nulls, &|observation| observation.counts[0].1 += 300);
    assert_eq!(of(&[vec![differing], files[1..].to_vec()].concat()), [None; 3]);

    let mut late = nulls;
    late.signed_at.0 = late.start.0 + 6;
    assert_eq!(of(&[vec![late.clone()], files[1..].to_vec()].concat()), [None; 3]);
    late.signed_at.0 -= 1;
    assert!(of(&[vec![late], files[1..].to_vec()].concat())[0].is_some());
}

/// Every fold, with bounds that small tests reach.
fn folds() -> Vec<Fold> {
    let coverage = Some(Coverage { mid: part(1, 2), width: part(1, 10) });
    let rate = SignedFraction { numerator: -3, denominator: 7 };
    vec![
        Fold::Ema { alpha: part(1, 3), init: Nano(5) },
        Fold::WindowMean { last: 4, coverage },
        Fold::WindowMean { last: 1000, coverage: None },
        Fold::Sum { blocks: 100_000 - 50 },
        Fold::CountTimesEma {
            blocks: 100_000 - 50,
            alpha: part(2, 3),
            init: Nano::ZERO,
            accept: Nano(10),
        },
        Fold::Latest { bonus: [(name("count"), rate)].into() },
        Fold::RankCells {
            truth: name("pool"),
            step_s: 1,
            deadline_blocks: 5,
            cells: 2,
            rate: part(1, 20),
            last: 3,
            alpha: part(1, 3),
        },
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    let value = prop_oneof![Just(None), any::<i64>().prop_map(Some), (-20i64..20).prop_map(Some)];
    (prop::collection::vec(value, 0..5), any::<u32>(), 1u32..4)
        .prop_map(|(values, count, t0)| observed(values, &[("count", count), ("t0", t0)]))
}

fn files() -> impl Strategy<Value = Vec<TaskObservations>> {
    let entries = prop::collection::btree_map(1u8..9, observation(), 0..8);
    prop::collection::btree_map((0u64..20, 1u8..5), entries, 0..25).prop_map(|files| {
        let file = |((task, validator), entries): ((u64, u8), _)| {
            file(task, validator, Vec::from_iter::<std::collections::BTreeMap<_, _>>(entries))
        };
        files.into_iter().map(file).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_files_changes_no_score(files in files(), seed: u64) {
        let mut shuffled: Vec<&TaskObservations> = files.iter().collect();
        shuffled.sort_by_key(|file| Digest::of_parts(&[&seed.to_le_bytes(), &file.id.task_id.0.to_le_bytes(), file.id.producer.as_bytes()]));
        let miners: Vec<Hotkey> = (1..9).map(hotkey).collect();
        for fold in folds() {
            let pool = pool(fold);
            let in_order: Vec<&TaskObservations> = files.iter().collect();
            prop_assert_eq!(
                scores(&pool, &in_order, &miners, AT),
                scores(&pool, &shuffled, &miners, AT)
            );
        }
    }

    #[test]
    fn values_that_validators_exchange_change_no_score(files in files()) {
        let miners: Vec<Hotkey> = (5..9).map(hotkey).collect();
        // Validators 1 and 2 are not miners here, so that only their values change hands.
        let exchanged: Vec<TaskObservations> = files.iter().map(|file| {
            let mut file = file.clone();
            let swapped = [(1, 2), (2, 1)].into_iter().find(|(old, _)| hotkey(*old) == file.id.producer);
            if let Some((_, new)) = swapped {
                file.id.producer = hotkey(new);
            }
            file
        }).collect();
        // Forecasts are joined with the reading under the producer's own hotkey.
        for fold in folds().into_iter().filter(|fold| fold.truth().is_none()) {
            let pool = pool(fold);
            prop_assert_eq!(
                scores(&pool, &files.iter().collect::<Vec<_>>(), &miners, AT),
                scores(&pool, &exchanged.iter().collect::<Vec<_>>(), &miners, AT)
            );
        }
    }

    #[test]
    fn a_validator_that_doubles_its_equal_tasks_moves_no_mean(
        values in prop::collection::vec((any::<i64>(), 1u64..6), 1..5),
    ) {
        let mean = pool(Fold::WindowMean { last: 1000, coverage: None });
        let files = |times: u64| {
            let mut files = Vec::new();
            for (validator, (value, number)) in (1..).zip(&values) {
                for _ in 0..if validator == 1 { number * times } else { *number } {
                    files.push(file(files.len() as u64, validator, vec![(9, observed(all(&[*value]), &[]))]));
                }
            }
            files
        };
        let score = |files: Vec<TaskObservations>| scores(&mean, &files.iter().collect::<Vec<_>>(), &[hotkey(9)], AT);
        prop_assert_eq!(score(files(1)), score(files(2)));
    }

    #[test]
    fn no_observation_overflows(observations in prop::collection::vec(observation(), 1..5)) {
        let extreme = observed(all(&[i64::MAX, i64::MIN, i64::MAX, i64::MAX]), &[("count", u32::MAX)]);
        let files: Vec<_> = (0..).zip(observations).map(|(task, observation)| {
            file(task, 1, vec![(1, extreme.clone()), (9, observation), (8, extreme.clone())])
        }).collect();
        for fold in folds() {
            let found = scores(&pool(fold), &files.iter().collect::<Vec<_>>(), &[hotkey(8), hotkey(9)], AT);
            prop_assert_eq!(found.len(), 2);
        }
    }
}

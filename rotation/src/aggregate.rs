//! From verdicts to one exact pass rate for each miner.
//!
//! A miner's rate is the mean of the pass rates that each validator gives it. Each validator weighs
//! the same however many tasks it sampled: sampling more buys no influence.

use leoma_protocol::{Fraction, Hotkey, TaskId};

use crate::numbered::Numbered;
use crate::rate::{Mean, PassCount};
use crate::{Rate, TaskVerdicts};

/// All miners that the window has a verdict on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregates {
    /// Tasks with at least one verdict. A task whose producer judged no miner, through a fault of
    /// its own, does not count against any.
    pub existing_tasks: u32,
    /// Sorted by miner.
    pub miners: Vec<MinerAggregate>,
    /// Sorted.
    pub(crate) validators: Vec<Hotkey>,
    /// The tallies of one miner after another, each miner's sorted by validator. They take most of
    /// the memory, so they lie in one block.
    pub(crate) tallies: Vec<Tally>,
}

/// What the window says about one miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerAggregate {
    /// The miner.
    pub miner: Hotkey,
    /// The mean of the validators' pass rates.
    pub rate: Rate,
    /// Verdicts that passed.
    pub passed: u32,
    /// All verdicts.
    pub evaluated: u32,
    /// Distinct tasks with a verdict.
    pub tasks: u32,
    /// Distinct validators with a verdict.
    pub validators: u32,
    pub(crate) first_tally: usize,
}

/// One validator's verdicts on one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorTally {
    /// The validator.
    pub validator: Hotkey,
    /// Verdicts that passed.
    pub passed: u32,
    /// All verdicts; at least one.
    pub evaluated: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    validator: u32,
    count: PassCount,
}

impl ValidatorTally {
    /// The validator's own pass rate of the miner.
    pub fn rate(&self) -> Rate {
        Rate::new(self.passed.into(), self.evaluated.into())
    }
}

impl MinerAggregate {
    /// Share of the window's existing tasks on which the miner was evaluated.
    pub fn completeness(&self, existing_tasks: u32) -> Rate {
        Rate::new(self.tasks.into(), existing_tasks.into())
    }

    /// Whether [`MinerAggregate::completeness`] is at least `share`.
    pub fn is_complete(&self, existing_tasks: u32, share: Fraction) -> bool {
        u64::from(self.tasks) * u64::from(share.denominator)
            >= u64::from(existing_tasks) * u64::from(share.numerator)
    }
}

impl Aggregates {
    /// The aggregate of `miner`; `None` without a verdict on it.
    pub fn get(&self, miner: &Hotkey) -> Option<&MinerAggregate> {
        self.miners.get(self.miners.binary_search_by_key(miner, |aggregate| aggregate.miner).ok()?)
    }

    /// The tallies behind one of these miners, sorted by validator.
    pub fn tallies_of(&self, miner: &MinerAggregate) -> impl Iterator<Item = ValidatorTally> + '_ {
        let tallies =
            self.tallies.get(miner.first_tally..miner.first_tally + miner.validators as usize);
        tallies.unwrap_or_default().iter().filter_map(|tally| {
            let PassCount { passed, evaluated } = tally.count;
            Some(ValidatorTally {
                validator: *self.validators.get(tally.validator as usize)?,
                passed,
                evaluated,
            })
        })
    }
}

/// Adds up the verdicts of a window's files. Each (task, producer) must come once; their order does
/// not matter.
#[must_use]
pub fn aggregate(files: &[&TaskVerdicts]) -> Aggregates {
    let mut by_task = files.to_vec();
    by_task.sort_unstable_by_key(|file| file.id);
    let numbered = Numbered::new(&by_task);
    let (tasks, existing_tasks) = count_tasks(&by_task, &numbered);
    let Tallied { validators, tallies, starts } = tally(&by_task, &numbered);
    let mut mean = Mean::default();
    let miners =
        numbered.miners.iter().zip(tasks).zip(starts.windows(2)).map(|((&miner, tasks), range)| {
            let counts = tallies[range[0]..range[1]].iter().map(|tally| tally.count);
            MinerAggregate {
                miner,
                rate: mean.of(counts.clone()),
                passed: counts.clone().map(|count| count.passed).sum(),
                evaluated: counts.map(|count| count.evaluated).sum(),
                tasks,
                validators: (range[1] - range[0]) as u32,
                first_tally: range[0],
            }
        });
    Aggregates { existing_tasks, miners: miners.collect(), validators, tallies }
}

struct Tallied {
    /// Sorted.
    validators: Vec<Hotkey>,
    /// Those of one miner after another.
    tallies: Vec<Tally>,
    /// Where each miner's tallies begin, and the end.
    starts: Vec<usize>,
}

fn tally(by_task: &[&TaskVerdicts], numbered: &Numbered) -> Tallied {
    let number = numbered.miners.len();
    let mut by_validator: Vec<usize> = (0..by_task.len()).collect();
    by_validator.sort_unstable_by_key(|index| (by_task[*index].id.producer, *index));
    // Validator by validator: one row of counters serves for all of them, and memory grows with the
    // verdicts only.
    let mut row = vec![PassCount::default(); number];
    let mut touched: Vec<u32> = Vec::with_capacity(number);
    let mut validators = Vec::new();
    let mut found: Vec<(u32, Tally)> = Vec::new();
    let mut starts = vec![0; number + 1];
    for of_validator in
        by_validator.chunk_by(|a, b| by_task[*a].id.producer == by_task[*b].id.producer)
    {
        for mark in of_validator.iter().flat_map(|&index| numbered.of_file(index)) {
            let count = &mut row[mark.miner()];
            if count.evaluated == 0 {
                touched.push(mark.miner() as u32);
            }
            count.evaluated += 1;
            count.passed += u32::from(mark.passed());
        }
        let validator = validators.len() as u32;
        validators.push(by_task[of_validator[0]].id.producer);
        for miner in touched.drain(..) {
            let count = std::mem::take(&mut row[miner as usize]);
            starts[miner as usize + 1] += 1;
            found.push((miner, Tally { validator, count }));
        }
    }
    for miner in 0..number {
        starts[miner + 1] += starts[miner];
    }
    let mut tallies = vec![Tally::default(); found.len()];
    let mut next = starts.clone();
    for (miner, tally) in found {
        tallies[next[miner as usize]] = tally;
        next[miner as usize] += 1;
    }
    Tallied { validators, tallies, starts }
}

/// The number of distinct tasks of each miner, and of all. Files must be sorted by task.
fn count_tasks(by_task: &[&TaskVerdicts], numbered: &Numbered) -> (Vec<u32>, u32) {
    let mut tasks = vec![0; numbered.miners.len()];
    let mut last: Vec<Option<TaskId>> = vec![None; numbered.miners.len()];
    let (mut existing, mut last_existing) = (0, None);
    for (index, file) in by_task.iter().enumerate() {
        let task_id = Some(file.id.task_id);
        for mark in numbered.of_file(index) {
            let last = &mut last[mark.miner()];
            if *last != task_id {
                *last = task_id;
                tasks[mark.miner()] += 1;
            }
        }
        if !file.verdicts().is_empty() && last_existing != task_id {
            last_existing = task_id;
            existing += 1;
        }
    }
    (tasks, existing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;
    use leoma_protocol::{Digest, FileId};
    use proptest::prelude::*;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn file(task: u64, validator: u8, verdicts: &[(u8, bool)]) -> TaskVerdicts {
        let verdicts = verdicts
            .iter()
            .map(|(miner, passed)| Verdict { miner: hotkey(*miner), passed: *passed })
            .collect();
        TaskVerdicts::new(
            FileId { task_id: TaskId(task), producer: hotkey(validator) },
            Digest::default(),
            verdicts,
        )
    }

    fn aggregates(files: &[TaskVerdicts]) -> Aggregates {
        aggregate(&files.iter().collect::<Vec<_>>())
    }

    #[test]
    fn each_validator_weighs_the_same() {
        let found = aggregates(&[
            file(1, 1, &[(7, true)]),
            file(2, 2, &[(7, false), (8, true)]),
            file(3, 2, &[(7, false)]),
            file(4, 2, &[(7, true)]),
            file(5, 3, &[]),
        ]);
        assert_eq!(found.existing_tasks, 4);
        let [seven, eight] = &found.miners[..] else { panic!("two miners: {found:?}") };
        assert_eq!((seven.passed, seven.evaluated, seven.tasks), (2, 4, 4));
        assert_eq!(seven.rate, Rate::new(2, 3));
        assert_eq!(
            found.tallies_of(seven).map(|tally| tally.rate()).collect::<Vec<_>>(),
            [Rate::new(1, 1), Rate::new(1, 3)]
        );
        assert_eq!(eight.completeness(found.existing_tasks), Rate::new(1, 4));
    }

    #[test]
    fn a_task_judged_by_two_validators_is_one_task() {
        let found = aggregates(&[file(1, 1, &[(7, true)]), file(1, 2, &[(7, false)])]);
        assert_eq!(
            (found.existing_tasks, found.miners[0].tasks, found.miners[0].evaluated),
            (1, 1, 2)
        );
    }

    #[test]
    fn completeness_of_exactly_the_share_is_enough() {
        let of = |tasks| MinerAggregate {
            miner: hotkey(1),
            rate: Rate::ZERO,
            passed: 0,
            evaluated: 0,
            tasks,
            validators: 0,
            first_tally: 0,
        };
        let share = Fraction { numerator: 4, denominator: 5 };
        assert!(of(4).is_complete(5, share) && of(80).is_complete(100, share));
        assert!(!of(79).is_complete(100, share));
    }

    fn files() -> impl Strategy<Value = Vec<TaskVerdicts>> {
        let verdicts = prop::collection::vec((0u8..12, any::<bool>()), 0..10);
        prop::collection::btree_map((0u64..20, 0u8..5), verdicts, 0..40).prop_map(|files| {
            files
                .iter()
                .map(|((task, validator), verdicts)| file(*task, *validator, verdicts))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_files_never_changes_a_rate(files in files(), seed: u64) {
            let mut shuffled = files.clone();
            shuffled.sort_by_key(|file| Digest::of_parts(&[&seed.to_le_bytes(), &file.id.task_id.0.to_le_bytes(), file.id.producer.as_bytes()]));
            prop_assert_eq!(aggregates(&files), aggregates(&shuffled));
        }

        #[test]
        fn a_validator_cannot_move_a_rate_by_sampling_more_with_the_same_share(
            others in prop::collection::vec((0u32..5, 1u32..5), 0..6), share in (0u32..6, 1u32..6), times in 1u32..9,
        ) {
            let rate = |times: u32| {
                let mut tallies: Vec<_> = others.iter().map(|(passed, more)| (*passed, passed + more)).collect();
                tallies.push((share.0 * times, (share.0 + share.1) * times));
                let mut files = Vec::new();
                for (validator, (passed, evaluated)) in tallies.into_iter().enumerate() {
                    for n in 0..evaluated {
                        files.push(file(files.len() as u64, validator as u8, &[(99, n < passed)]));
                    }
                }
                aggregates(&files).miners[0].rate.clone()
            };
            prop_assert_eq!(rate(1), rate(times));
        }

        #[test]
        fn every_verdict_is_counted_once(files in files()) {
            let found = aggregates(&files);
            let evaluated: usize = found.miners.iter().map(|miner| miner.evaluated as usize).sum();
            prop_assert_eq!(evaluated, files.iter().map(|file| file.verdicts().len()).sum::<usize>());
            for miner in &found.miners {
                prop_assert!(miner.tasks <= found.existing_tasks);
                prop_assert!(miner.rate <= Rate::new(1, 1));
                let tallies: Vec<_> = found.tallies_of(miner).collect();
                prop_assert!(tallies.is_sorted_by(|a, b| a.validator < b.validator));
                prop_assert_eq!(tallies.iter().map(|tally| tally.evaluated).sum::<u32>(), miner.evaluated);
            }
        }
    }
}

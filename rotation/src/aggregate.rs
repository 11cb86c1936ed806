//! From verdicts to one exact pass rate a miner.

use std::collections::BTreeMap;

use leoma_protocol::{Fraction, Hotkey, TaskId};

use crate::rate::{Mean, Share};
use crate::{Rate, TaskVerdicts};

/// All miners that the window has a verdict on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregates {
    /// Tasks with at least one verdict. A task whose producer judged nobody, through a fault of its own, exists for
    /// nobody.
    pub existing_tasks: u32,
    /// Sorted by miner.
    pub miners: Vec<MinerAggregate>,
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
    /// One tally a validator, sorted by validator.
    pub per_validator: Vec<ValidatorTally>,
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

impl ValidatorTally {
    /// The validator's own pass rate of the miner.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::new(self.passed.into(), self.evaluated.into())
    }
}

impl MinerAggregate {
    /// Share of the window's existing tasks on which the miner was evaluated.
    #[must_use]
    pub fn completeness(&self, existing_tasks: u32) -> Rate {
        Rate::new(self.tasks.into(), existing_tasks.into())
    }

    /// Whether [`MinerAggregate::completeness`] is at least `share`.
    #[must_use]
    pub fn is_complete(&self, existing_tasks: u32, share: Fraction) -> bool {
        u64::from(self.tasks) * u64::from(share.denominator) >= u64::from(existing_tasks) * u64::from(share.numerator)
    }
}

/// Adds up the verdicts of a window's files. Each (task, producer) must come once; their order does not matter.
#[must_use]
pub fn aggregate(files: &[&TaskVerdicts]) -> Aggregates {
    let mut by_task = files.to_vec();
    by_task.sort_unstable_by_key(|file| file.id);
    let interned = Interned::new(&by_task);
    let number = interned.miners.len();
    let (tasks, existing_tasks) = count_tasks(&by_task, &interned);

    // Validator by validator, so that one row of counters serves for all of them.
    let mut by_validator: Vec<usize> = (0..by_task.len()).collect();
    by_validator.sort_unstable_by_key(|index| (by_task[*index].id.producer, by_task[*index].id.task_id));
    let mut per_validator: Vec<Vec<ValidatorTally>> = vec![Vec::new(); number];
    let mut row = vec![
        Share {
            passed: 0,
            evaluated: 0
        };
        number
    ];
    let mut touched: Vec<u32> = Vec::with_capacity(number);
    for of_validator in by_validator.chunk_by(|a, b| by_task[*a].id.producer == by_task[*b].id.producer) {
        let validator = by_task[of_validator[0]].id.producer;
        for &index in of_validator {
            for (&miner, verdict) in interned.of_file(index).iter().zip(by_task[index].verdicts()) {
                let share = &mut row[miner as usize];
                if share.evaluated == 0 {
                    touched.push(miner);
                }
                share.evaluated += 1;
                share.passed += u32::from(verdict.passed);
            }
        }
        for miner in touched.drain(..) {
            let Share { passed, evaluated } = std::mem::replace(
                &mut row[miner as usize],
                Share {
                    passed: 0,
                    evaluated: 0,
                },
            );
            per_validator[miner as usize].push(ValidatorTally {
                validator,
                passed,
                evaluated,
            });
        }
    }
    Aggregates {
        existing_tasks,
        miners: finish(&interned.miners, &tasks, per_validator),
    }
}

fn finish(miners: &[Hotkey], tasks: &[u32], per_validator: Vec<Vec<ValidatorTally>>) -> Vec<MinerAggregate> {
    let mut mean = Mean::default();
    let mut aggregates: Vec<_> = miners
        .iter()
        .zip(tasks)
        .zip(per_validator)
        .map(|((&miner, &tasks), per_validator)| MinerAggregate {
            miner,
            rate: mean.of(per_validator.iter().map(|tally| Share {
                passed: tally.passed,
                evaluated: tally.evaluated,
            })),
            passed: per_validator.iter().map(|tally| tally.passed).sum(),
            evaluated: per_validator.iter().map(|tally| tally.evaluated).sum(),
            tasks,
            per_validator,
        })
        .collect();
    aggregates.sort_unstable_by_key(|aggregate| aggregate.miner);
    aggregates
}

/// Distinct tasks of each miner, and of all. Files must be sorted by task.
fn count_tasks(by_task: &[&TaskVerdicts], interned: &Interned) -> (Vec<u32>, u32) {
    let mut tasks = vec![0; interned.miners.len()];
    let mut last: Vec<Option<TaskId>> = vec![None; interned.miners.len()];
    let (mut existing, mut last_existing) = (0, None);
    for (index, file) in by_task.iter().enumerate() {
        let task_id = Some(file.id.task_id);
        for &miner in interned.of_file(index) {
            if last[miner as usize] != task_id {
                last[miner as usize] = task_id;
                tasks[miner as usize] += 1;
            }
        }
        if !file.verdicts().is_empty() && last_existing != task_id {
            last_existing = task_id;
            existing += 1;
        }
    }
    (tasks, existing)
}

/// Miners as small numbers.
struct Interned {
    miners: Vec<Hotkey>,
    /// One number a verdict, file after file.
    numbers: Vec<u32>,
    /// Where each file begins in `numbers`, and the end.
    starts: Vec<usize>,
}

impl Interned {
    fn new(files: &[&TaskVerdicts]) -> Self {
        let total = files.iter().map(|file| file.verdicts().len()).sum();
        let mut interned = Self {
            miners: Vec::new(),
            numbers: Vec::with_capacity(total),
            starts: Vec::with_capacity(files.len() + 1),
        };
        let mut number_of: BTreeMap<Hotkey, u32> = BTreeMap::new();
        for file in files {
            interned.starts.push(interned.numbers.len());
            // Files are sorted by miner and judge nearly the same miners: the next one is mostly the next number.
            let mut guess = 0;
            for verdict in file.verdicts() {
                let number = if interned.miners.get(guess as usize) == Some(&verdict.miner) {
                    guess
                } else {
                    let fresh = interned.miners.len() as u32;
                    let number = *number_of.entry(verdict.miner).or_insert(fresh);
                    if number == fresh {
                        interned.miners.push(verdict.miner);
                    }
                    number
                };
                interned.numbers.push(number);
                guess = number + 1;
            }
        }
        interned.starts.push(interned.numbers.len());
        interned
    }

    fn of_file(&self, index: usize) -> &[u32] {
        &self.numbers[self.starts[index]..self.starts[index + 1]]
    }
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
            .map(|(miner, passed)| Verdict {
                miner: hotkey(*miner),
                passed: *passed,
            })
            .collect();
        TaskVerdicts::new(
            FileId {
                task_id: TaskId(task),
                producer: hotkey(validator),
            },
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
        let [seven, eight] = &found.miners[..] else {
            panic!("two miners: {found:?}")
        };
        assert_eq!((seven.passed, seven.evaluated, seven.tasks), (2, 4, 4));
        assert_eq!(seven.rate, Rate::new(2, 3));
        assert_eq!(
            seven.per_validator.iter().map(ValidatorTally::rate).collect::<Vec<_>>(),
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
            per_validator: vec![],
        };
        let share = Fraction {
            numerator: 4,
            denominator: 5,
        };
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
                prop_assert!(miner.per_validator.is_sorted_by(|a, b| a.validator < b.validator));
            }
        }
    }
}

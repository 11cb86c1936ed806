//! Miners as small numbers, so that verdicts are counted in arrays.

use leoma_protocol::Hotkey;

use crate::TaskVerdicts;

/// The verdicts of some files with miners as indices.
#[derive(Debug)]
pub(crate) struct Numbered {
    /// All miners of the files, sorted.
    pub(crate) miners: Vec<Hotkey>,
    /// One mark for each verdict, one file after another.
    marks: Vec<Mark>,
    /// Where each file begins in `marks`, and the end.
    starts: Vec<usize>,
}

/// A verdict: twice the miner's index, and one more if it passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u32);

impl Mark {
    fn new(miner: usize, passed: bool) -> Self {
        Self((miner as u32) << 1 | u32::from(passed))
    }

    pub(crate) const fn miner(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(crate) const fn passed(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Numbered {
    /// Files are sorted by miner and judge nearly the same miners, so walking each beside the
    /// longest one finds nearly every miner at once. No file can make it slower than one binary
    /// search for each verdict.
    pub(crate) fn new(files: &[&TaskVerdicts]) -> Self {
        let longest = files
            .iter()
            .max_by_key(|file| file.verdicts().len())
            .map_or(&[][..], |file| file.verdicts());
        let known: Vec<Hotkey> = longest.iter().map(|verdict| verdict.miner).collect();
        let mut marks = Vec::with_capacity(files.iter().map(|file| file.verdicts().len()).sum());
        let mut starts = Vec::with_capacity(files.len() + 1);
        let mut strangers: Vec<(Hotkey, usize)> = Vec::new();
        for file in files {
            starts.push(marks.len());
            let mut next = 0;
            for verdict in file.verdicts() {
                next = walk(&known, next, &verdict.miner);
                if known.get(next) == Some(&verdict.miner) {
                    marks.push(Mark::new(next, verdict.passed));
                    next += 1;
                } else {
                    strangers.push((verdict.miner, marks.len()));
                    marks.push(Mark::new(0, verdict.passed));
                }
            }
        }
        starts.push(marks.len());
        let miners =
            if strangers.is_empty() { known } else { renumber(known, strangers, &mut marks) };
        Self { miners, marks, starts }
    }

    pub(crate) fn of_file(&self, index: usize) -> &[Mark] {
        &self.marks[self.starts[index]..self.starts[index + 1]]
    }
}

/// Merges the strangers, each with the place of its mark, into the known miners, and renumbers all
/// marks.
fn renumber(
    known: Vec<Hotkey>,
    mut strangers: Vec<(Hotkey, usize)>,
    marks: &mut [Mark],
) -> Vec<Hotkey> {
    strangers.sort_unstable();
    let number = known.len();
    // Each miner once, with its old index; a stranger's lies beyond the known ones, in the order of
    // hotkeys.
    let mut merged: Vec<(Hotkey, usize)> = known.into_iter().zip(0..).collect();
    for same in strangers.chunk_by(|a, b| a.0 == b.0) {
        let old = merged.len();
        for (miner, place) in same {
            marks[*place] = Mark::new(old, marks[*place].passed());
            if merged.len() == old {
                merged.push((*miner, old));
            }
        }
    }
    debug_assert!(merged.len() > number, "no strangers to merge");
    // Two sorted runs: the stable sort merges them.
    merged.sort();
    let mut new_index = vec![0; merged.len()];
    for (new, (_, old)) in merged.iter().enumerate() {
        new_index[*old] = new;
    }
    for mark in marks {
        *mark = Mark::new(new_index[mark.miner()], mark.passed());
    }
    merged.into_iter().map(|(miner, _)| miner).collect()
}

/// The index of the first miner from `start` on that is not below `miner`, found in steps that
/// double.
fn walk(miners: &[Hotkey], start: usize, miner: &Hotkey) -> usize {
    let rest = &miners[start..];
    if rest.first() == Some(miner) {
        return start;
    }
    let mut bound = 1;
    while rest.get(bound).is_some_and(|other| other < miner) {
        bound *= 2;
    }
    let from = bound / 2;
    start + from + rest[from..rest.len().min(bound + 1)].partition_point(|other| other < miner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;
    use leoma_protocol::{Digest, FileId, TaskId};
    use proptest::prelude::*;

    fn file(task: u64, verdicts: &[(u16, bool)]) -> TaskVerdicts {
        let hotkey = |seed: u16| {
            Hotkey::from_bytes(std::array::from_fn(|index| (seed >> (8 * (index % 2))) as u8))
        };
        let verdicts = verdicts
            .iter()
            .map(|(miner, passed)| Verdict { miner: hotkey(*miner), passed: *passed });
        let id = FileId { task_id: TaskId(task), producer: hotkey(0) };
        TaskVerdicts::new(id, Digest::default(), verdicts.collect())
    }

    proptest! {
        #[test]
        fn every_mark_stands_for_its_verdict(
            files in prop::collection::vec(prop::collection::vec((0u16..300, any::<bool>()), 0..200), 0..8),
        ) {
            let files: Vec<_> = files.iter().zip(0..).map(|(verdicts, task)| file(task, verdicts)).collect();
            let numbered = Numbered::new(&files.iter().collect::<Vec<_>>());
            prop_assert!(numbered.miners.is_sorted_by(|a, b| a < b));
            for (index, file) in files.iter().enumerate() {
                let found = numbered.of_file(index).iter().map(|mark| (numbered.miners[mark.miner()], mark.passed()));
                let expected = file.verdicts().iter().map(|verdict| (verdict.miner, verdict.passed));
                prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }

        #[test]
        fn walking_finds_what_a_binary_search_finds(sorted in prop::collection::btree_set(any::<u8>(), 0..60), start in 0usize..60, wanted: u8) {
            let hotkey = |seed: u8| Hotkey::from_bytes([seed; 32]);
            let miners: Vec<_> = sorted.into_iter().map(hotkey).collect();
            let start = start.min(miners.len());
            let expected = start + miners[start..].partition_point(|miner| *miner < hotkey(wanted));
            prop_assert_eq!(walk(&miners, start, &hotkey(wanted)), expected);
        }
    }
}

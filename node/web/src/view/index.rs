//! A snapshot with what is counted from it once, so that no request counts again.

use std::collections::{BTreeMap, HashMap};

use super::snapshot::{Entry, Epoch, HotkeyText, Miner, Snapshot, TaskFile, Validator};

/// One validator's verdicts on one miner in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Verdicts that passed.
    pub passed: u32,
    /// All verdicts; at least one.
    pub evaluated: u32,
    /// Sum of the times to a complete answer.
    pub latency_ms: u64,
    /// How many verdicts have such a time.
    pub answered: u32,
    /// The block of the newest verdict.
    pub newest_block: u64,
}

impl Tally {
    fn add(&mut self, entry: &Entry, block: u64) {
        self.passed += u32::from(entry.passed);
        self.evaluated += 1;
        if entry.latency_ms > 0 {
            self.latency_ms += entry.latency_ms;
            self.answered += 1;
        }
        self.newest_block = self.newest_block.max(block);
    }

    /// This and `other` together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            evaluated: self.evaluated + other.evaluated,
            latency_ms: self.latency_ms + other.latency_ms,
            answered: self.answered + other.answered,
            newest_block: self.newest_block.max(other.newest_block),
        }
    }

    /// The share that passed, 0 without verdicts.
    pub fn rate(&self) -> f64 {
        if self.evaluated == 0 { 0.0 } else { f64::from(self.passed) / f64::from(self.evaluated) }
    }

    /// The mean time to a complete answer.
    pub fn mean_latency(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.latency_ms as f64 / f64::from(self.answered))
    }
}

/// What the window says about one miner.
#[derive(Clone, Debug, Default)]
pub struct MinerTallies {
    /// By validator.
    pub by_validator: BTreeMap<HotkeyText, Tally>,
    /// All together.
    pub total: Tally,
    /// Distinct tasks with a verdict.
    pub tasks: u32,
}

impl MinerTallies {
    /// The mean of the validators' pass rates: what miners are ranked by. For people; the decision
    /// uses exact fractions.
    pub fn score(&self) -> f64 {
        let rates: f64 = self.by_validator.values().map(Tally::rate).sum();
        if self.by_validator.is_empty() { 0.0 } else { rates / self.by_validator.len() as f64 }
    }
}

/// A verdict with its file.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The file.
    pub file: &'a TaskFile,
    /// The verdict.
    pub entry: &'a Entry,
}

/// A snapshot and its indexes.
#[derive(Debug, Default)]
pub struct View {
    /// What was read.
    pub snapshot: Snapshot,
    /// The window's tallies by miner.
    pub tallies: HashMap<HotkeyText, MinerTallies>,
    /// The window's tallies by validator.
    pub validators: HashMap<HotkeyText, Tally>,
    /// Tasks of the window with at least one verdict.
    pub existing_tasks: u32,
    miners: HashMap<HotkeyText, usize>,
    entries: HashMap<HotkeyText, Vec<(u32, u32)>>,
}

impl View {
    /// Counts `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        let mut view = Self::default();
        let mut last_task = HashMap::<HotkeyText, u64>::new();
        let mut last_existing = None;
        for (file_index, file) in snapshot.files.iter().enumerate() {
            let verdict = &*file.verdict;
            for (entry_index, entry) in verdict.entries.iter().enumerate() {
                let at = (file_index as u32, entry_index as u32);
                view.entries.entry(entry.miner.clone()).or_default().push(at);
                if !file.in_window || entry.is_reading {
                    continue;
                }
                let miner = view.tallies.entry(entry.miner.clone()).or_default();
                miner.total.add(entry, verdict.block);
                let of_one = miner.by_validator.entry(verdict.producer.clone()).or_default();
                of_one.add(entry, verdict.block);
                let producer = view.validators.entry(verdict.producer.clone()).or_default();
                producer.add(entry, verdict.block);
                if last_task.insert(entry.miner.clone(), verdict.task_id) != Some(verdict.task_id) {
                    miner.tasks += 1;
                }
                if last_existing != Some(verdict.task_id) {
                    last_existing = Some(verdict.task_id);
                    view.existing_tasks += 1;
                }
            }
        }
        view.miners = snapshot
            .miners
            .iter()
            .enumerate()
            .map(|(index, miner)| (miner.hotkey.clone(), index))
            .collect();
        view.snapshot = snapshot;
        view
    }

    /// A miner with a commitment, or with a verdict or a place in an epoch.
    pub fn miner(&self, hotkey: &str) -> Option<&Miner> {
        self.snapshot.miners.get(*self.miners.get(hotkey)?)
    }

    /// The miner in a slot.
    pub fn miner_at(&self, uid: u16) -> Option<&Miner> {
        self.snapshot.miners.iter().find(|miner| miner.uid == Some(uid))
    }

    /// A validator.
    pub fn validator(&self, hotkey: &str) -> Option<&Validator> {
        self.snapshot.validators.iter().find(|validator| &*validator.hotkey == hotkey)
    }

    /// Whether a validator is on the allowlist.
    pub fn is_listed(&self, hotkey: &str) -> bool {
        self.validator(hotkey).is_some_and(|validator| validator.listed)
    }

    /// Every verdict on a miner, newest first.
    pub fn verdicts_on<'a>(&'a self, miner: &str) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let places = self.entries.get(miner).map_or(&[][..], Vec::as_slice);
        places.iter().rev().filter_map(|(file, entry)| {
            let file = self.snapshot.files.get(*file as usize)?;
            Some(Found { file, entry: file.verdict.entries.get(*entry as usize)? })
        })
    }

    /// Every verdict, newest first.
    pub fn verdicts(&self) -> impl Iterator<Item = Found<'_>> {
        let files = self.snapshot.files.iter().rev();
        files.flat_map(|file| file.verdict.entries.iter().map(move |entry| Found { file, entry }))
    }

    /// The file that speaks for a task: the one in the window, else a certified one, else any.
    pub fn file_of(&self, task_id: u64) -> Option<&TaskFile> {
        self.files_of(task_id).iter().max_by_key(|file| (file.in_window, file.certified))
    }

    /// All files of a task.
    pub fn files_of(&self, task_id: u64) -> &[TaskFile] {
        let files = &self.snapshot.files;
        let first = files.partition_point(|file| file.verdict.task_id < task_id);
        let end = files.partition_point(|file| file.verdict.task_id <= task_id);
        &files[first..end]
    }

    /// The verdict of a task on a miner.
    pub fn entry_of<'a>(&self, file: &'a TaskFile, miner: &str) -> Option<&'a Entry> {
        let entries = &file.verdict.entries;
        let at = entries.binary_search_by(|entry| (*entry.miner).cmp(miner)).ok()?;
        entries.get(at)
    }

    /// The newest task with a file.
    pub fn latest_task(&self) -> Option<u64> {
        self.snapshot.files.last().map(|file| file.verdict.task_id)
    }

    /// The newest epoch that was computed.
    pub fn newest_epoch(&self) -> Option<&Epoch> {
        self.snapshot.epochs.first()
    }

    /// A miner's place in the newest epoch.
    pub fn rank_of(&self, miner: &str) -> Option<u32> {
        let ranks = &self.newest_epoch()?.ranks;
        ranks.iter().find(|rank| &*rank.miner == miner).map(|rank| rank.rank)
    }

    /// Why a miner has no place in the newest epoch.
    pub fn why_ineligible(&self, miner: &str) -> Option<&str> {
        let ineligible = &self.newest_epoch()?.ineligible;
        ineligible.iter().find(|(hotkey, _)| &**hotkey == miner).map(|(_, why)| why.as_str())
    }

    /// A miner's share of all weight of the newest epoch, of 1: all of it for the winner, unless a
    /// policy record pays several.
    pub fn weight_of(&self, miner: &str) -> f64 {
        let Some(epoch) = self.newest_epoch() else { return 0.0 };
        let rank = epoch.ranks.iter().find(|rank| &*rank.miner == miner);
        let is_winner = epoch.winner.as_deref() == Some(miner);
        rank.and_then(|rank| rank.share).unwrap_or(if is_winner { 1.0 } else { 0.0 })
    }

    /// The miner that gets the weight of the newest epoch.
    pub fn winner(&self) -> Option<&HotkeyText> {
        self.newest_epoch()?.winner.as_ref()
    }

    /// The boundary of the first epoch of the winner's unbroken series, as far back as epochs are
    /// kept.
    pub fn winner_since(&self) -> Option<u64> {
        let winner = self.winner()?;
        let same =
            self.snapshot.epochs.iter().take_while(|one| one.winner.as_ref() == Some(winner));
        same.last().map(|epoch| epoch.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scale, subnet};

    #[test]
    fn each_validator_weighs_the_same_and_files_outside_the_window_do_not_count() {
        let mut snapshot = subnet(Scale { miners: 2, tasks: 4, validators: 2 });
        snapshot.files[0].in_window = false;
        let entries: Vec<(u64, HotkeyText, bool)> = snapshot.files[1..]
            .iter()
            .map(|file| {
                let entry = &file.verdict.entries[0];
                (file.verdict.task_id, file.verdict.producer.clone(), entry.passed)
            })
            .collect();
        let miner = snapshot.files[0].verdict.entries[0].miner.clone();
        let view = View::new(snapshot);
        let tallies = &view.tallies[&miner];
        assert_eq!(tallies.total.evaluated as usize, entries.len());
        assert_eq!(tallies.tasks as usize, entries.len());
        let rate = |producer: &HotkeyText| {
            let own: Vec<bool> =
                entries.iter().filter(|one| one.1 == *producer).map(|one| one.2).collect();
            own.iter().filter(|passed| **passed).count() as f64 / own.len() as f64
        };
        let producers: std::collections::BTreeSet<_> =
            entries.iter().map(|one| one.1.clone()).collect();
        let mean = producers.iter().map(rate).sum::<f64>() / producers.len() as f64;
        assert!((tallies.score() - mean).abs() < 1e-12);
        // The file outside of the window is still shown.
        assert_eq!(view.verdicts_on(&miner).count(), 4);
    }

    #[test]
    fn what_a_producer_reads_itself_is_no_verdict_on_a_miner() {
        let mut snapshot = subnet(Scale { miners: 2, tasks: 1, validators: 1 });
        let verdict = std::sync::Arc::make_mut(&mut snapshot.files[0].verdict);
        verdict.entries[0].is_reading = true;
        let readers = verdict.entries[0].miner.clone();
        let view = View::new(snapshot);
        assert!(!view.tallies.contains_key(&readers));
        assert_eq!(view.tallies.len(), 1);
    }

    #[test]
    fn the_winner_has_won_since_the_first_epoch_of_its_row() {
        let mut snapshot = subnet(Scale { miners: 3, tasks: 2, validators: 1 });
        let [one, other] = [0, 1].map(|index: usize| snapshot.miners[index].hotkey.clone());
        let epoch = |block, winner: &HotkeyText| Epoch {
            block,
            winner: Some(winner.clone()),
            ..Epoch::default()
        };
        snapshot.epochs =
            vec![epoch(720, &one), epoch(540, &one), epoch(360, &other), epoch(180, &one)];
        assert_eq!(View::new(snapshot).winner_since(), Some(540));
    }
}

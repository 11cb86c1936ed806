//! The allowlists that the mesh was given, and which tasks and producers they admit.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::turns::{self, Numbering};
use crate::{BlockNumber, ConsensusSchedule, Digest, FileId, Hotkey, MAX_PAST_ALLOWLISTS, TaskId};

/// Most validators on an allowlist: a subnet has 256 uids.
pub const MAX_VALIDATORS: usize = 256;
/// Most allowlists that are remembered: the newest, and those before it that the owner's record may
/// name. The mesh and the rotation remember equally many, or one would drop certificates of tasks
/// that the other counts.
pub const MAX_ALLOWLISTS: usize = MAX_PAST_ALLOWLISTS + 1;

/// The validators of one allowlist.
pub type Allowlist = BTreeSet<Hotkey>;

/// A list with the task from which it holds, as the validator hands it to the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskList {
    /// The first task under the list.
    pub from: TaskId,
    /// Blocks per task; at least one.
    pub interval: u64,
    /// The validators, in any order; at most [`MAX_VALIDATORS`], as the rotation's lists have.
    pub validators: Vec<Hotkey>,
}

#[derive(Clone, Debug)]
struct Entry {
    numbering: Numbering,
    /// The tasks that it makes; no two lists make the same one. May be empty.
    tasks: RangeInclusive<TaskId>,
    /// Sorted, as the rotation sorts them.
    validators: Vec<Hotkey>,
    list: Allowlist,
    digest: ListDigest,
}

/// The first eight bytes of the hash of a list's hotkeys: enough to tell apart the few lists that
/// are remembered.
pub type ListDigest = [u8; 8];

/// The allowlists of a subnet, each with the task from which it holds. Earlier tasks keep their
/// list and their numbers. A task has the list that the rotation gives it.
#[derive(Clone, Debug, Default)]
pub struct Allowlists {
    /// As they were committed, oldest first, and strictly ascending by their first block. Their
    /// first tasks need not ascend: a longer interval has lower numbers. Nothing is known about
    /// tasks before the first list.
    lists: Vec<Entry>,
}

impl Allowlists {
    /// The whole history in the order of the commitments, oldest first, as the rotation keeps it.
    /// Of more than [`MAX_ALLOWLISTS`] the newest are kept. A list replaces those before it that do
    /// not begin earlier.
    pub fn new(lists: impl IntoIterator<Item = TaskList>) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for TaskList { from, interval, validators } in lists {
            let list: Allowlist = validators.into_iter().collect();
            debug_assert!(list.len() <= MAX_VALIDATORS, "{} validators on a list", list.len());
            let validators: Vec<Hotkey> = list.iter().copied().collect();
            let parts: Vec<&[u8]> =
                validators.iter().map(|hotkey| &hotkey.as_bytes()[..]).collect();
            let mut digest = ListDigest::default();
            digest.copy_from_slice(&Digest::of_parts(&parts).0[..8]);
            let numbering = Numbering { from, interval: interval.max(1) };
            let first = numbering.first_block();
            while entries.last().is_some_and(|last| last.numbering.first_block() >= first) {
                entries.pop();
            }
            entries.push(Entry { numbering, tasks: from..=from, validators, list, digest });
        }
        let surplus = entries.len().saturating_sub(MAX_ALLOWLISTS);
        entries.drain(..surplus);
        // Which tasks a list makes depends on all that follow it.
        let numberings: Vec<Numbering> = entries.iter().map(|entry| entry.numbering).collect();
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.tasks = entry.numbering.tasks(numberings[index + 1..].iter().copied());
        }
        Self { lists: entries }
    }

    /// One list for all tasks.
    pub fn single(interval: u64, validators: impl IntoIterator<Item = Hotkey>) -> Self {
        let validators = validators.into_iter().collect();
        Self::new([TaskList { from: TaskId(0), interval, validators }])
    }

    fn entry(&self, task: TaskId) -> Option<&Entry> {
        self.lists.iter().rev().find(|entry| entry.tasks.contains(&task))
    }

    /// The list of `task`; empty if none is known, or if no list makes a task of this number.
    pub fn for_task(&self, task: TaskId) -> &Allowlist {
        static NONE: Allowlist = Allowlist::new();
        self.entry(task).map_or(&NONE, |entry| &entry.list)
    }

    /// Blocks per task under the list of `task`; `None` where no list is known to make it.
    pub fn interval_of(&self, task: TaskId) -> Option<u64> {
        self.entry(task).map(|entry| entry.numbering.interval)
    }

    /// The list that was committed last: the validators that may be connected.
    pub fn newest(&self) -> &Allowlist {
        static NONE: Allowlist = Allowlist::new();
        self.lists.last().map_or(&NONE, |entry| &entry.list)
    }

    /// The newest list in the order of its hotkeys, and its digest.
    pub fn newest_in_order(&self) -> (&[Hotkey], ListDigest) {
        self.lists.last().map_or((&[], [0; 8]), |entry| (&entry.validators, entry.digest))
    }

    /// The place of `hotkey` on the remembered list with this digest. The outer `None` says that no
    /// such list is known.
    pub fn place_on(&self, digest: ListDigest, hotkey: &Hotkey) -> Option<Option<usize>> {
        let entry = self.lists.iter().rev().find(|entry| entry.digest == digest)?;
        Some(entry.validators.binary_search(hotkey).ok())
    }

    /// Whether the producer of a file may produce its task at a step that the task reaches.
    pub fn is_scheduled(&self, file: &FileId, consensus: &ConsensusSchedule) -> bool {
        let Some(entry) = self.entry(file.task_id) else { return false };
        let Ok(place) = entry.validators.binary_search(&file.producer) else { return false };
        let interval = entry.numbering.interval;
        let start = BlockNumber(file.task_id.0.saturating_mul(interval));
        let grace = turns::grace_blocks(interval, consensus.at(start).failover_grace);
        let validators = entry.validators.len();
        turns::step_of_place(file.task_id, place, validators)
            <= turns::last_step(interval, grace, validators)
    }

    /// The lowest number of a task that ends after `block`, by the list that makes it. The list
    /// before the first one known is taken to have numbered its tasks alike. Where a longer
    /// interval uses lower numbers again, this is one of those and not the number that `block` lies
    /// in.
    pub fn oldest_task_after(&self, block: BlockNumber) -> TaskId {
        let first_of = |(index, entry): (usize, &Entry)| {
            let counted = entry.numbering.task_at(block);
            let first = if index == 0 { counted } else { counted.max(*entry.tasks.start()) };
            (first <= *entry.tasks.end()).then_some(first)
        };
        self.lists.iter().enumerate().filter_map(first_of).min().unwrap_or(TaskId(0))
    }

    /// The highest number that any validator may give a block's task. Heads differ, so it is that
    /// of the list in force, of the one before it, or of one that is to follow.
    pub fn newest_task_at(&self, block: BlockNumber) -> TaskId {
        let holds = |entry: &Entry| entry.numbering.first_block() <= block;
        let in_force = self.lists.iter().rposition(holds).unwrap_or(0);
        let near = self.lists.iter().skip(in_force.saturating_sub(1));
        TaskId(block.0 / near.map(|entry| entry.numbering.interval).min().unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConsensusParams;

    fn hotkey(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn list(from: u64, interval: u64, bytes: &[u8]) -> TaskList {
        let validators = bytes.iter().map(|byte| hotkey(*byte)).collect();
        TaskList { from: TaskId(from), interval, validators }
    }

    #[test]
    fn earlier_tasks_keep_their_list() {
        let lists = Allowlists::new([list(0, 100, &[1, 2]), list(10, 100, &[2, 3])]);
        assert!(lists.for_task(TaskId(9)).contains(&hotkey(1)));
        assert!(!lists.for_task(TaskId(10)).contains(&hotkey(1)));
        assert_eq!(lists.newest(), lists.for_task(TaskId(1_000_000)));
        assert!(lists.for_task(TaskId(u64::MAX)).is_empty(), "no block begins it");
        let replaced = Allowlists::new([list(10, 100, &[2, 3]), list(0, 100, &[1, 2])]);
        assert_eq!(replaced.lists.len(), 1, "the later one counts, and from an earlier block on");
        assert!(Allowlists::default().newest().is_empty());
    }

    #[test]
    fn as_many_lists_are_kept_as_the_owners_record_may_name_before_the_newest() {
        let many = |lists: u64| Allowlists::new((0..lists).map(|task| list(task, 100, &[1])));
        let full = many(MAX_ALLOWLISTS as u64);
        assert_eq!(full.lists.len(), MAX_PAST_ALLOWLISTS + 1);
        assert!(full.for_task(TaskId(0)).contains(&hotkey(1)), "the oldest of them counts");
        let beyond = many(MAX_ALLOWLISTS as u64 + 1);
        assert_eq!(beyond.lists.len(), MAX_ALLOWLISTS);
        assert!(beyond.for_task(TaskId(0)).is_empty(), "the oldest is forgotten");
        assert!(beyond.for_task(TaskId(1)).contains(&hotkey(1)));
    }

    #[test]
    fn the_newest_list_is_the_one_committed_last_whatever_its_task_numbers() {
        // Tasks of 500 blocks have lower numbers than those of 100 before them.
        let lists = Allowlists::new([
            list(300, 100, &[1, 2]),
            list(450, 100, &[1, 3]),
            list(100, 500, &[1, 4]),
        ]);
        assert!(lists.newest().contains(&hotkey(4)) && !lists.newest().contains(&hotkey(3)));
        assert_eq!(lists.newest_in_order().0, [hotkey(1), hotkey(4)]);
        // The last list owns the numbers that it uses again, so the other lists keep none.
        let intervals = [99, 100, 120, 300, 450].map(|task| lists.interval_of(TaskId(task)));
        assert_eq!(intervals, [None, Some(500), Some(500), Some(500), Some(500)]);
        assert!(lists.for_task(TaskId(300)).contains(&hotkey(4)));
        let oldest = |block| lists.oldest_task_after(BlockNumber(block)).0;
        assert_eq!([oldest(46_000), oldest(49_999), oldest(50_500)], [100, 100, 101]);
        // A validator that still counts by the second list is not ahead of this.
        assert_eq!(lists.newest_task_at(BlockNumber(50_500)).0, 505);
    }

    #[test]
    fn a_shorter_interval_numbers_tasks_anew_from_its_first_on() {
        // Committed at block 10 020: the first task that begins later is number 201.
        let lists = Allowlists::new([list(0, 100, &[1]), list(201, 50, &[1])]);
        let oldest = |block| lists.oldest_task_after(BlockNumber(block)).0;
        assert_eq!(oldest(10_099), 100, "the last task of the first list");
        assert_eq!(oldest(10_100), 202);
        assert_eq!(lists.newest_task_at(BlockNumber(10_020)).0, 200);
        let intervals = [100, 101, 200, 201].map(|task| lists.interval_of(TaskId(task)));
        assert_eq!(intervals, [Some(100), None, None, Some(50)], "no list makes those in between");
        let none = Allowlists::new([list(0, 0, &[1])]);
        assert_eq!(none.oldest_task_after(BlockNumber(7)).0, 7, "no division by zero");
        assert_eq!(Allowlists::default().oldest_task_after(BlockNumber(7)), TaskId(0));
    }

    #[test]
    fn a_list_that_is_in_force_bounds_the_numbers_however_many_are_to_follow() {
        // Committed one after the other before block 1050: they begin at 1050, 1500 and 2000.
        let lists = Allowlists::new([
            list(0, 100, &[1]),
            list(21, 50, &[1]),
            list(3, 500, &[1]),
            list(2, 1000, &[1]),
        ]);
        assert_eq!(lists.newest_task_at(BlockNumber(1060)).0, 21);
        assert_eq!(lists.newest_task_at(BlockNumber(2000)).0, 4, "of 500 or of 1000 blocks");
    }

    #[test]
    fn only_producers_whose_step_is_reached_are_scheduled() {
        let lists = Allowlists::single(100, (1..=5).map(hotkey));
        let default = ConsensusSchedule::from(ConsensusParams::default());
        let scheduled = |consensus: &ConsensusSchedule| -> Vec<u8> {
            let may = |byte: &u8| {
                let file = FileId { task_id: TaskId(3), producer: hotkey(*byte) };
                lists.is_scheduled(&file, consensus)
            };
            (1..=6).filter(may).collect()
        };
        assert_eq!(scheduled(&default), [4, 5], "the primary and one failover");
        let patient = ConsensusParams { failover_grace: Some(100), ..ConsensusParams::default() };
        assert_eq!(scheduled(&ConsensusSchedule::from(patient)), [4]);
        let hasty = ConsensusParams { failover_grace: Some(1), ..ConsensusParams::default() };
        assert_eq!(scheduled(&ConsensusSchedule::from(hasty)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_place_is_found_on_the_list_that_is_named() {
        let lists = Allowlists::new([list(0, 100, &[1, 2]), list(10, 100, &[2, 3])]);
        let (order, newest) = lists.newest_in_order();
        assert_eq!(order, [hotkey(2), hotkey(3)]);
        assert_eq!(lists.place_on(newest, &hotkey(3)), Some(Some(1)));
        assert_eq!(lists.place_on(newest, &hotkey(1)), Some(None));
        let older = lists.lists[0].digest;
        assert_eq!(lists.place_on(older, &hotkey(1)), Some(Some(0)));
        assert_eq!(lists.place_on([9; 8], &hotkey(1)), None);
    }
}

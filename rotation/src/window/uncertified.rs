//! The window without certificates: files of the Python implementation, which its vectors and
//! `leoma audit --allow-v1` count. No weights are set by it.
//!
//! | step | rule |
//! |---|---|
//! | one file a place | two different files of one task and producer: neither counts |
//! | admission | the producer was scheduled for the task |
//! | one file a task | the earliest scheduled producer's |
//! | the window | the newest tasks in the range |

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use leoma_protocol::{Digest, FileId, Hotkey};

use super::left_out::LeftOut;
use super::range::WindowRange;
use crate::TaskVerdicts;

/// A verified file that we hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldFile {
    /// Task and producer.
    pub id: FileId,
    /// The file's identity.
    pub digest: Digest,
}

impl From<&TaskVerdicts> for HeldFile {
    fn from(file: &TaskVerdicts) -> Self {
        Self { id: file.id, digest: file.digest }
    }
}

/// The files that speak for the tasks of a range without regard to certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UncertifiedWindow {
    /// One file a task, oldest first.
    pub files: Vec<FileId>,
    /// All others.
    pub left_out: Vec<(FileId, LeftOut)>,
}

impl UncertifiedWindow {
    /// Picks the window from files in any order, given any number of times.
    pub fn select(range: &WindowRange<'_>, files: &[HeldFile]) -> Self {
        let mut window = Self::default();
        let mut candidates = Vec::with_capacity(files.len());
        for id in one_file_a_place(files, &mut window.left_out) {
            match range.admit(&id) {
                Ok(step) => candidates.push(Candidate { step, id }),
                Err(reason) => window.left_out.push((id, reason)),
            }
        }
        candidates.sort_unstable_by(Candidate::by_task_and_step);
        for of_task in candidates.chunk_by(|a, b| a.id.task_id == b.id.task_id) {
            let first = of_task[0].id;
            if window.files.len() < range.window_tasks() {
                window.files.push(first);
            } else {
                window.left_out.push((first, LeftOut::OlderThanWindow));
            }
            let reason = LeftOut::Superseded { by: first.producer };
            window.left_out.extend(of_task[1..].iter().map(|other| (other.id, reason)));
        }
        window.files.reverse();
        window
    }

    /// The distinct producers of the window's files, sorted.
    pub fn active_validators(&self) -> Vec<Hotkey> {
        super::producers(&self.files)
    }
}

struct Candidate {
    /// When the producer was scheduled: 0 for the primary.
    step: usize,
    id: FileId,
}

impl Candidate {
    /// The newest task first; within a task the file that speaks for it first.
    fn by_task_and_step(&self, other: &Self) -> Ordering {
        let newest_first = Reverse(self.id.task_id).cmp(&Reverse(other.id.task_id));
        newest_first.then(self.step.cmp(&other.step))
    }
}

/// Each (task, producer) that has one file, sorted.
fn one_file_a_place(files: &[HeldFile], left_out: &mut Vec<(FileId, LeftOut)>) -> Vec<FileId> {
    let distinct: BTreeSet<HeldFile> = files.iter().copied().collect();
    let distinct: Vec<HeldFile> = distinct.into_iter().collect();
    let mut places = Vec::with_capacity(distinct.len());
    for same_place in distinct.chunk_by(|a, b| a.id == b.id) {
        match same_place {
            [file] => places.push(file.id),
            more => left_out.extend(more.iter().map(|file| (file.id, LeftOut::Conflicting))),
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowlist, AllowlistHistory};
    use leoma_protocol::{BlockNumber, ConsensusParams, TaskId};

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn held(task: u64, producer: u8, content: &[u8]) -> HeldFile {
        HeldFile {
            id: FileId { task_id: TaskId(task), producer: hotkey(producer) },
            digest: Digest::of(content),
        }
    }

    fn window(block: u64, files: &[HeldFile]) -> UncertifiedWindow {
        let params = ConsensusParams::default();
        let list = Allowlist::new(100, (0..4).map(hotkey)).unwrap();
        let history = AllowlistHistory::since_genesis(list);
        UncertifiedWindow::select(&WindowRange::new(&params, &history, BlockNumber(block)), files)
    }

    #[test]
    fn an_unscheduled_validator_cannot_claim_an_unclaimed_task() {
        // Task 8 is validator 0's, then 1's; the grace period of half a task lets nobody else come
        // in.
        let found = window(4200, &[held(8, 2, b""), held(9, 200, b"")]);
        assert_eq!(found.files, []);
        let reasons: Vec<_> = found.left_out.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(reasons, [LeftOut::NotScheduled, LeftOut::NotListed]);
        assert_eq!(window(4200, &[held(8, 1, b"")]).files[0].producer, hotkey(1));
    }

    #[test]
    fn the_earliest_scheduled_producer_speaks_for_a_task() {
        let (primary, failover) = (held(8, 0, b"primary"), held(8, 1, b"failover"));
        let found = window(4200, &[failover, primary]);
        assert_eq!(found.files, [primary.id]);
        assert_eq!(found.left_out, [(failover.id, LeftOut::Superseded { by: hotkey(0) })]);
    }

    #[test]
    fn of_two_files_in_one_place_none_counts() {
        let (one, two) = (held(8, 0, b"one"), held(8, 0, b"two"));
        let found = window(4200, &[one, two, one]);
        assert_eq!((found.files.len(), found.left_out.len()), (0, 2));
        assert_eq!(found.left_out[0].1, LeftOut::Conflicting);
    }

    #[test]
    fn a_full_window_keeps_the_newest_tasks() {
        let files: Vec<_> = (0..=500).map(|task| held(task, (task % 4) as u8, b"")).collect();
        let found = window(50_000, &files);
        let tasks: Vec<_> = found.files.iter().map(|file| file.task_id.0).collect();
        assert_eq!(tasks, (399..=498).collect::<Vec<_>>());
        let reasons: BTreeSet<_> = found.left_out.iter().map(|(_, reason)| *reason).collect();
        let expected = [LeftOut::Unsettled, LeftOut::BeyondLookback, LeftOut::OlderThanWindow];
        assert_eq!(reasons, expected.into());
    }
}

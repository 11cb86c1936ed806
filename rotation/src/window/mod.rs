//! The window: the tasks that a winner is judged on, and the file that speaks for each of them.
//!
//! | step | where | what it leaves out |
//! |---|---|---|
//! | bounds of the epoch | `range.rs` | |
//! | files that came in time | `late.rs` | files that not everybody may have yet |
//! | one file a task | `canonical.rs` | files of the unscheduled, of equivocators, of later producers |
//! | the newest settled tasks | here | tasks outside the bounds, and those beyond the window's size |
//!
//! A file that counts for nothing is named together with the reason.

mod canonical;
mod late;
mod left_out;
mod range;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use leoma_protocol::{FileId, Hotkey};

pub use canonical::{Canonical, CanonicalFile, HeldFile, canonical_files};
pub(crate) use late::InTime;
pub use left_out::LeftOut;
pub use range::WindowRange;

/// The window of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The canonical files of its tasks, oldest first, all of them held.
    pub files: Vec<CanonicalFile>,
    /// Certified files of the window that we do not hold: without them the outcome is not
    /// everybody's.
    pub missing: Vec<FileId>,
    /// Canonical files that are not in the window.
    pub left_out: Vec<(FileId, LeftOut)>,
}

impl Window {
    /// The newest tasks in the range, as many as a window holds.
    pub fn select(range: &WindowRange<'_>, canonical: &[CanonicalFile]) -> Self {
        let mut window = Self { files: Vec::new(), missing: Vec::new(), left_out: Vec::new() };
        let mut free = range.window_tasks();
        let mut newest_first = canonical.to_vec();
        newest_first.sort_unstable_by_key(|file| Reverse(file.id));
        for file in newest_first {
            let reason = match range.check(file.id.task_id) {
                Err(reason) => Some(reason),
                Ok(()) if free == 0 => Some(LeftOut::OlderThanWindow),
                Ok(()) => None,
            };
            match (reason, file.held) {
                (None, held) => {
                    free -= 1;
                    match held {
                        Some(_) => window.files.push(file),
                        None => window.missing.push(file.id),
                    }
                }
                (Some(reason), Some(_)) => window.left_out.push((file.id, reason)),
                (Some(_), None) => {}
            }
        }
        window.files.reverse();
        window.missing.reverse();
        window
    }

    /// The distinct producers of the window's files, sorted.
    pub fn active_validators(&self) -> Vec<Hotkey> {
        let producers: BTreeSet<Hotkey> = self.files.iter().map(|file| file.id.producer).collect();
        producers.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowlist, AllowlistHistory, Certificates};
    use leoma_protocol::{BlockNumber, Digest};
    use leoma_protocol::{ConsensusParams, TaskId};

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    fn history(validators: u8) -> AllowlistHistory {
        AllowlistHistory::since_genesis(Allowlist::new(100, (0..validators).map(hotkey)).unwrap())
    }

    fn held(task: u64, producer: u8, content: &[u8]) -> HeldFile {
        HeldFile {
            id: FileId { task_id: TaskId(task), producer: hotkey(producer) },
            digest: Digest::of(content),
        }
    }

    fn window(epoch_block: u64, tasks: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (params, history) = (ConsensusParams::default(), history(4));
        let files: Vec<_> =
            tasks.into_iter().map(|task| held(task, (task % 4) as u8, b"")).collect();
        let canonical =
            canonical_files(&params, &history, &files, &Certificates::default(), &BTreeSet::new());
        let range = WindowRange::new(&params, &history, BlockNumber(epoch_block));
        let window = Window::select(&range, &canonical.files);
        window.files.iter().map(|file| file.id.task_id.0).collect()
    }

    #[test]
    fn the_newest_two_task_numbers_are_left_to_settle_even_when_they_were_not_produced() {
        // The reference dropped the newest two produced tasks, here 6 and 7.
        assert_eq!(window(1000, [5, 6, 7]), [5, 6, 7]);
        assert_eq!(window(1000, [7, 8, 9, 10]), [7, 8]);
        assert_eq!(window(1099, [7, 8, 9, 10]), [7, 8]);
        assert_eq!(window(1100, [7, 8, 9, 10]), [7, 8, 9]);
        assert_eq!(window(100, [0, 1]), Vec::<u64>::new());
        assert_eq!(window(0, [0]), Vec::<u64>::new());
    }

    #[test]
    fn a_full_window_keeps_the_newest_tasks_inside_the_lookback() {
        assert_eq!(window(50_000, 0..=500), (399..=498).collect::<Vec<_>>());
        assert_eq!(window(50_050, [199, 200, 201, 498]), [200, 201, 498]);
    }

    #[test]
    fn numbers_at_the_end_of_the_range_do_not_overflow() {
        let (params, history) = (ConsensusParams::default(), history(4));
        let range = WindowRange::new(&params, &history, BlockNumber(u64::MAX));
        assert_eq!(range.check(TaskId(u64::MAX)), Err(LeftOut::NoAllowlist));
        assert_eq!(range.check(TaskId(u64::MAX / 100)), Err(LeftOut::Unsettled));
        assert_eq!(
            window(u64::MAX, [u64::MAX, u64::MAX / 100, u64::MAX / 100 - 2]),
            [u64::MAX / 100 - 2]
        );
    }
}

//! Which file speaks for a task.
//!
//! | step | rule |
//! |---|---|
//! | one file a place | of several files of one task and producer the certified one; if none is certified, none of them |
//! | admission | the producer was scheduled for the task, and there is no evidence against it |
//! | one file a task | a certified file before others, then the earliest scheduled producer's |

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use leoma_protocol::{ConsensusParams, Digest, FileId, Hotkey};

use super::left_out::LeftOut;
use crate::{AllowlistHistory, Certificates, TaskVerdicts};

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

/// The file that speaks for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanonicalFile {
    /// Task and producer.
    pub id: FileId,
    /// Its place among the files that were given; `None` for a certified file that we do not hold.
    pub held: Option<usize>,
}

/// One canonical file for each task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// Newest task first.
    pub files: Vec<CanonicalFile>,
    /// All others.
    pub left_out: Vec<(FileId, LeftOut)>,
}

/// Picks the file that speaks for each task.
///
/// Files may come in any order and repeatedly. All files of an equivocator are left out. A
/// certified file that is not among `files` still stands for its task: otherwise the validators
/// that hold it would see another window than we do.
#[must_use]
pub fn canonical_files(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    files: &[HeldFile],
    certificates: &Certificates,
    equivocators: &BTreeSet<Hotkey>,
) -> Canonical {
    let mut left_out = Vec::new();
    let mut candidates = Vec::with_capacity(files.len());
    for CanonicalFile { id, held } in one_file_a_place(files, certificates, &mut left_out) {
        match admit(params, history, &id, equivocators) {
            Ok(step) => {
                let is_certified = certificates.get(&id).is_some();
                candidates.push(Candidate { is_certified, step, id, held });
            }
            Err(reason) => left_out.push((id, reason)),
        }
    }
    candidates.sort_unstable_by(Candidate::by_task_and_precedence);
    let mut canonical = Vec::new();
    for of_task in candidates.chunk_by(|a, b| a.id.task_id == b.id.task_id) {
        let first = &of_task[0];
        canonical.push(CanonicalFile { id: first.id, held: first.held });
        let reason = LeftOut::Superseded { by: first.id.producer };
        let others = of_task[1..].iter().filter(|other| other.held.is_some());
        left_out.extend(others.map(|other| (other.id, reason)));
    }
    Canonical { files: canonical, left_out }
}

struct Candidate {
    is_certified: bool,
    /// When the producer was scheduled: 0 for the primary.
    step: usize,
    id: FileId,
    held: Option<usize>,
}

impl Candidate {
    /// The newest task first; within a task the file that speaks for it first.
    fn by_task_and_precedence(&self, other: &Self) -> Ordering {
        let newest_first = Reverse(self.id.task_id).cmp(&Reverse(other.id.task_id));
        let certified_first = Reverse(self.is_certified).cmp(&Reverse(other.is_certified));
        let earliest_first = self.step.cmp(&other.step);
        newest_first.then(certified_first).then(earliest_first)
    }
}

/// Each (task, producer) once, with the index of the file to use: the certified one if there is
/// one, else the only one.
fn one_file_a_place(
    files: &[HeldFile],
    certificates: &Certificates,
    left_out: &mut Vec<(FileId, LeftOut)>,
) -> Vec<CanonicalFile> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_unstable_by_key(|index| files[*index]);
    order.dedup_by_key(|index| files[*index]);
    let mut places = Vec::with_capacity(order.len());
    for same_place in order.chunk_by(|a, b| files[*a].id == files[*b].id) {
        let id = files[same_place[0]].id;
        match (certificates.get(&id), same_place) {
            (Some(certified), _) => {
                let is_certified = |index: &&usize| files[**index].digest == certified;
                let (chosen, others): (Vec<_>, Vec<_>) = same_place.iter().partition(is_certified);
                places.extend(chosen.first().map(|index| CanonicalFile { id, held: Some(*index) }));
                let reason = LeftOut::NotTheCertified { certified };
                left_out.extend(others.iter().map(|_| (id, reason)));
            }
            (None, [index]) => places.push(CanonicalFile { id, held: Some(*index) }),
            (None, conflicting) => {
                left_out.extend(conflicting.iter().map(|_| (id, LeftOut::Conflicting)));
            }
        }
    }
    let held: BTreeSet<FileId> = places.iter().map(|place| place.id).collect();
    let not_held = certificates.iter().map(|(id, _)| id).filter(|id| !held.contains(id));
    places.extend(not_held.map(|id| CanonicalFile { id, held: None }));
    places
}

/// The step at which the file's producer was scheduled.
fn admit(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    file: &FileId,
    equivocators: &BTreeSet<Hotkey>,
) -> Result<usize, LeftOut> {
    let schedule = history.schedule_of(file.task_id, params).ok_or(LeftOut::NoAllowlist)?;
    if !schedule.allowlist().contains(&file.producer) {
        return Err(LeftOut::NotListed);
    }
    let step = schedule.step_of(file.task_id, &file.producer).ok_or(LeftOut::NotScheduled)?;
    if equivocators.contains(&file.producer) {
        return Err(LeftOut::Equivocation);
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Allowlist;
    use crate::window::{Window, WindowRange};
    use leoma_protocol::{BlockNumber, TaskId};

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

    fn canonical(files: &[HeldFile], certificates: &Certificates) -> Canonical {
        canonical_files(
            &ConsensusParams::default(),
            &history(4),
            files,
            certificates,
            &BTreeSet::new(),
        )
    }

    #[test]
    fn an_unscheduled_validator_cannot_claim_an_unclaimed_task() {
        // Task 8 is validator 0's, then 1's; the grace period of half a task lets nobody else come
        // in.
        let found = canonical(&[held(8, 2, b""), held(9, 200, b"")], &Certificates::default());
        assert_eq!(found.files, []);
        let reasons: Vec<_> = found.left_out.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(reasons, [LeftOut::NotScheduled, LeftOut::NotListed]);
        let failover = canonical(&[held(8, 1, b"")], &Certificates::default());
        assert_eq!(failover.files[0].id.producer, hotkey(1));
    }

    #[test]
    fn a_certified_file_beats_the_order_of_buckets() {
        let (primary, failover) = (held(8, 0, b"primary"), held(8, 1, b"failover"));
        let plain = canonical(&[failover, primary], &Certificates::default());
        assert_eq!(plain.files[0].id, primary.id);
        let certificates = Certificates::from_iter([(failover.id, failover.digest)]);
        let found = canonical(&[failover, primary], &certificates);
        assert_eq!(found.files, [CanonicalFile { id: failover.id, held: Some(0) }]);
        assert_eq!(found.left_out, [(primary.id, LeftOut::Superseded { by: hotkey(1) })]);
    }

    #[test]
    fn a_certified_file_that_is_not_held_stands_for_its_task_and_is_missed() {
        let (primary, failover) = (held(8, 0, b"primary"), held(8, 1, b"failover"));
        let certificates = Certificates::from_iter([(primary.id, Digest::of(b"other"))]);
        let found = canonical(&[failover, primary], &certificates);
        assert_eq!(found.files, [CanonicalFile { id: primary.id, held: None }]);
        let certified = Digest::of(b"other");
        assert!(found.left_out.contains(&(primary.id, LeftOut::NotTheCertified { certified })));
        assert!(found.left_out.contains(&(failover.id, LeftOut::Superseded { by: hotkey(0) })));
        let (params, history) = (ConsensusParams::default(), history(4));
        let range = WindowRange::new(&params, &history, BlockNumber(1000));
        let window = Window::select(&range, &found.files);
        assert_eq!((window.files, window.missing), (vec![], vec![primary.id]));
    }

    #[test]
    fn of_two_files_in_one_place_only_a_certified_one_counts() {
        let (one, two) = (held(8, 0, b"one"), held(8, 0, b"two"));
        let found = canonical(&[one, two, one], &Certificates::default());
        assert_eq!((found.files.len(), found.left_out.len()), (0, 2));
        assert_eq!(found.left_out[0].1, LeftOut::Conflicting);
        let found = canonical(&[one, two, one], &Certificates::from_iter([(two.id, two.digest)]));
        assert_eq!(found.files, [CanonicalFile { id: two.id, held: Some(1) }]);
    }
}

//! The window: the tasks that a winner is judged on, and which file speaks for each of them.
//!
//! Three steps. [`WindowRange::check_signed`] leaves files to a later epoch that not everybody may
//! have yet; [`canonical_files`] picks one of the others a task; [`Window::select`] takes the
//! newest settled tasks of those. A file that counts for nothing is named together with the reason.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, TaskId};

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

/// Why a verified file has no part in the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LeftOut {
    /// No allowlist makes a task with this number.
    #[error("no allowlist was in force for the task")]
    NoAllowlist,
    /// The producer is not on the task's allowlist.
    #[error("the producer is not on the task's allowlist")]
    NotListed,
    /// The producer had no turn in this task.
    #[error("the producer was not scheduled: its failover step comes after the task's end")]
    NotScheduled,
    /// The producer signed two files for one task.
    #[error("the producer equivocated: it signed two digests for one task")]
    Equivocation,
    /// We hold two files for this place, and nothing says which one counts.
    #[error("two different files of the same task and producer")]
    Conflicting,
    /// Another file for this place is certified.
    #[error("another file of this task and producer is certified: {}", certified.short())]
    NotTheCertified {
        /// Its digest.
        certified: Digest,
    },
    /// It may not have been with everybody when the epoch was computed.
    #[error("signed in block {}, too late to count in this epoch", signed_at.0)]
    SignedLate {
        /// When it says it was signed.
        signed_at: BlockNumber,
    },
    /// Another producer's file speaks for the task.
    #[error("{by}'s file speaks for the task")]
    Superseded {
        /// Whose file.
        by: Hotkey,
    },
    /// The task may still be written or fetched.
    #[error("the task had not settled by the epoch block")]
    Unsettled,
    /// The task ended too long before the epoch block.
    #[error("the task is older than the lookback")]
    BeyondLookback,
    /// Enough newer tasks are there.
    #[error("the window is full of newer tasks")]
    OlderThanWindow,
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

/// Picks the file that speaks for each task: a certified one before others, then the earliest
/// scheduled producer's.
///
/// Files may come in any order and repeatedly. All files of an equivocator are left out. A
/// certified file that is not among `files` still stands for its task: validators that hold it
/// would otherwise see another window than we do.
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
    for (file, held) in one_file_a_place(files, certificates, &mut left_out) {
        match admit(params, history, &file, equivocators) {
            Ok(step) => candidates.push(Candidate {
                certified: certificates.get(&file).is_some(),
                step,
                file,
                held,
            }),
            Err(reason) => left_out.push((file, reason)),
        }
    }
    candidates.sort_unstable_by_key(|candidate| {
        (Reverse(candidate.file.task_id), !candidate.certified, candidate.step)
    });
    let mut canonical = Vec::new();
    for of_task in candidates.chunk_by(|a, b| a.file.task_id == b.file.task_id) {
        let first = &of_task[0];
        canonical.push(CanonicalFile { id: first.file, held: first.held });
        let others = of_task[1..].iter().filter(|candidate| candidate.held.is_some());
        left_out.extend(
            others.map(|other| (other.file, LeftOut::Superseded { by: first.file.producer })),
        );
    }
    Canonical { files: canonical, left_out }
}

struct Candidate {
    certified: bool,
    step: usize,
    file: FileId,
    held: Option<usize>,
}

/// Each (task, producer) once, with the index of the file to use: the certified one where there is
/// one, else the only one.
fn one_file_a_place(
    files: &[HeldFile],
    certificates: &Certificates,
    left_out: &mut Vec<(FileId, LeftOut)>,
) -> Vec<(FileId, Option<usize>)> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_unstable_by_key(|index| files[*index]);
    order.dedup_by_key(|index| files[*index]);
    let mut places = Vec::with_capacity(order.len());
    for same_place in order.chunk_by(|a, b| files[*a].id == files[*b].id) {
        let id = files[same_place[0]].id;
        match (certificates.get(&id), same_place) {
            (Some(certified), _) => {
                let (ours, others): (Vec<_>, Vec<_>) = same_place
                    .iter()
                    .partition(|index: &&usize| files[**index].digest == certified);
                places.extend(ours.first().map(|index| (id, Some(*index))));
                left_out
                    .extend(others.iter().map(|_| (id, LeftOut::NotTheCertified { certified })));
            }
            (None, [index]) => places.push((id, Some(*index))),
            (None, conflicting) => {
                left_out.extend(conflicting.iter().map(|_| (id, LeftOut::Conflicting)))
            }
        }
    }
    let held: BTreeSet<FileId> = places.iter().map(|(id, _)| *id).collect();
    places
        .extend(certificates.iter().filter(|(id, _)| !held.contains(id)).map(|(id, _)| (id, None)));
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

/// Which tasks an epoch block looks at. Tasks are compared by their blocks, so that a change of the
/// interval shifts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRange {
    /// Last start block of a settled task; `None` when none has settled.
    settled_until: Option<u64>,
    /// A task must end after this block; `None` without a limit.
    ends_after: Option<u64>,
    /// A file must be signed in this block or before.
    signed_until: u64,
}

impl WindowRange {
    /// The range at `epoch_block`, which need not be a multiple of anything. The settle margin
    /// counts task numbers back from the task of the epoch block, produced or not. A lookback of
    /// zero blocks is no limit; one that begins inside a task includes that task.
    #[must_use]
    pub fn new(
        params: &ConsensusParams,
        history: &AllowlistHistory,
        epoch_block: BlockNumber,
    ) -> Self {
        let interval = history.at_block(epoch_block).map(|entry| entry.allowlist.interval());
        let settled_until = interval.and_then(|interval| {
            let newest = (epoch_block.0 / interval).checked_sub(params.settle_margin)?;
            newest.checked_mul(interval)
        });
        let limited = params.lookback_blocks > 0;
        let ends_after =
            limited.then(|| epoch_block.0.checked_sub(params.lookback_blocks)).flatten();
        let share = params.spread;
        let spread = interval.unwrap_or_default().saturating_mul(share.numerator.into())
            / u64::from(share.denominator.max(1));
        Self { settled_until, ends_after, signed_until: epoch_block.0.saturating_sub(spread) }
    }

    /// Whether a file that was signed in this block counts. Its task may have settled while it was
    /// made, and one that some validators get before they compute and others after it would divide
    /// them.
    ///
    /// # Errors
    /// [`LeftOut::SignedLate`].
    pub fn check_signed(&self, signed_at: BlockNumber) -> Result<(), LeftOut> {
        if signed_at.0 > self.signed_until {
            Err(LeftOut::SignedLate { signed_at })
        } else {
            Ok(())
        }
    }

    /// Whether the task lies in the range.
    ///
    /// # Errors
    /// [`LeftOut::NoAllowlist`], [`LeftOut::Unsettled`] or [`LeftOut::BeyondLookback`].
    pub fn check(&self, history: &AllowlistHistory, task_id: TaskId) -> Result<(), LeftOut> {
        let interval = history.of_task(task_id).ok_or(LeftOut::NoAllowlist)?.allowlist.interval();
        let start = u128::from(task_id.0) * u128::from(interval);
        if self.settled_until.is_none_or(|last| start > u128::from(last)) {
            return Err(LeftOut::Unsettled);
        }
        if self.ends_after.is_some_and(|block| start + u128::from(interval) <= u128::from(block)) {
            return Err(LeftOut::BeyondLookback);
        }
        Ok(())
    }

    /// The producers against whom there is evidence for a task in the range. Evidence for a task
    /// that has not settled waits, as its files do, until every validator has had time to hear of
    /// it.
    #[must_use]
    pub fn equivocators(
        &self,
        history: &AllowlistHistory,
        evidence: &[FileId],
    ) -> BTreeSet<Hotkey> {
        let in_range = evidence.iter().filter(|file| self.check(history, file.task_id).is_ok());
        in_range.map(|file| file.producer).collect()
    }
}

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
    /// The newest `window_tasks` tasks in the range.
    #[must_use]
    pub fn select(
        params: &ConsensusParams,
        history: &AllowlistHistory,
        range: &WindowRange,
        canonical: &[CanonicalFile],
    ) -> Self {
        let mut window = Self { files: Vec::new(), missing: Vec::new(), left_out: Vec::new() };
        let mut places = params.window_tasks;
        let mut newest_first = canonical.to_vec();
        newest_first.sort_unstable_by_key(|file| Reverse(file.id));
        for file in newest_first {
            let verdict = range.check(history, file.id.task_id);
            let verdict =
                verdict.and_then(|()| places.checked_sub(1).ok_or(LeftOut::OlderThanWindow));
            match (verdict, file.held) {
                (Ok(rest), held) => {
                    places = rest;
                    match held {
                        Some(_) => window.files.push(file),
                        None => window.missing.push(file.id),
                    }
                }
                (Err(reason), Some(_)) => window.left_out.push((file.id, reason)),
                (Err(_), None) => {}
            }
        }
        window.files.reverse();
        window.missing.reverse();
        window
    }

    /// The distinct producers of the window's files, sorted.
    #[must_use]
    pub fn active_validators(&self) -> Vec<Hotkey> {
        let producers: BTreeSet<Hotkey> = self.files.iter().map(|file| file.id.producer).collect();
        producers.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Allowlist;

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

    fn window(epoch_block: u64, tasks: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (params, history) = (ConsensusParams::default(), history(4));
        let files: Vec<_> =
            tasks.into_iter().map(|task| held(task, (task % 4) as u8, b"")).collect();
        let canonical =
            canonical_files(&params, &history, &files, &Certificates::default(), &BTreeSet::new());
        let range = WindowRange::new(&params, &history, BlockNumber(epoch_block));
        let window = Window::select(&params, &history, &range, &canonical.files);
        window.files.iter().map(|file| file.id.task_id.0).collect()
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
    fn a_file_counts_an_eighth_of_an_interval_after_its_signature() {
        // An eighth of 100 blocks is 12.
        let range = WindowRange::new(&ConsensusParams::default(), &history(4), BlockNumber(1000));
        assert_eq!([0, 700, 988].map(|block| range.check_signed(BlockNumber(block))), [Ok(()); 3]);
        for block in [989, 1000, u64::MAX] {
            let signed_at = BlockNumber(block);
            assert_eq!(range.check_signed(signed_at), Err(LeftOut::SignedLate { signed_at }));
        }
    }

    #[test]
    fn a_full_window_keeps_the_newest_tasks_inside_the_lookback() {
        assert_eq!(window(50_000, 0..=500), (399..=498).collect::<Vec<_>>());
        assert_eq!(window(50_050, [199, 200, 201, 498]), [200, 201, 498]);
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
        let window = Window::select(&params, &history, &range, &found.files);
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

    #[test]
    fn evidence_counts_while_its_task_lies_in_the_range() {
        let (params, history) = (ConsensusParams::default(), history(4));
        let evidence = [held(8, 0, b"").id];
        let blamed = |block| {
            !WindowRange::new(&params, &history, BlockNumber(block))
                .equivocators(&history, &evidence)
                .is_empty()
        };
        assert_eq!([900, 1000, 30_899, 30_900].map(blamed), [false, true, true, false]);
    }

    #[test]
    fn numbers_at_the_end_of_the_range_do_not_overflow() {
        let (params, history) = (ConsensusParams::default(), history(4));
        let range = WindowRange::new(&params, &history, BlockNumber(u64::MAX));
        assert_eq!(range.check(&history, TaskId(u64::MAX)), Err(LeftOut::NoAllowlist));
        assert_eq!(range.check(&history, TaskId(u64::MAX / 100)), Err(LeftOut::Unsettled));
        assert_eq!(
            window(u64::MAX, [u64::MAX, u64::MAX / 100, u64::MAX / 100 - 2]),
            [u64::MAX / 100 - 2]
        );
    }
}

//! Which files count in an epoch: those that enough witnesses on chain say they hold.
//!
//! | rule | why |
//! |---|---|
//! | a witness is fresh if it names this epoch and was included in the blocks `[E − w, E)` | everybody reads the same ones at the hash of E |
//! | its writer is on the list in force at E, whoever was on the task's | the count below needs one list whose f is known |
//! | a file counts if f + 1 fresh witnesses carry its bit | one of them is honest: the certificate exists, and somebody serves the file |
//! | the lowest step of a task that counts is its file | one file a task |
//! | the newest tasks that have one are the window | |
//! | f + 1 witnesses name a task whose list we do not know: no epoch for us | the others count it |
//! | fewer than f + 1 fresh witnesses: no epoch | nothing can count, and burning for that would be a decision of the few who were there |

use std::collections::BTreeMap;

use leoma_protocol::{ConsensusParams, FileId, Hotkey, TaskId, Witness, faulty};

use super::range::WindowRange;
use crate::decision::Reason;
use crate::{AllowlistHistory, EpochSnapshot};

/// What the chain's witnesses say at an epoch block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The window's tasks, oldest first, and the file that speaks for each: what to fetch before
    /// [`crate::epoch()`].
    pub files: Vec<FileId>,
    /// The listed validators with a fresh witness, sorted.
    pub fresh: Vec<Hotkey>,
    /// How many witnesses a file needs: one more than may be dishonest.
    pub required: usize,
    /// Tasks that count, and that no list of ours makes: our history is incomplete.
    pub unknown: Vec<TaskId>,
    /// Who witnesses which file, counted or not; files that nobody witnesses are left out.
    pub witnesses: BTreeMap<FileId, Vec<Hotkey>>,
}

impl Counted {
    /// How many validators witness a file.
    pub fn witnesses_of(&self, file: &FileId) -> usize {
        self.witnesses.get(file).map_or(0, Vec::len)
    }

    /// Whether there are enough fresh witnesses for an epoch.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        let (fresh, required) = (self.fresh.len(), self.required);
        if fresh < required {
            return Err(Reason::TooFewWitnesses { fresh, required });
        }
        if !self.unknown.is_empty() {
            return Err(Reason::UnknownLists { tasks: self.unknown.len() });
        }
        Ok(())
    }
}

/// Which files count at the block of `snapshot`. It follows from the chain alone: everyone who
/// reads the same block finds the same files, whatever files they hold. Lists that `history` knows
/// from later blocks change nothing.
///
/// # Errors
/// [`Reason::NoAllowlist`] and [`Reason::TooFewWitnesses`]: then nobody sets weights.
/// [`Reason::UnknownLists`]: then we do not.
pub fn counted(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
) -> Result<Counted, Reason> {
    let history = history.as_of(snapshot.block);
    let counted = count(params, &history, snapshot).ok_or(Reason::NoAllowlist)?;
    counted.check()?;
    Ok(counted)
}

/// The count, however few witnesses there are; `None` if no list is in force at the epoch block.
pub(crate) fn count(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
) -> Option<Counted> {
    let list = &history.at_block(snapshot.block)?.allowlist;
    let span = params.witness_span(list.interval(), snapshot.block);
    let fresh: Vec<(Hotkey, &Witness)> = list
        .validators()
        .iter()
        .filter_map(|hotkey| Some((*hotkey, snapshot.witnesses.get(hotkey)?)))
        .filter(|(_, found)| span.contains(&found.committed_at))
        .map(|(hotkey, found)| (hotkey, &found.witness))
        .filter(|(_, witness)| witness.epoch_block == snapshot.block)
        .collect();
    let required = faulty(list.validators().len()) + 1;

    let range = WindowRange::new(params, history, snapshot.block);
    let mut witnesses = BTreeMap::new();
    let mut files = Vec::new();
    for of_task in range.scheduled_files() {
        let mut speaks = None;
        for (step, file) in of_task.into_iter().enumerate() {
            let holds = |(_, witness): &&(Hotkey, &Witness)| witness.holds(file.task_id, step);
            let by: Vec<Hotkey> = fresh.iter().filter(holds).map(|(hotkey, _)| *hotkey).collect();
            if by.len() >= required && speaks.is_none() {
                speaks = Some(file);
            }
            if !by.is_empty() {
                witnesses.insert(file, by);
            }
        }
        if files.len() < range.window_tasks() {
            files.extend(speaks);
        }
    }
    files.reverse();
    let unknown = unknown_tasks(history, &fresh, required);
    let fresh = fresh.into_iter().map(|(hotkey, _)| hotkey).collect();
    Some(Counted { files, fresh, required, unknown, witnesses })
}

/// The tasks that enough witnesses name and no list of `history` makes, sorted. One of the witnesses
/// is honest and knows a list that we do not, so others count files that we cannot name.
fn unknown_tasks(
    history: &AllowlistHistory,
    fresh: &[(Hotkey, &Witness)],
    required: usize,
) -> Vec<TaskId> {
    let mut named: BTreeMap<(TaskId, usize), usize> = BTreeMap::new();
    for (_, witness) in fresh {
        for (task, step) in witness.held().filter(|(task, _)| history.of_task(*task).is_none()) {
            *named.entry((task, step)).or_default() += 1;
        }
    }
    let counts = named.into_iter().filter(|(_, witnesses)| *witnesses >= required);
    let mut tasks: Vec<TaskId> = counts.map(|((task, _), _)| task).collect();
    tasks.dedup();
    tasks
}

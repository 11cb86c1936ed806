//! An epoch's file as observations, for rules that the epoch did not use.

use std::path::Path;

use anyhow::{Context as _, bail};
use leoma_protocol::verdict::verify;
use leoma_protocol::{ConsensusSchedule, FileId};
use leoma_rotation::{ChainLimits, EpochSnapshot, TaskObservations};

use super::gather::expected;
use super::read_epoch_file;

/// What a policy record is applied to.
pub(in crate::cli) struct Recorded {
    /// The chain at the epoch's boundary.
    pub(in crate::cli) snapshot: EpochSnapshot,
    /// The validators of the list at the boundary.
    pub(in crate::cli) validators: u16,
    /// What the chain demanded of weights, where the file says it.
    pub(in crate::cli) limits: ChainLimits,
    /// The files that counted, oldest task first.
    pub(in crate::cli) files: Vec<TaskObservations>,
}

/// Reads a file of `leoma audit snapshot`.
///
/// # Errors
/// When it is malformed, of other consensus constants, or a verdict file in it does not verify.
pub(in crate::cli) fn recorded(
    path: &Path,
    consensus: &ConsensusSchedule,
) -> anyhow::Result<Recorded> {
    let shown = || path.display().to_string();
    let file = read_epoch_file(path)?;
    file.check(consensus).with_context(shown)?;
    let (history, snapshot) = (file.history()?, file.snapshot()?);
    let mut files = Vec::with_capacity(file.files.len());
    for row in &file.files {
        let id = FileId { task_id: row.task_id, producer: row.producer };
        let list = history.of_task(id.task_id).map(|entry| &entry.allowlist);
        let start = list.and_then(|list| list.start_of(id.task_id));
        let expected = expected(id, &history, consensus, file.network);
        let (Some(start), Some(expected)) = (start, expected) else {
            bail!("{}: no list makes task {}", path.display(), id.task_id);
        };
        let verified = verify(row.text.as_bytes(), &expected)
            .with_context(|| format!("{}: task {} by {}", shown(), id.task_id, id.producer))?;
        files.push(TaskObservations::from_file(&verified, start));
    }
    files.sort_by_key(|file| file.id.task_id);
    let list = history.at_block(file.epoch_block);
    let validators = list.map_or(0, |entry| entry.allowlist.validators().len());
    let validators = u16::try_from(validators).unwrap_or(u16::MAX);
    Ok(Recorded { snapshot, validators, limits: file.limits(), files })
}

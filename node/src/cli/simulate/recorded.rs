//! A policy applied to epochs that validators have played: what it would have paid in them.

use std::path::PathBuf;

use anyhow::ensure;
use leoma_protocol::{ConsensusSchedule, Hotkey};
use leoma_rotation::{PolicyRecord, TaskObservations};

use super::report::{Epoch, Report};
use crate::cli::audit::{Recorded, recorded};

/// What the record would have paid in these epochs, each in a file of `leoma audit snapshot`.
///
/// A window of the record that is longer than the recorded one is as long as that. Limits that the
/// chain sets for weights are applied where the files have them: those of video's rule have none.
pub(super) fn report(
    record: &PolicyRecord,
    paths: &[PathBuf],
    consensus: &ConsensusSchedule,
) -> anyhow::Result<Report> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        all.push(recorded(path, consensus)?);
    }
    all.sort_by_key(|one| one.snapshot.block);
    let distinct = all.windows(2).all(|two| two[0].snapshot.block < two[1].snapshot.block);
    ensure!(distinct, "two of the files are of one epoch");
    let epochs: Vec<Epoch> = all.iter().map(|one| epoch(record, one)).collect();
    let miners = all.last().map_or(&[][..], |one| &one.snapshot.miners);
    let committed = miners.iter().filter(|miner| miner.commit_block.is_some());
    let names: Vec<(String, Hotkey)> =
        committed.map(|miner| (miner.hotkey.to_string(), miner.hotkey)).collect();
    let owners = all.iter().map(|one| one.snapshot.owner);
    Ok(Report {
        mechanism: record.mechanism.to_string(),
        mecid: record.mecid,
        policy: record.digest(),
        validators: all.last().map_or(0, |one| one.validators),
        miners: epochs.last().map_or_else(Vec::new, |last| last.miners(&names)),
        epochs: epochs
            .iter()
            .zip(owners)
            .map(|(epoch, owner)| epoch.report(&names, owner))
            .collect(),
        collusion: None,
    })
}

fn epoch(record: &PolicyRecord, one: &Recorded) -> Epoch {
    let tasks = usize::try_from(record.window.tasks).unwrap_or(usize::MAX);
    let newest = one.files.len().saturating_sub(tasks);
    let window: Vec<&TaskObservations> = one.files[newest..].iter().collect();
    Epoch::of_window(record, &one.snapshot, &window, one.limits)
}

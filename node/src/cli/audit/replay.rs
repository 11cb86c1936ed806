//! An epoch from one file, without any network: its weights, and who set something else.

use std::collections::BTreeSet;

use leoma_protocol::verdict::{VerifiedVerdict, verify};
use leoma_protocol::{BlockNumber, ConsensusParams, ConsensusSchedule, Digest, FileId, Hotkey};
use leoma_rotation::{
    AllowlistHistory, Certificates, ChainLimits, Counted, Decision, EpochInputs, EpochSnapshot,
    PolicyRecord, RecordEpoch, TaskObservations, TaskVerdicts, counted, epoch, record_epoch,
};
use serde_json::{Value, json};

use super::believe::{Believed, Refused, believe};
use super::cells::cells;
use super::epoch_file::EpochFile;
use super::gather::expected;
use crate::verdicts::report::{outcome_json, paid_json};
use crate::weights::{Comparison, Expectation, SetRow};

/// What a replay says.
pub(super) struct Replayed {
    pub(super) report: Value,
    /// Validators that set something else, or files that are missing, in words.
    pub(super) faults: Vec<String>,
}

/// Computes the epoch of a file and compares it with what validators set. `record` is the policy
/// record that pays, `None` for video's rule.
///
/// # Errors
/// When the file is malformed, or of other consensus constants.
pub(super) fn replay(
    file: &EpochFile,
    consensus: &ConsensusSchedule,
    record: Option<&PolicyRecord>,
) -> anyhow::Result<Replayed> {
    file.check(consensus)?;
    let (history, snapshot) = (file.history()?, file.snapshot()?);
    let params = consensus.at(file.epoch_block);
    let Believed { attested, mut refused } =
        believe(&file.attestations, file.network, &history, consensus, file.epoch_block);
    let certificates = Certificates::count(&history, attested.iter().copied());
    let files = verified(file, &history, consensus, &mut refused);
    let counted = counted(params, &history, &snapshot);
    let (history, snapshot, certificates) = (&history, &snapshot, &certificates);
    let (found, cells) = match record {
        None => (by_video(&files, params, history, snapshot, certificates), None),
        Some(record) => {
            // The rule takes each start from the lists.
            let observed = |file| TaskObservations::from_file(file, BlockNumber(0));
            let files: Vec<TaskObservations> = files.iter().map(observed).collect();
            let inputs = EpochInputs { params, history, snapshot, files: &files, certificates };
            by_record(&inputs, record, file.limits())
        }
    };
    let RecordEpoch { outcome, paid, decision } = found;
    let mut faults: Vec<String> = Vec::new();
    if !outcome.missing.is_empty() {
        faults.push(format!("{} files that count are missing", outcome.missing.len()));
    }
    let expected = Expectation::of(&decision, outcome.missing.is_empty());
    let set = set_rows(file, &expected, &mut faults);
    let mut report = outcome_json(&outcome);
    report["block_hash"] = json!(file.block_hash);
    report["decision"] = decision_json(&decision);
    if let Some(paid) = &paid {
        report["paid"] = paid_json(paid);
    }
    if let Some(cells) = cells {
        report["forecasts"] = cells;
    }
    report["witnesses"] = witness_rows(counted.as_ref().ok(), history, file);
    report["tasks"] = task_rows(&outcome.window, counted.as_ref().ok(), certificates);
    report["set"] = json!(set);
    refused.sort_by(|a, b| (&a.name, &a.reason).cmp(&(&b.name, &b.reason)));
    let refused = refused.iter().map(|one| json!({ "name": one.name, "reason": one.reason }));
    report["refused"] = refused.collect();
    report["snapshot_sha256"] = json!(Digest::of(&serde_json::to_vec(file)?));
    Ok(Replayed { report, faults })
}

/// What each validator set beside what it should have; who set something else is a fault.
fn set_rows(file: &EpochFile, expected: &Expectation, faults: &mut Vec<String>) -> Vec<Value> {
    let row = |row: &SetRow| {
        let verdict = expected.compare(row);
        if verdict == Comparison::Other {
            faults.push(format!("{} set something else", row.hotkey));
        }
        json!({
            "hotkey": row.hotkey, "uid": row.uid, "found": row.found, "weights": row.weights,
            "verdict": verdict.word(),
        })
    };
    file.set.iter().map(row).collect()
}

fn by_video(
    files: &[VerifiedVerdict],
    params: &ConsensusParams,
    history: &AllowlistHistory,
    snapshot: &EpochSnapshot,
    certificates: &Certificates,
) -> RecordEpoch {
    let files: Vec<TaskVerdicts> = files.iter().map(TaskVerdicts::from).collect();
    let inputs = EpochInputs { params, history, snapshot, files: &files, certificates };
    let (outcome, decision) = epoch(&inputs);
    RecordEpoch { outcome, paid: None, decision }
}

/// The epoch by a record, and what its forecasts were ranked against, if it ranks any.
fn by_record(
    inputs: &EpochInputs<'_, TaskObservations>,
    record: &PolicyRecord,
    limits: ChainLimits,
) -> (RecordEpoch, Option<Value>) {
    let found = record_epoch(inputs, record, limits);
    let held = |id: &FileId| inputs.files.iter().find(|file| file.id == *id);
    let window: Vec<_> = found.outcome.window.iter().filter_map(held).collect();
    let cells = cells(record, inputs.history, &window);
    (found, cells)
}

fn verified(
    file: &EpochFile,
    history: &AllowlistHistory,
    consensus: &ConsensusSchedule,
    refused: &mut Vec<Refused>,
) -> Vec<VerifiedVerdict> {
    let mut files = Vec::with_capacity(file.files.len());
    for row in &file.files {
        let id = FileId { task_id: row.task_id, producer: row.producer };
        let name = format!("file of task {} by {}", id.task_id, id.producer);
        let Some(expected) = expected(id, history, consensus, file.network) else {
            refused.push(Refused { name, reason: "no list makes this task".to_owned() });
            continue;
        };
        match verify(row.text.as_bytes(), &expected) {
            Ok(verified) => files.push(verified),
            Err(reason) => refused.push(Refused { name, reason: reason.to_string() }),
        }
    }
    files
}

pub(super) fn decision_json(decision: &Decision) -> Value {
    json!({
        "state": decision.state(), "reason": decision.reason().to_string(), "weights": decision.weights(),
    })
}

/// For each validator of the list at the boundary: whether its witness counts.
fn witness_rows(counted: Option<&Counted>, history: &AllowlistHistory, file: &EpochFile) -> Value {
    let fresh: BTreeSet<Hotkey> =
        counted.into_iter().flat_map(|counted| counted.fresh.iter().copied()).collect();
    let list = history.at_block(file.epoch_block).map(|entry| entry.allowlist.validators());
    let row = |hotkey: &Hotkey| {
        let written = file.witnesses.iter().find(|row| row.hotkey == *hotkey);
        json!({
            "hotkey": hotkey, "committed_at": written.map(|row| row.committed_at),
            "fresh": fresh.contains(hotkey),
        })
    };
    list.unwrap_or_default().iter().map(row).collect()
}

/// For each task of the window: whose file counts, its digest and its witnesses.
fn task_rows(window: &[FileId], counted: Option<&Counted>, certificates: &Certificates) -> Value {
    let row = |id: &FileId| {
        json!({
            "task_id": id.task_id, "producer": id.producer, "digest": certificates.get(id),
            "witnesses": counted.map_or(0, |counted| counted.witnesses_of(id)),
        })
    };
    window.iter().map(row).collect()
}

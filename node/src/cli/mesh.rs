//! `leoma mesh`: a running validator's peers, and the statements that validators signed.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use leoma_protocol::messages::Dispute;
use leoma_protocol::{Digest, FileId, Hotkey};
use serde_json::Value;

use super::output::print_json;
use super::running::RunningFlags;
use crate::verdicts::report::{AttestedFile, SignedAgreement, WitnessedFile};
use crate::verdicts::{Plausibility, Plausible};

#[derive(Debug, Args)]
pub(super) struct MeshArgs {
    #[command(flatten)]
    running: RunningFlags,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<MeshCommand>,
}

#[derive(Debug, Subcommand)]
enum MeshCommand {
    /// Show for each file who attested to it, who refused and why, who witnessed it on chain, and
    /// whether the newest epoch counted it. With --json or --out: the attestations, evidence and
    /// disputes with their signatures, for `leoma audit --certificates`.
    Certificates {
        /// The file to write to.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl MeshArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let running = self.running.find(file)?;
        if let Some(MeshCommand::Certificates { out }) = self.command {
            let signed: SignedAgreement = serde_json::from_value(running.json("agreement").await?)?;
            let Some(path) = out else {
                return if self.json { print_json(&signed) } else { print_files(&signed) };
            };
            std::fs::write(&path, serde_json::to_string_pretty(&signed)?)
                .with_context(|| path.display().to_string())?;
            println!(
                "{} attested digests, {} double signatures",
                signed.attestations.len(),
                signed.evidence.len()
            );
            return Ok(());
        }
        let status = running.json("status").await?;
        if self.json {
            let mut mesh = status["mesh"].clone();
            mesh["peers"] = status["peers"].clone();
            print_json(&mesh)?;
        } else {
            print_mesh(&status);
        }
        Ok(())
    }
}

/// Everything known of one file.
#[derive(Default)]
struct Shown<'a> {
    /// Attesters by digest.
    attested: Vec<&'a AttestedFile>,
    certified: Option<Digest>,
    passed: Option<&'a Plausibility>,
    refused: Vec<&'a Dispute>,
    witnessed: Option<&'a WitnessedFile>,
}

fn by_file(signed: &SignedAgreement) -> BTreeMap<FileId, Shown<'_>> {
    let mut files: BTreeMap<FileId, Shown<'_>> = BTreeMap::new();
    for attested in &signed.attestations {
        files.entry(attested.id()).or_default().attested.push(attested);
    }
    for (file, digest) in &signed.certified {
        files.entry(*file).or_default().certified = Some(*digest);
    }
    for checked in &signed.passed {
        let file = FileId { task_id: checked.task_id, producer: checked.producer };
        files.entry(file).or_default().passed = Some(&checked.plausibility);
    }
    for dispute in &signed.disputes {
        files.entry(dispute.file).or_default().refused.push(dispute);
    }
    for witnessed in signed.witnessed.iter().flat_map(|epoch| &epoch.files) {
        let file = FileId { task_id: witnessed.task_id, producer: witnessed.producer };
        files.entry(file).or_default().witnessed = Some(witnessed);
    }
    files
}

fn print_files(signed: &SignedAgreement) -> anyhow::Result<()> {
    let mut text = String::new();
    write_files(signed, &mut text)?;
    print!("{text}");
    Ok(())
}

fn write_files(signed: &SignedAgreement, out: &mut impl Write) -> fmt::Result {
    if let Some(epoch) = &signed.witnessed {
        writeln!(
            out,
            "epoch {}: {} fresh witnesses, {} needed for a file",
            epoch.epoch_block,
            epoch.fresh.len(),
            epoch.required
        )?;
    }
    let list = |hotkeys: &[Hotkey]| {
        let texts: Vec<String> = hotkeys.iter().map(Hotkey::to_string).collect();
        texts.join(" ")
    };
    for (file, shown) in by_file(signed) {
        let certified = if shown.certified.is_some() { "certified" } else { "not certified" };
        let counted = match shown.witnessed {
            Some(witnessed) if witnessed.counted => "counted",
            _ => "not counted",
        };
        writeln!(out, "task {} of {}: {certified}, {counted}", file.task_id, file.producer)?;
        for attested in shown.attested {
            let attesters = list(&attested.attesters);
            writeln!(out, "  attested {}: {attesters}", attested.digest.short())?;
        }
        for dispute in shown.refused {
            writeln!(out, "  refused by {}: {}", dispute.disputer, dispute.reason)?;
        }
        if let Some(passed) = shown.passed {
            writeln!(out, "  our checks: passed, {}", plausible(passed))?;
        }
        if let Some(witnessed) = shown.witnessed {
            writeln!(out, "  witnessed by: {}", list(&witnessed.by))?;
        }
    }
    for evidence in &signed.evidence {
        let key = evidence.key();
        writeln!(out, "signed twice: {} for task {}", key.accused, key.file.task_id)?;
    }
    Ok(())
}

/// The result of the check `plausible`.
fn plausible(found: &Plausibility) -> String {
    let lack = found.lack.as_deref().map_or(String::new(), |lack| format!(": {lack}"));
    match found.plausible {
        Plausible::Checked => {
            let drawn = found.drawn_at.map_or(String::new(), |block| format!(" by block {block}"));
            let also = if lack.is_empty() { "" } else { ", others could not be" };
            format!("{} entries{drawn} scored again, all match{also}{lack}", found.miners.len())
        }
        Plausible::NotChecked => format!("plausible not checked{lack}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print_mesh(status: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mesh = &status["mesh"];
    println!(
        "{} (uid {}), block {}",
        text(&status["hotkey"]),
        text(&status["uid"]),
        text(&status["head"])
    );
    match mesh["voice"].as_str() {
        Some("listening") => {
            println!("checking whether another machine runs this hotkey: nothing is signed yet")
        }
        Some("doubled") => println!("another machine runs this hotkey: nothing is signed"),
        _ => {}
    }
    for address in list(&mesh["listening"]) {
        println!("listening on {}", text(&address));
    }
    for peer in list(&status["peers"]) {
        let direction = if peer["outbound"] == Value::Bool(true) { "outbound" } else { "inbound" };
        let mutual = if peer["mutual"] == Value::Bool(true) { "mutual" } else { "one-sided" };
        println!(
            "peer {} (uid {}) {} {direction} {mutual}, {} ms, {} topics, score {}, head {}, last task {}",
            text(&peer["hotkey"]),
            text(&peer["uid"]),
            text(&peer["address"]),
            peer["rtt_ms"].as_f64().map_or("-".to_owned(), |time| format!("{time:.1}")),
            list(&peer["topics"]).len(),
            text(&peer["score"]),
            text(&peer["head"]),
            text(&peer["last_announcement"])
        );
    }
    for file in list(&mesh["files"]) {
        let attesters: usize =
            list(&file["attesters"]).iter().map(|pair| list(&pair[1]).len()).sum();
        let certified = if file["certified"].is_null() { "not certified" } else { "certified" };
        println!(
            "task {} of {}: {attesters} attesters, {certified}",
            text(&file["file"]["task_id"]),
            text(&file["file"]["producer"])
        );
    }
    for evidence in list(&mesh["evidence"]) {
        println!(
            "signed twice: {} for task {}",
            text(&evidence["accused"]),
            text(&evidence["file"]["task_id"])
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdicts::report::{CheckedFile, WitnessedEpoch};
    use leoma_protocol::messages::DisputeReason;
    use leoma_protocol::{BlockNumber, Netuid, Network, Signature, TaskId};

    #[test]
    fn each_file_is_shown_with_who_attested_refused_and_witnessed() {
        let [one, two, three] = [1, 2, 3].map(|byte| Hotkey::from_bytes([byte; 32]));
        let digest = Digest::of(b"file");
        let file = |task| FileId { task_id: TaskId(task), producer: one };
        let attested = |task, attesters: &[Hotkey]| AttestedFile {
            task_id: TaskId(task),
            producer: one,
            digest,
            attesters: attesters.to_vec(),
            signatures: Vec::new(),
        };
        let witnessed = |task, by: &[Hotkey], counted| WitnessedFile {
            task_id: TaskId(task),
            producer: one,
            by: by.to_vec(),
            counted,
        };
        let refused = Dispute {
            network: Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) },
            file: file(8),
            digest,
            disputer: two,
            reason: DisputeReason::Complete { miner: three },
            signature: Signature([0; 64]),
        };
        let plausibility = Plausibility {
            plausible: Plausible::Checked,
            drawn_at: Some(BlockNumber(905)),
            miners: vec![three],
            lack: None,
        };
        let signed = SignedAgreement {
            attestations: vec![attested(7, &[one, two]), attested(8, &[one])],
            disputes: vec![refused],
            certified: vec![(file(7), digest)],
            passed: vec![CheckedFile { task_id: TaskId(7), producer: one, plausibility }],
            witnessed: Some(WitnessedEpoch {
                epoch_block: BlockNumber(1080),
                fresh: vec![one, two, three],
                required: 2,
                files: vec![witnessed(7, &[one, three], true), witnessed(8, &[one], false)],
            }),
            ..SignedAgreement::default()
        };
        let mut text = String::new();
        write_files(&signed, &mut text).unwrap();
        let short = digest.short();
        let expected = [
            "epoch 1080: 3 fresh witnesses, 2 needed for a file".to_owned(),
            format!("task 7 of {one}: certified, counted"),
            format!("  attested {short}: {one} {two}"),
            "  our checks: passed, 1 entries by block 905 scored again, all match".to_owned(),
            format!("  witnessed by: {one} {three}"),
            format!("task 8 of {one}: not certified, not counted"),
            format!("  attested {short}: {one}"),
            format!("  refused by {two}: complete: no entry for {three}"),
            format!("  witnessed by: {one}"),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}

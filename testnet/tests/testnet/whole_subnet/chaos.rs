//! A whole subnet of real validators under every fault that this machine can order: partitions,
//! one-way loss, delay, kills in the middle of a publication, changed addresses, outages, a liar, a
//! chain endpoint that is behind, and hostile peers.
//!
//! One subnet goes through all of it, because its start and its epochs take longest.

use clap::ValueEnum as _;
use std::process::{Command, Stdio};

use leoma_testnet::chaos::{ChaosReport, FaultKind};

/// Shorter than six rounds, in which each kind has its turn, so that no further round begins.
const MINUTES: &str = "1";
/// Milliseconds of a block: two cores keep up, also with other tests beside this one.
const BLOCK_TIME: &str = "600";

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn validators_lose_nothing_and_agree_whatever_happens_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let (json, logs) = (folder.path().join("report.json"), folder.path().join("subnet"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
    command
        .args([
            "chaos",
            "--seed",
            "chaos",
            "--minutes",
            MINUTES,
            "--block-time",
            BLOCK_TIME,
            "--json",
        ])
        .arg(&json)
        .arg("--dir")
        .arg(&logs);
    // Its progress goes where the test's output goes.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let read = std::fs::read(&json);
    let report: ChaosReport =
        serde_json::from_slice(&read.unwrap_or_else(|_| panic!("no report: {status}"))).unwrap();
    let held = status.success() && report.passed();
    let bad = format!(
        "{} disagreements, {} verdicts lost, {} signed twice, {} rounds not healed",
        report.disagreements, report.verdicts_lost, report.double_signed, report.not_healed
    );
    // What was found comes first and last, where long output is read.
    assert!(held, "{bad}\n{}\n{}", last_lines(&logs.join("logs")), report.summary());
    assert_eq!((report.disagreements, report.verdicts_lost, report.double_signed), (0, 0, 0));
    assert!(report.verdicts > 0, "nobody signed anything: the run shows nothing");
    assert!(
        report.epochs.iter().any(|epoch| epoch.computed == report.validators),
        "{:?}",
        report.epochs
    );
    for &kind in FaultKind::value_variants() {
        match (report.faults.get(&kind), report.skipped.get(&kind)) {
            (Some(count), None) => assert!(count.fired > 0, "{kind} had no effect: {count:?}"),
            (None, Some(reason)) => {
                assert!(kind.needs_network(), "{kind} is skipped: {reason}");
                eprintln!("{kind} is skipped: {reason}");
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
}

fn last_lines(logs: &std::path::Path) -> String {
    let Ok(entries) = std::fs::read_dir(logs) else { return String::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|log| format!("== {}\n{}\n", log.display(), leoma_testnet::launch::last_lines(&log)))
        .collect()
}

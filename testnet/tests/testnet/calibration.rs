//! The calibration, as `leoma-testnet calibrate` reports it: every degradation at every strength on
//! eight clips, and free continuations, tricks and a ladder on two kinds of rendered scenes. By
//! itself the command renders ten kinds, three scenes each; that takes too long for a test, and
//! `Pattern` and `Lights` still break rules (`docs/scoring.md`).

use std::process::{Command, Stdio};

use leoma_scoring::calibration::{Degradation, STRENGTHS};
use leoma_scoring::media::Ffmpeg;
use serde_json::Value;

/// Points in tenths that lie between the worst honest answer and the best of what is spoilt most.
const SEPARATION: u64 = 100;

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn honest_answers_pass_tricks_do_not_and_scores_fall_with_every_degradation() {
    if let Err(missing) = Ffmpeg::find() {
        println!("skipped: {missing}");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
    let output = command
        .args(["calibrate", "--device", "cpu", "--json"])
        .args(["--scenes", "2", "--each", "1", "--first", "31"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&report["broken"], output.status.code()), (&Value::Array(Vec::new()), Some(0)));

    let sources = report["sources"].as_array().unwrap();
    assert!(sources.len() >= 8, "{} clips", sources.len());
    for source in sources {
        let degraded = source["degraded"].as_object().unwrap();
        assert_eq!(degraded.len(), Degradation::ALL.len());
        assert!(
            degraded.values().all(|scored| scored.as_array().unwrap().len() == STRENGTHS),
            "{}",
            source["name"]
        );
    }
    let rendered = &report["rendered"];
    let sum = |name: &str| -> u64 {
        let rates = rendered[name].as_object().unwrap().values();
        rates.map(|rate| rate["of"].as_u64().unwrap()).sum()
    };
    assert!(sum("free") >= 2 * 7 && sum("tricks") >= 2 * 12, "{rendered}");
    let [honest, worst] =
        ["lowest_honest", "highest_worst"].map(|name| report[name].as_u64().unwrap());
    assert!(honest >= worst + SEPARATION, "honest answers from {honest}, the worst up to {worst}");
}

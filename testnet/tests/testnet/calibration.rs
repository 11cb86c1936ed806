//! The whole calibration: every degradation at every strength on eight clips, as `leoma-testnet
//! calibrate` reports it.

use std::process::{Command, Stdio};

use leoma_scoring::calibration::{Degradation, STRENGTHS};
use leoma_scoring::media::Ffmpeg;
use serde_json::Value;

/// Points in tenths that lie between the worst honest answer and the best of what is spoilt most.
const SEPARATION: u64 = 100;

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn scores_fall_with_every_degradation_and_honest_answers_lie_above_the_worst() {
    if let Err(missing) = Ffmpeg::find() {
        println!("skipped: {missing}");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
    let output = command
        .args(["calibrate", "--device", "cpu", "--json"])
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
    let [honest, worst] =
        ["lowest_honest", "highest_worst"].map(|name| report[name].as_u64().unwrap());
    assert!(honest >= worst + SEPARATION, "honest answers from {honest}, the worst up to {worst}");
}

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

fn ffmpeg(arguments: &str, folder: &std::path::Path) {
    let mut command = Command::new("ffmpeg");
    let arguments = format!("-nostdin -v error -y {arguments}");
    let status = command.args(arguments.split(' ')).current_dir(folder).status();
    assert!(status.unwrap().success(), "{arguments}");
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn answers_of_real_models_are_reported_with_and_without_their_source() {
    if let Err(missing) = Ffmpeg::find() {
        println!("skipped: {missing}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let coding = "-frames:v 81 -c:v libx264 -pix_fmt yuv420p -preset ultrafast";
    let picture = "testsrc2=s=832x480:r=16,scroll=horizontal=0.01";
    ffmpeg(&format!("-f lavfi -i {picture} {coding} beside.source.mp4"), path);
    ffmpeg(&format!("-i beside.source.mp4 -vf hflip {coding} beside.mp4"), path);
    ffmpeg(&format!("-i beside.source.mp4 -vf noise=alls=4 {coding} alone.mp4"), path);
    for name in ["beside", "alone"] {
        ffmpeg(&format!("-i beside.source.mp4 -frames:v 1 {name}.png"), path);
        std::fs::write(path.join(format!("{name}.txt")), "the camera pans").unwrap();
    }
    std::fs::write(path.join("broken.mp4"), "no video").unwrap();
    std::fs::copy(path.join("alone.png"), path.join("broken.png")).unwrap();
    std::fs::write(path.join("broken.txt"), "a boat").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
    command.args(["calibrate", "--device", "cpu", "--json", "--videos"]).arg(path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [alone, beside, broken] = &report["answers"].as_array().unwrap()[..] else {
        panic!("{report:#}")
    };
    assert_eq!((&alone["name"], &alone["status"]), (&"alone".into(), &"usable".into()));
    assert!(alone["overall"].is_null() && alone["measures"]["overlaid"].is_number(), "{alone:#}");
    assert_eq!(alone["prompt"], "the camera pans");
    // A mirrored answer does not begin with its first frame.
    assert_ne!(beside["status"], "passed", "{beside:#}");
    assert!(beside["measures"]["overlaid"].is_number(), "{beside:#}");
    assert!(beside["parts"].as_array().unwrap().len() > 20, "{beside:#}");
    assert_eq!((&broken["name"], &broken["status"]), (&"broken".into(), &"undecodable".into()));
}

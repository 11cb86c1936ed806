//! `leoma score` as a program: what it prints, its exit codes, and the processes that a validator
//! scores in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use leoma_scoring::media::{Ffmpeg, Limits, first_frame_png};
use leoma_scoring::worker::{Patience, PoolOptions, ScorerOptions, ScorerPool, WorkerProgram};
use leoma_scoring::{Aspects, DeviceChoice, Outcome, Scorer};
use serde_json::Value;

const LEOMA: &str = env!("CARGO_BIN_EXE_leoma");

/// A source of a task's shape, its first frame, and answers.
struct Studio {
    folder: tempfile::TempDir,
}

impl Studio {
    /// `None`, with a printed reason, where there is no ffmpeg.
    fn new() -> Option<Self> {
        let ffmpeg = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()?;
        let studio = Self { folder: tempfile::tempdir().unwrap() };
        let scene = "testsrc2=s=1200x640:r=16,gblur=1,crop=832:480:x='60+n*3':y='80+20*sin(n/12)'";
        studio.make("source.mp4", &["-f", "lavfi", "-i", scene], "16");
        let source = std::fs::read(studio.path("source.mp4")).unwrap();
        let picture = first_frame_png(&ffmpeg, &source, &Limits::ANSWER).unwrap();
        std::fs::write(studio.path("first.png"), picture).unwrap();
        studio.make("good.mp4", &["-i", &studio.text("source.mp4")], "26");
        Some(studio)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn make(&self, name: &str, input: &[&str], quality: &str) {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-v", "error", "-y", "-threads", "2"])
            .args(input)
            .args(["-frames:v", "81"]);
        command.args([
            "-r", "16", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-crf",
            quality,
        ]);
        assert!(command.arg(self.path(name)).status().unwrap().success(), "{name}");
    }

    /// Runs `leoma score` on the CPU in the folder.
    fn score(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(LEOMA);
        command
            .arg("score")
            .args(arguments)
            .args(["--device", "cpu"])
            .current_dir(self.folder.path());
        command.env_remove("LEOMA_CONFIG").stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.score(&[arguments, &["--json"]].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn a_video_is_reported_with_its_source_and_without() {
    let Some(studio) = Studio::new() else { return };
    let with =
        studio.json(&["first.png", "good.mp4", "--source", "source.mp4", "--prompt", "a pattern"]);
    assert_eq!((&with["status"], &with["passed"]), (&"passed".into(), &true.into()), "{with}");
    assert!(with["overall"].as_f64().unwrap() >= 75.0, "{with}");
    for aspect in Aspects::NAMES {
        assert!(with["aspects"][aspect].as_f64().is_some(), "{aspect}: {with}");
    }
    assert!(with["metrics"]["ssim"].as_f64().unwrap() > 0.9, "{with}");
    assert_eq!(
        (&with["device"], &with["prompt"], &with["note"]),
        (&"cpu".into(), &"a pattern".into(), &Value::Null)
    );
    assert!(with["judge"].as_str().unwrap().starts_with("metrics:"), "{with}");

    let without = studio.json(&["first.png", "good.mp4"]);
    assert_eq!(
        (&without["status"], &without["passed"]),
        (&"usable".into(), &Value::Null),
        "{without}"
    );
    assert!(
        without["overall"].is_null() && without["note"].as_str().unwrap().contains("--source"),
        "{without}"
    );
    // Measured on the same frames; the picture went through RGB.
    assert!(without["aspects"]["first_frame_fidelity"].as_f64().unwrap() > 90.0, "{without}");
    assert!(
        Aspects::NAMES[1..].iter().all(|aspect| without["aspects"][aspect].is_null()),
        "{without}"
    );
    assert!(without["metrics"]["first_ms_ssim"].as_f64().unwrap() > 0.95, "{without}");

    let text = String::from_utf8(
        studio.score(&["first.png", "good.mp4", "--source", "source.mp4"]).stdout,
    )
    .unwrap();
    assert!(text.contains("passed with") && text.contains("camera_composition"), "{text}");
}

#[test]
fn a_bad_video_is_a_result_and_a_bad_argument_is_not() {
    let Some(studio) = Studio::new() else { return };
    std::fs::write(studio.path("text.mp4"), "no video").unwrap();
    std::fs::write(studio.path("empty.mp4"), "").unwrap();
    std::fs::File::create(studio.path("huge.mp4")).unwrap().set_len(65 << 20).unwrap();
    studio.make("still.mp4", &["-loop", "1", "-i", &studio.text("first.png")], "20");
    studio.make("small.mp4", &["-f", "lavfi", "-i", "testsrc2=s=640x360:r=16"], "20");
    studio.make("short.mp4", &["-f", "lavfi", "-t", "2", "-i", "testsrc2=s=832x480:r=16"], "20");
    let cases = [
        ("text.mp4", "undecodable"),
        ("empty.mp4", "undecodable"),
        ("huge.mp4", "undecodable"),
        ("still.mp4", "frozen"),
        ("small.mp4", "wrong_resolution"),
        ("short.mp4", "too_short"),
    ];
    for (video, status) in cases {
        for source in [&[][..], &["--source", "source.mp4"]] {
            let report = studio.json(&[&["first.png", video], source].concat());
            assert_eq!(
                (&report["status"], &report["passed"]),
                (&status.into(), &false.into()),
                "{video}: {report}"
            );
            assert!(
                report["overall"].is_null() && !report["reason"].as_str().unwrap().is_empty(),
                "{video}: {report}"
            );
        }
    }
    studio.make("other.mp4", &["-f", "lavfi", "-i", "mandelbrot=s=832x480:r=16"], "20");
    let other = studio.json(&["first.png", "other.mp4", "--source", "other.mp4"]);
    assert!(other["note"].as_str().unwrap().contains("not the source's first frame"), "{other}");

    let failed: [(&[&str], i32, &str); 6] = [
        (&["first.png", "missing.mp4"], 1, "missing.mp4"),
        (&["good.mp4", "good.mp4"], 1, "no PNG"),
        (&["first.png", "good.mp4", "--source", "text.mp4"], 1, "text.mp4"),
        (&["first.png"], 2, "VIDEO"),
        (&["--self-test", "--bench"], 2, "--bench"),
        (&["first.png", "good.mp4", "--forbid-replay"], 2, "--source"),
    ];
    for (arguments, code, says) in failed {
        let output = studio.score(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {errors}");
        assert!(errors.contains(says) && output.stdout.is_empty(), "{arguments:?} {errors}");
    }
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn the_device_is_tested_and_measured() {
    let Some(studio) = Studio::new() else { return };
    let tested = studio.json(&["--self-test"]);
    assert_eq!((&tested["device"], &tested["agrees"]), (&"cpu".into(), &true.into()));
    let checks = tested["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["metric"] == "optical_flow"), "{tested}");
    assert!(
        checks.iter().all(|check| check["largest_difference"].as_f64().unwrap() <= 1e-4),
        "{tested}"
    );
    assert!(tested["clips_per_second"].as_f64().unwrap() > 0.0);
    let measured = studio.json(&["--bench", "--rounds", "1"]);
    let stages = measured["stages"].as_array().unwrap();
    for name in [
        "decode",
        "all metrics",
        "decode and all metrics",
        "source, once per task",
        "SSIM, full size",
    ] {
        let stage = stages
            .iter()
            .find(|stage| stage["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {measured}"));
        assert!(
            stage["median_ms"].as_f64().unwrap() > 0.0 && stage["longest_ms"].is_number(),
            "{stage}"
        );
    }
    assert!(measured["floor"].is_null(), "the floor is a device's: {measured}");
    assert!(measured["workers"]["clips_per_second"].as_f64().unwrap() > 0.0, "{measured}");
    assert!(measured["workers"]["peak_mib"].as_u64().unwrap() > 50, "{measured}");
}

#[test]
fn a_worker_is_not_offered_and_ends_at_what_no_validator_sends() {
    let help = Command::new(LEOMA).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("score") && !help.contains("score-worker"), "{help}");
    for (input, says) in
        [(&b"leoma, score this please\n"[..], "claims a header"), (b"", "no opening")]
    {
        let mut worker = Command::new(LEOMA)
            .arg("score-worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        worker.stdin.take().unwrap().write_all(input).unwrap();
        let output = worker.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(says) && output.stdout.is_empty(), "{errors}");
    }
}

/// The worker of this very process.
fn worker_pid() -> Option<nix::unistd::Pid> {
    let own = std::process::id().to_string();
    let folders = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let is_ours = |folder: &Path| {
        let read = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let parent = read("status")
            .lines()
            .find_map(|line| line.strip_prefix("PPid:").map(|pid| pid.trim() == own));
        parent == Some(true) && read("cmdline").starts_with("leoma-worker-cpu")
    };
    let ours = folders.map(|folder| folder.path()).find(|folder| is_ours(folder))?;
    ours.file_name()?.to_str()?.parse().ok().map(nix::unistd::Pid::from_raw)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_as_a_worker_scores_like_this_process_also_when_it_is_killed_over_a_clip() {
    use nix::sys::signal::{Signal, kill};
    let Some(studio) = Studio::new() else { return };
    let [source, good] =
        ["source.mp4", "good.mp4"].map(|name| std::fs::read(studio.path(name)).unwrap());
    // The good answer is the source encoded anew.
    let scoring = ScorerOptions { forbid_replay: false, ..ScorerOptions::default() };
    let here = Scorer::open(DeviceChoice::Cpu, scoring.policy()).unwrap();
    let want = here.score(&here.reference(&source).unwrap(), &good).unwrap();
    let program = WorkerProgram { path: LEOMA.into(), arguments: vec!["score-worker".into()] };
    let options = PoolOptions { scoring, program, patience: Patience::default() };
    let pool = ScorerPool::open(DeviceChoice::Cpu, options).await.unwrap();
    let source = pool.reference(Bytes::from(source)).await.unwrap();
    let first = worker_pid().unwrap();
    // What a service manager sends to every process; stopping is the validator's affair.
    kill(first, Signal::SIGTERM).unwrap();
    let scoring = (0..3).map(|_| pool.score(&source, Bytes::from(good.clone())));
    let killing = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(worker_pid(), Some(first), "the signal ended it");
        kill(first, Signal::SIGKILL).unwrap();
    };
    let (scored, ()) = tokio::join!(futures::future::join_all(scoring), killing);
    for scored in scored {
        let got = scored.unwrap();
        assert_eq!(got.fingerprint, want.fingerprint);
        match (got.outcome, &want.outcome) {
            (
                Outcome::Usable { grade, raw },
                Outcome::Usable { grade: want_grade, raw: want_raw },
            ) => {
                assert_eq!((grade, raw), (*want_grade, *want_raw));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pool.counts().restarts, 1);
    assert_ne!(worker_pid(), Some(first));
    pool.close().await;
    assert_eq!(worker_pid(), None);
}

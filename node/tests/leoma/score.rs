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

/// A task's size.
const TASK: (u32, u32) = (832, 480);
/// A size that is scored in a sixth of the time.
const SMALL: (u32, u32) = (320, 192);

/// A source of a task's length, its first frame, and answers.
struct Studio {
    folder: tempfile::TempDir,
}

/// A ground that slides past under two things with paths of their own, as an ffmpeg graph. A pushed
/// picture cannot imitate it.
fn scene((width, height): (u32, u32)) -> String {
    let texture = |grid: &str, seed: u32, width: u32, height: u32| {
        format!(
            "color=gray:s={grid}:r=16,format=yuv444p,noise=alls=100:all_seed={seed},trim=end_frame=1,\
             scale={width}:{height}:flags=bicubic,eq=contrast=1.8,\
             loop=loop=-1:size=1:start=0,setpts=N/16/TB"
        )
    };
    let ground = texture("60x36", 1, width * 3 / 2, height * 5 / 3);
    let [large, little] = [height * 2 / 5, height / 3];
    let (one, other) = (texture("12x12", 2, large, large), texture("10x10", 3, little, little));
    format!(
        "{ground},crop={width}:{height}:x='20+n':y='40+10*sin(n/12)'[ground];{one}[one];{other}[other];\
         [ground][one]overlay=x='W*(0.4+0.33*sin(n/25))':y='H*(0.3+0.2*sin(n/20))'[both];\
         [both][other]overlay=x='W*0.7-2*n':y='H*0.1+1.5*n'"
    )
}

impl Studio {
    /// `None`, with a printed reason, where there is no ffmpeg.
    fn new(size: (u32, u32)) -> Option<Self> {
        let ffmpeg = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()?;
        let studio = Self { folder: tempfile::tempdir().unwrap() };
        studio.make("source.mp4", &["-filter_complex", &scene(size)], "16");
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
    let Some(studio) = Studio::new(SMALL) else { return };
    let with =
        studio.json(&["first.png", "good.mp4", "--source", "source.mp4", "--prompt", "a pattern"]);
    assert_eq!((&with["status"], &with["passed"]), (&"passed".into(), &true.into()), "{with}");
    assert!(with["overall"].as_f64().unwrap() >= 75.0, "{with}");
    for aspect in Aspects::NAMES {
        assert!(with["aspects"][aspect].as_f64().is_some(), "{aspect}: {with}");
    }
    assert!(with["metrics"]["likeness"].as_f64().unwrap() > 0.9, "{with}");
    assert_eq!(
        (&with["device"], &with["prompt"], &with["note"]),
        (&"cpu".into(), &"a pattern".into(), &Value::Null)
    );
    assert!(with["judge"].as_str().unwrap().starts_with("metrics:"), "{with}");
    assert!(with["reason"].is_null(), "{with}");
    assert!(with["metrics"]["opponent"].as_f64().unwrap() < 50.0, "{with}");

    // What fails says why.
    studio.make("blurred.mp4", &["-i", &studio.text("source.mp4"), "-vf", "gblur=4"], "20");
    let arguments = ["first.png", "blurred.mp4", "--source", "source.mp4"];
    let failed = studio.json(&arguments);
    assert_eq!((&failed["status"], &failed["passed"]), (&"failed".into(), &false.into()));
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("visual_quality by detail"), "{failed}");
    let text = String::from_utf8(studio.score(&arguments).stdout).unwrap();
    assert!(text.starts_with("failed with") && text.contains(reason), "{text}");

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

/// Scores videos that are not answers, with these arguments.
fn bad_videos_are_results(arguments: &[&str]) {
    let Some(studio) = Studio::new(SMALL) else { return };
    let (width, height) = SMALL;
    let pattern = |width, height| format!("testsrc2=s={width}x{height}:r=16");
    std::fs::write(studio.path("text.mp4"), "no video").unwrap();
    std::fs::write(studio.path("empty.mp4"), "").unwrap();
    std::fs::File::create(studio.path("huge.mp4")).unwrap().set_len(65 << 20).unwrap();
    studio.make("still.mp4", &["-loop", "1", "-i", &studio.text("first.png")], "20");
    studio.make("large.mp4", &["-f", "lavfi", "-i", &pattern(width * 2, height)], "20");
    studio.make("short.mp4", &["-f", "lavfi", "-t", "2", "-i", &pattern(width, height)], "20");
    let cases = [
        ("text.mp4", "undecodable"),
        ("empty.mp4", "undecodable"),
        ("huge.mp4", "undecodable"),
        ("still.mp4", "frozen"),
        ("large.mp4", "wrong_resolution"),
        ("short.mp4", "too_short"),
    ];
    for (video, status) in cases {
        let report = studio.json(&[&["first.png", video], arguments].concat());
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

#[test]
fn a_bad_video_is_a_result() {
    bad_videos_are_results(&[]);
}

#[test]
fn a_bad_video_is_a_result_beside_its_source() {
    bad_videos_are_results(&["--source", "source.mp4"]);
}

#[test]
fn a_bad_argument_is_no_result() {
    let Some(studio) = Studio::new(SMALL) else { return };
    std::fs::write(studio.path("text.mp4"), "no video").unwrap();
    let (width, height) = SMALL;
    let other = format!("mandelbrot=s={width}x{height}:r=16");
    studio.make("other.mp4", &["-f", "lavfi", "-i", &other], "20");
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
    let Some(studio) = Studio::new(SMALL) else { return };
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
        "MS-SSIM, all frames",
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
    assert!(measured["transfers"].is_null(), "copies are a device's: {measured}");
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
    let Some(studio) = Studio::new(TASK) else { return };
    let [source, good] =
        ["source.mp4", "good.mp4"].map(|name| std::fs::read(studio.path(name)).unwrap());
    // The good answer is the source re-encoded.
    let scoring = ScorerOptions { forbid_replay: false, ..ScorerOptions::default() };
    let here = Scorer::open(DeviceChoice::Cpu, scoring.policy()).unwrap();
    let want = here.score(&here.reference(&source).unwrap(), &good).unwrap();
    let program = WorkerProgram { path: LEOMA.into(), arguments: vec!["score-worker".into()] };
    let options = PoolOptions { scoring, program, patience: Patience::default() };
    let pool = ScorerPool::open(DeviceChoice::Cpu, options).await.unwrap();
    let source = pool.reference(Bytes::from(source)).await.unwrap();
    let first = worker_pid().unwrap();
    // What a service manager sends to every process; stopping is up to the validator.
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

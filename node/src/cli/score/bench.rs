//! `leoma score --self-test` and `leoma score --bench`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use leoma_scoring::media::ClipShape;
use leoma_scoring::worker::{Patience, PoolOptions, ScorerOptions, ScorerPool, WorkerProgram};
use leoma_scoring::{AspectPolicy, Bench, DeviceChoice, Scorer, SelfTestReport, Stage, Transfers};
use serde_json::{Value, json};

use crate::cli::output::print_json;

/// Comparisons for a rate.
const RATE_ROUNDS: usize = 5;
/// Answers that go through worker processes for the rate from end to end, for each round.
const CLIPS_PER_ROUND: usize = 2;
/// Times the same with other software.
const PEERS_SCRIPT: &str = "scoring/references/bench_peers.py";

/// A device that agrees with the CPU.
pub(super) struct SelfTest {
    report: SelfTestReport,
    rate: Stage,
}

/// Tests and warms up, says so on the way, and measures comparisons.
///
/// # Errors
/// The device differs or fails.
pub(super) fn self_test(scorer: &Scorer) -> anyhow::Result<SelfTest> {
    let mut last = 0;
    let report = scorer.warm_up(&mut |done, of, what| {
        let percent = 100 * done / of.max(1);
        if percent >= last + 10 || done == of {
            last = percent;
            eprintln!("{percent:>3} % {what}");
        }
    })?;
    Ok(SelfTest { report, rate: scorer.bench_comparisons(RATE_ROUNDS)? })
}

impl SelfTest {
    pub(super) fn json(&self) -> Value {
        let checks = self.report.checks.iter();
        json!({
            "device": self.report.device.to_string(),
            "agrees": true,
            "clips_per_second": 1000.0 / self.rate.median_ms(),
            "comparison": stage(&self.rate),
            "checks": checks.map(|check| json!({
                "metric": check.metric, "values": check.values, "largest_difference": check.worst,
            })).collect::<Vec<_>>(),
        })
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        for check in &self.report.checks {
            println!(
                "{:<24} {:>8} values, largest difference {:.1e}",
                check.metric, check.values, check.worst
            );
        }
        println!("{} computes what the CPU computes", self.report.device);
        println!(
            "{:.2} clips a second, decoded ones, one at a time",
            1000.0 / self.rate.median_ms()
        );
        Ok(())
    }
}

/// Measures and prints.
///
/// # Errors
/// The device, ffmpeg or the peers fail.
pub(super) async fn run(
    choice: DeviceChoice,
    rounds: usize,
    peers: Option<PathBuf>,
    as_json: bool,
) -> anyhow::Result<()> {
    let bench = tokio::task::spawn_blocking(move || {
        let scorer = Scorer::open(choice, AspectPolicy::SUBNET)?;
        scorer.warm_up(&mut |_, _, _| {})?;
        scorer.bench(rounds)
    })
    .await??;
    let workers = in_workers(choice, &bench, CLIPS_PER_ROUND * rounds).await?;
    let peers = match peers {
        Some(python) => Some(peers_on_the_same_clip(&python, &bench).await?),
        None => None,
    };
    let stages: Vec<Value> = bench.stages.iter().map(stage).collect();
    let ClipShape { width, height, frames, .. } = ClipShape::TASK;
    if as_json {
        return print_json(&json!({
            "device": bench.device.to_string(),
            "clip": { "frames": frames, "width": width, "height": height },
            "rounds": rounds, "stages": stages, "floor": bench.floor, "transfers": bench.transfers,
            "workers": workers, "peers": peers,
        }));
    }
    println!(
        "{} frames of {width}x{height} on {}, median of {rounds} runs, shortest and longest",
        frames, bench.device
    );
    for timed in &bench.stages {
        let [shortest, longest] = timed.range_ms();
        println!(
            "  {:<26} {:>8.1} ms  ({shortest:.1} to {longest:.1})",
            timed.name,
            timed.median_ms()
        );
    }
    print_copies(&bench);
    println!(
        "  in {} worker processes: {} clips a second, largest process {} MiB",
        workers["workers"], workers["clips_per_second"], workers["peak_mib"]
    );
    for line in peers.iter().flatten() {
        println!("  {line}");
    }
    Ok(())
}

/// Prints what is copied to a device and what has to move there; nothing for the CPU.
fn print_copies(bench: &Bench) {
    if let Some(floor) = bench.floor {
        let [uploaded, moved] =
            [floor.uploaded_bytes, floor.moved_bytes].map(|bytes| bytes as f64 / 1e6);
        let rate = floor.bytes_per_second / 1e9;
        println!(
            "  {uploaded:.0} MB are sent to the device, {moved:.0} MB moved at least: {:.2} ms at {rate:.0} GB/s",
            floor.floor_ms
        );
    }
    if let Some(Transfers { uploads, uploaded_bytes, read_backs }) = bench.transfers {
        let megabytes = uploaded_bytes as f64 / 1e6;
        println!(
            "  an answer is {megabytes:.1} MB in {uploads} uploads, and {read_backs} read-backs"
        );
    }
}

fn stage(stage: &Stage) -> Value {
    let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
    let [shortest, longest] = stage.range_ms().map(round);
    json!({ "name": stage.name, "median_ms": round(stage.median_ms()), "shortest_ms": shortest, "longest_ms": longest })
}

/// Answers through worker processes as a validator sends them: several in hand, decoding included.
async fn in_workers(choice: DeviceChoice, bench: &Bench, clips: usize) -> anyhow::Result<Value> {
    let program = WorkerProgram::this([crate::mechanism::video::WORKER_COMMAND]);
    let options =
        PoolOptions { scoring: ScorerOptions::default(), program, patience: Patience::default() };
    let pool = ScorerPool::open(choice, options).await?;
    let source = pool.reference(Bytes::from(bench.source_mp4.clone())).await?;
    let answer = Bytes::from(bench.answer_mp4.clone());
    // One for each place first, so that every worker has the source.
    let mut seconds = 0.0;
    for clips in [pool.clips_at_a_time(), clips] {
        let begun = Instant::now();
        let all = (0..clips).map(|_| pool.score(&source, answer.clone()));
        futures::future::try_join_all(all).await?;
        seconds = begun.elapsed().as_secs_f64();
    }
    let counts = pool.counts();
    pool.close().await;
    let clips_per_second = (100.0 * clips as f64 / seconds).round() / 100.0;
    Ok(json!({
        "workers": counts.workers, "clips": clips, "in_hand": pool.clips_at_a_time(),
        "clips_per_second": clips_per_second, "peak_mib": counts.peak_kib / 1024,
    }))
}

/// What the peers' script says of the same frames.
async fn peers_on_the_same_clip(python: &Path, bench: &Bench) -> anyhow::Result<Vec<String>> {
    if !Path::new(PEERS_SCRIPT).is_file() {
        bail!("{PEERS_SCRIPT} is not here: --peers works in the repository's folder");
    }
    let mut files = Vec::new();
    for luma in &bench.luma {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(luma)?;
        files.push(file);
    }
    let ClipShape { width, height, .. } = ClipShape::TASK;
    let mut command = tokio::process::Command::new(python);
    command
        .arg(PEERS_SCRIPT)
        .args([width.to_string(), height.to_string()])
        .args(files.iter().map(|file| file.path()));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await;
    let output = output.with_context(|| python.display().to_string())?;
    if !output.status.success() {
        bail!("{PEERS_SCRIPT} ended with {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

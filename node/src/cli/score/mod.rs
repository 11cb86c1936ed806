//! `leoma score`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use leoma_scoring::media::Limits;
use leoma_scoring::{AspectPolicy, DeviceChoice, Outcome, Scorer};
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// The source clip that the answer is compared with.
    #[arg(long, value_name = "MP4", required_unless_present = "self_test")]
    reference: Option<PathBuf>,
    /// The answer to score.
    #[arg(long, value_name = "MP4", required_unless_present = "self_test")]
    answer: Option<PathBuf>,
    /// Where to compute: auto, cuda or cpu.
    #[arg(long, default_value = "auto", env = "LEOMA_DEVICE")]
    device: DeviceChoice,
    /// Compare every metric on the device with the CPU, and stop there unless videos are given.
    #[arg(long)]
    self_test: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ScoreArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.score()).await?
    }

    fn score(self) -> anyhow::Result<()> {
        let scorer = Scorer::open(self.device, AspectPolicy::SUBNET)?;
        if self.self_test {
            let report = scorer.self_test()?;
            for check in &report.checks {
                eprintln!("{:<24} {:>8} values, largest difference {:.1e}", check.metric, check.values, check.worst);
            }
            eprintln!("{} computes what the CPU computes", report.device);
        }
        let (Some(reference), Some(answer)) = (&self.reference, &self.answer) else { return Ok(()) };
        let read = |path: &PathBuf| -> anyhow::Result<Vec<u8>> {
            let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
            let bytes = leoma_scoring::media::read_bounded(file, &Limits::ANSWER)
                .with_context(|| path.display().to_string())?;
            bytes.with_context(|| path.display().to_string())
        };
        let reference = scorer.reference(&read(reference)?)?;
        let scored = scorer.score(&reference, &read(answer)?)?;
        let report = match &scored.outcome {
            Outcome::Usable { grade, raw } => json!({
                "device": scorer.device().to_string(), "video_sha256": scored.video_sha256, "status": if grade.passed { "passed" } else { "failed" },
                "passed": grade.passed, "score": grade.overall.as_f64(),
                "aspect_scores": {
                    "first_frame_fidelity": grade.aspects.first_frame_fidelity.as_f64(),
                    "prompt_adherence": grade.aspects.prompt_adherence.as_f64(),
                    "motion_quality": grade.aspects.motion_quality.as_f64(),
                    "temporal_consistency": grade.aspects.temporal_consistency.as_f64(),
                    "visual_quality": grade.aspects.visual_quality.as_f64(),
                    "camera_composition": grade.aspects.camera_composition.as_f64(),
                },
                "raw": raw,
            }),
            Outcome::Unusable { status, reason, raw } => json!({
                "device": scorer.device().to_string(), "video_sha256": scored.video_sha256, "status": status.as_str(), "passed": false,
                "reason": reason, "raw": raw,
            }),
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        match &scored.outcome {
            Outcome::Usable { grade, .. } => {
                println!("{} with {} of 100", if grade.passed { "passed" } else { "failed" }, grade.overall);
                for (name, points) in report["aspect_scores"].as_object().into_iter().flatten() {
                    println!("  {name:<22} {points}");
                }
            }
            Outcome::Unusable { status, reason, .. } => println!("{status}: {reason}"),
        }
        Ok(())
    }
}

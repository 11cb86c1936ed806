//! `leoma-testnet calibrate`: what scores make of videos that were made worse by known amounts.
//!
//! For each source clip: the clip itself, its re-encodings, honest answers to it, and every
//! [`Degradation`] at five strengths. The report says
//! whether scores fall as strength rises, whether the worst fails, and how far honest answers lie
//! above it.

mod clips;
mod plot;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use leoma_scoring::calibration::{Degradation, STRENGTHS, honest};
use leoma_scoring::{AspectPolicy, DeviceChoice, Reference, Scorer};

pub use report::{Report, Scored, SourceReport};

use crate::seed::Seed;

/// Honest answers to each clip.
const HONEST_ANSWERS: usize = 3;

/// Score videos that were made worse by known amounts, and say whether the scores follow.
///
/// Exits with 1 where a rule is broken: the source itself has at least 95 points, every degradation
/// falls from strength to strength and fails at its worst, every honest answer passes.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Source clips that are made, of all kinds of scenes in turn.
    #[arg(long, default_value_t = 8)]
    clips: usize,
    /// Take the first five seconds of these MP4s instead.
    #[arg(long, value_name = "FOLDER")]
    videos: Option<PathBuf>,
    /// The seed of made clips and of everything random.
    #[arg(long, default_value = "calibration")]
    seed: String,
    /// Only these degradations, by name and separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = degradation)]
    only: Vec<Degradation>,
    /// Where to compute: auto, cuda or cpu.
    #[arg(long, default_value = "auto", env = "LEOMA_DEVICE")]
    device: DeviceChoice,
    /// Write a picture of the scores to this file.
    #[arg(long, value_name = "SVG")]
    plot: Option<PathBuf>,
    /// Print JSON, with every score and measure.
    #[arg(long)]
    json: bool,
}

fn degradation(name: &str) -> Result<Degradation, String> {
    let known = || Degradation::ALL.map(Degradation::name).join(", ");
    Degradation::ALL
        .into_iter()
        .find(|found| found.name() == name)
        .ok_or_else(|| format!("the known names are {}", known()))
}

/// Runs the command.
///
/// # Errors
/// ffmpeg, the device or a file failed.
pub async fn run(args: CalibrateArgs) -> anyhow::Result<ExitCode> {
    let (json, plot) = (args.json, args.plot.clone());
    let report = calibrate(args).await?;
    if let Some(path) = plot {
        std::fs::write(&path, plot::svg(&report)).with_context(|| path.display().to_string())?;
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn calibrate(args: CalibrateArgs) -> anyhow::Result<Report> {
    let seed = Seed::new(args.seed);
    let folder = tempfile::tempdir()?;
    let sources = match &args.videos {
        Some(videos) => crate::corpus::list(videos)?,
        None => clips::make(&seed, args.clips, folder.path()).await?,
    };
    let degradations = if args.only.is_empty() { Degradation::ALL.to_vec() } else { args.only };
    tokio::task::spawn_blocking(move || {
        // The untouched source is one of the videos here.
        let scorer = Scorer::open(
            args.device,
            AspectPolicy { forbid_replay: false, ..AspectPolicy::SUBNET },
        )?;
        let each = 1 + clips::RATE_FACTORS.len() + HONEST_ANSWERS + STRENGTHS * degradations.len();
        let progress = ProgressBar::new((sources.len() * each) as u64);
        progress.set_style(ProgressStyle::with_template(
            "{pos}/{len} videos scored, {eta} left: {msg}",
        )?);
        let mut reports = Vec::with_capacity(sources.len());
        for (number, path) in sources.iter().enumerate() {
            let clip = clips::task_clip(&scorer, path)?;
            let name = path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            let reference = scorer.reference(&clip)?;
            let subject = Subject {
                scorer: &scorer,
                reference: &reference,
                seed: number as u64,
                progress: &progress,
            };
            reports.push(subject.report(name, &clip, &degradations)?);
            if progress.is_hidden() {
                eprintln!("{} of {} clips scored", number + 1, sources.len());
            }
        }
        progress.finish_and_clear();
        Ok(Report::new(&scorer, reports))
    })
    .await?
}

/// One source clip under test.
struct Subject<'a> {
    scorer: &'a Scorer,
    reference: &'a Reference,
    seed: u64,
    progress: &'a ProgressBar,
}

impl Subject<'_> {
    fn report(
        &self,
        name: String,
        mp4: &[u8],
        degradations: &[Degradation],
    ) -> anyhow::Result<SourceReport> {
        self.progress.set_message(name.clone());
        let clip = self.reference.clip();
        let untouched = self.scored(clip.clone())?;
        let mut recoded = Vec::new();
        for factor in clips::RATE_FACTORS {
            let coded = clips::recoded(self.scorer, mp4, factor)?;
            recoded.push((factor, self.scored(coded)?));
        }
        let honest = (0..HONEST_ANSWERS as u64)
            .map(|answer| self.scored(honest(clip, self.seed * 100 + answer)));
        let honest = honest.collect::<anyhow::Result<_>>()?;
        let mut degraded = Vec::new();
        for degradation in degradations {
            let strengths = (1..=STRENGTHS)
                .map(|strength| self.scored(degradation.apply(clip, strength, self.seed)));
            degraded.push((*degradation, strengths.collect::<anyhow::Result<_>>()?));
        }
        Ok(SourceReport { name, untouched, recoded, honest, degraded })
    }

    fn scored(&self, answer: leoma_scoring::media::Clip) -> anyhow::Result<Scored> {
        let raw = self.scorer.measure(self.reference, answer)?;
        self.progress.inc(1);
        Ok(Scored::new(&self.scorer.outcome(raw), raw))
    }
}

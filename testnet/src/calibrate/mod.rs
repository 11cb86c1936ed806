//! `leoma-testnet calibrate`: how scores react to videos that were made worse by known amounts.
//!
//! For each source clip: the clip itself, its re-encodings, honest answers to it, and every
//! [`Degradation`] at five strengths. For each rendered scene: free continuations, tricks that need
//! no model, and a ladder of worse models. The report says whether scores fall as strength rises,
//! whether the worst fails, how many free continuations pass, and that tricks do not.
//!
//! Of answers that real models gave it says how the judge treats each.

mod answers;
mod clips;
mod free;
mod plot;
mod report;
mod scenes;
mod scored;
mod spread;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use leoma_scoring::calibration::continuation::SceneKind;
use leoma_scoring::calibration::{Degradation, STRENGTHS, warped};
use leoma_scoring::{AspectPolicy, DeviceChoice, Reference, Scorer};

pub use answers::{Answer, AnswersReport, PartOf};
pub use free::{FreeReport, Rate, Set, Video};
pub use report::{Report, SourceReport};
pub use scored::Scored;
use spread::spread;

use crate::seed::Seed;

/// Honest answers to each clip. Nothing but the clip is known of its scene, so they are the clip
/// itself, bent: replays are not refused here.
const HONEST_ANSWERS: usize = 3;

/// Score videos that were made worse by known amounts, and say whether the scores follow.
///
/// Exits with 1 where a rule is broken: the source itself has at least 95 points, every degradation
/// falls from strength to strength and fails at its worst, every honest answer passes. Of rendered
/// scenes four fifths of the free continuations pass, of each kind three fifths, of each trick and
/// of the worst models at most 2 %.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Source clips that are made, of all kinds of scenes in turn.
    #[arg(long, default_value_t = 8)]
    clips: usize,
    /// Kinds of scenes that are rendered, with free continuations of each; 0 for none.
    #[arg(long, default_value_t = 10)]
    scenes: usize,
    /// Rendered scenes of each kind.
    #[arg(long, default_value_t = 3)]
    each: u64,
    /// The number that the first rendered scene of each kind is drawn from.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Take the first five seconds of these MP4s instead. If there are answers of real models, each
    /// NAME.mp4 with the first frame NAME.png and the prompt NAME.txt, report the measures, gates and
    /// points of these and nothing else; all of them where NAME.source.mp4 is the source clip.
    #[arg(long, value_name = "FOLDER")]
    videos: Option<PathBuf>,
    /// With answers of real models: a folder with a CLIP or SigLIP model that reads their prompts.
    #[arg(long, value_name = "FOLDER", requires = "videos")]
    text_model: Option<PathBuf>,
    /// The seed of made clips and of everything random.
    #[arg(long, default_value = "calibration")]
    seed: String,
    /// Only these degradations, by name and separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = degradation)]
    only: Vec<Degradation>,
    /// Only these kinds of scenes, by name and separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    kinds: Vec<SceneKind>,
    /// Only these videos of each rendered scene, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    sets: Vec<Set>,
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

fn kind(name: &str) -> Result<SceneKind, String> {
    let known = || SceneKind::ALL.map(|kind| format!("{kind:?}").to_lowercase()).join(", ");
    SceneKind::ALL
        .into_iter()
        .find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("the known names are {}", known()))
}

/// Runs the command.
///
/// # Errors
/// ffmpeg, the device or a file failed.
pub async fn run(args: CalibrateArgs) -> anyhow::Result<ExitCode> {
    let (json, plot) = (args.json, args.plot.clone());
    if let Some(folder) = &args.videos
        && let Some(triples) = answers::triples(folder)?
    {
        ensure!(plot.is_none(), "--plot does not draw answers of real models");
        let (device, text_model) = (args.device, args.text_model);
        let score = move || answers::score(&triples, device, text_model.as_deref());
        let report = tokio::task::spawn_blocking(score).await??;
        if json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(args.text_model.is_none(), "--text-model is for answers of real models, with prompts");
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
        // Here the untouched source is not among the videos, and a replay is a trick.
        let scorer = Scorer::open(args.device, AspectPolicy::SUBNET)?;
        let kinds = if args.kinds.is_empty() { SceneKind::ALL.to_vec() } else { args.kinds };
        let kinds = &kinds[..args.scenes.min(kinds.len())];
        let progress = ProgressBar::new(kinds.len() as u64 * args.each);
        progress.set_style(ProgressStyle::with_template("{pos}/{len} scenes, {eta} left")?);
        let seeds = args.first..args.first + args.each;
        let rendered = free::calibrate(&scorer, kinds, (seeds, args.sets.as_slice()), &progress)?;
        progress.finish_and_clear();
        Ok(Report::new(&scorer, reports, rendered))
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
        let mut videos = vec![Variant::Untouched];
        videos.extend(clips::RATE_FACTORS.map(Variant::Recoded));
        videos.extend((0..HONEST_ANSWERS as u64).map(Variant::Honest));
        for degradation in degradations {
            videos
                .extend((1..=STRENGTHS).map(|strength| Variant::Degraded(*degradation, strength)));
        }
        let scored = spread(&videos, |variant| {
            self.scored(match *variant {
                Variant::Untouched => clip.clone(),
                Variant::Recoded(factor) => clips::recoded(self.scorer, mp4, factor)?,
                Variant::Honest(answer) => warped(clip, self.seed * 100 + answer),
                Variant::Degraded(degradation, strength) => {
                    degradation.apply(clip, strength, self.seed)
                }
            })
        })?;
        let mut scored = scored.into_iter();
        let mut next = |count: usize| scored.by_ref().take(count).collect::<Vec<Scored>>();
        let untouched = next(1).remove(0);
        let recoded = clips::RATE_FACTORS.into_iter().zip(next(clips::RATE_FACTORS.len()));
        let recoded = recoded.collect();
        let honest = next(HONEST_ANSWERS);
        let degraded = degradations.iter().map(|degradation| (*degradation, next(STRENGTHS)));
        let degraded = degraded.collect();
        Ok(SourceReport { name, untouched, recoded, honest, degraded })
    }

    fn scored(&self, answer: leoma_scoring::media::Clip) -> anyhow::Result<Scored> {
        let raw = self.scorer.measure(self.reference, answer)?;
        self.progress.inc(1);
        Ok(Scored::new(&self.scorer.outcome(raw), raw))
    }
}

/// One video of a source clip.
#[derive(Clone, Copy)]
enum Variant {
    /// The clip itself.
    Untouched,
    /// Re-encoded at this rate factor.
    Recoded(u32),
    /// The honest answer of this number.
    Honest(u64),
    /// Spoilt at this strength.
    Degraded(Degradation, usize),
}

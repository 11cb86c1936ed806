//! `leoma score`.

mod bench;
mod report;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use leoma_scoring::learned::TextModel;
use leoma_scoring::media::{Limits, read_bounded};
use leoma_scoring::worker::ScorerOptions;
use leoma_scoring::{DeviceChoice, Outcome, Scorer, TaskType};

use report::Report;

use super::output::print_json;

/// Score one video, test the device, or measure how fast it scores.
///
/// With --source the video is compared with the clip that it continues, as validators do, but
/// Gemini is not asked. Without --source only the file is checked: that it is a video of the picture's
/// size and a task's length, that it moves, and that it begins with the picture. A video that
/// cannot be used has a status, and the exit code is 0.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// The picture that the video should begin with, a PNG.
    #[arg(value_name = "FIRST_FRAME", required_unless_present_any = ["self_test", "bench"])]
    first_frame: Option<PathBuf>,
    /// The video to score, an MP4.
    #[arg(value_name = "VIDEO", required_unless_present_any = ["self_test", "bench"])]
    video: Option<PathBuf>,
    /// The source clip that the video is compared with.
    #[arg(long, value_name = "CLIP")]
    source: Option<PathBuf>,
    /// The prompt of the video; it counts if --text-model names a model that reads it.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A CLIP or SigLIP model as Hugging Face publishes it: with --source and --prompt it says how
    /// well the video shows the prompt.
    #[arg(long, value_name = "FOLDER", env = "LEOMA_TEXT_MODEL")]
    text_model: Option<PathBuf>,
    /// What the miner was given: ti2v (first frame and prompt), t2v (a prompt) or i2v (a first
    /// frame). The video is judged by that alone.
    #[arg(long, value_name = "TYPE", default_value = "ti2v", env = "LEOMA_TASK")]
    task: TaskType,
    /// Fail a video that is the source clip itself.
    #[arg(long, requires = "source")]
    forbid_replay: bool,
    /// The device: auto (CUDA if it is usable), cuda, cuda:N or cpu.
    #[arg(long, default_value = "auto", env = "LEOMA_DEVICE")]
    device: DeviceChoice,
    /// Compare every metric on the device with the CPU, and measure the clips compared per second.
    #[arg(long, conflicts_with_all = ["first_frame", "bench"])]
    self_test: bool,
    /// Measure how long each stage and each metric takes on a synthetic clip of 81 frames of
    /// 832x480.
    #[arg(long, conflicts_with = "first_frame")]
    bench: bool,
    /// With --bench: runs of each stage.
    #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// With --bench: also time OpenCV, piq and scikit-image on the same clip, with this Python; in
    /// the repository's folder.
    #[arg(long, value_name = "PYTHON", requires = "bench")]
    peers: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ScoreArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        if self.bench {
            return bench::run(self.device, self.rounds.into(), self.peers, self.json).await;
        }
        tokio::task::spawn_blocking(move || if self.self_test { self.test() } else { self.score() })
            .await?
    }

    /// The scorer, and what a verdict would call it.
    fn open(&self) -> anyhow::Result<(Scorer, String)> {
        // Without a clip and a prompt there is nothing for it to read; a wrong folder is still an
        // error.
        let text_model = self.text_model.as_deref().map(TextModel::at).transpose()?;
        let text_model = text_model.filter(|_| self.source.is_some() && self.prompt.is_some());
        let options = ScorerOptions {
            forbid_replay: self.forbid_replay,
            task: self.task,
            text_model,
            ..ScorerOptions::default()
        };
        let scorer = Scorer::open(self.device, options.policy())?;
        let scorer = match &options.text_model {
            Some(model) => scorer.with_text_model(model)?,
            None => scorer,
        };
        Ok((scorer, options.judge_id()))
    }

    fn test(&self) -> anyhow::Result<()> {
        let (scorer, _) = self.open()?;
        let report = bench::self_test(&scorer)?;
        if self.json { print_json(&report.json()) } else { report.print() }
    }

    fn score(&self) -> anyhow::Result<()> {
        let (Some(first_frame), Some(video)) = (&self.first_frame, &self.video) else {
            return Ok(());
        };
        let (scorer, judge) = self.open()?;
        let picture = read(first_frame)?;
        let reference = match &self.source {
            Some(path) => {
                Some(scorer.reference(&read(path)?).with_context(|| path.display().to_string())?)
            }
            None => None,
        };
        let mut report = Report::new(&scorer, judge, self.prompt.clone());
        match (open_video(video)?, reference) {
            (Err(defect), _) => report.outcome(&Outcome::defect(&defect)),
            (Ok(video), Some(reference)) => {
                let shown = scorer.shows_first_frame(&reference, &picture);
                if !shown.with_context(|| first_frame.display().to_string())? {
                    report.note("FIRST_FRAME is not the source's first frame; the video was compared with the source");
                }
                report.scored(&scorer.score_prompted(
                    &reference,
                    self.prompt.as_deref(),
                    &video,
                )?);
            }
            (Ok(video), None) => {
                let outcome = scorer.score_without_source(&picture, &video);
                report.without_source(
                    &video,
                    &outcome.with_context(|| first_frame.display().to_string())?,
                );
            }
        }
        if self.json { print_json(&report.json()) } else { report.print() }
    }
}

/// The video's bytes, or what is wrong with their number.
fn open_video(path: &Path) -> anyhow::Result<Result<Vec<u8>, leoma_scoring::media::VideoDefect>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    read_bounded(file, &Limits::ANSWER).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    open_video(path)?.with_context(|| path.display().to_string())
}

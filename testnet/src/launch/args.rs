//! `leoma-testnet launch`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use leoma_scoring::{JudgeChoice, TaskType};

use super::agreement::EPOCH_BLOCKS;
use super::mechanism::Mechanism;
use super::options::Options;
use super::progress::Progress;
use super::report::Report;
use super::subnet::Subnet;
use super::weights::WeightMode;
use super::{LaunchError, Result};
use crate::axons::Dancer;
use crate::forecasters::Forecaster;
use crate::stop::stop_signal;

/// What a run may take beyond its epochs: start, one epoch in which nobody has won yet, and a busy
/// machine.
const SLACK: Duration = Duration::from_secs(180);
/// Milliseconds of a block, up to as many validators as the machine carries with ease.
const BLOCK_TIME: u64 = 500;
/// Validators that one core carries at [`BLOCK_TIME`]. Each follows the chain's head and opens a
/// scorer, whose self-test costs a few seconds of a core when everybody starts; tasks cost the same
/// however many validators take turns.
const VALIDATORS_PER_CORE: usize = 4;
/// What every further validator adds to the time limit: its start.
const START_PER_VALIDATOR: Duration = Duration::from_secs(5);

/// Starts a whole subnet on this machine and waits until its validators agree.
#[derive(Clone, Debug, clap::Args)]
pub struct LaunchArgs {
    /// Number of validators.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Number of miners: a good one, worse ones and cheats. 33 include every kind of video, 9 every
    /// kind of motion, 8 every kind of the oracle. The default is 6 for video, and all kinds of the
    /// others.
    #[arg(long)]
    miners: Option<usize>,
    /// Consecutive epochs in which all validators must set the same weights.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1000))]
    epochs: u64,
    /// Milliseconds of a block. The default is 500 for up to four validators per core, and 500 more
    /// for each further four: blocks must not come faster than the slowest validator can follow.
    #[arg(long, value_name = "MS")]
    block_time: Option<u64>,
    /// Blocks per task.
    #[arg(long, default_value_t = 40)]
    interval: u64,
    /// How validators set weights: in the open, a hash first, or encrypted until the chain reveals
    /// them. What is committed is revealed one epoch later.
    #[arg(long, value_enum, default_value_t)]
    weights: WeightMode,
    /// Seed of keys, clips and roles.
    #[arg(long, default_value = "1")]
    seed: String,
    /// Your own videos (.mp4, each at least 1 MB and longer than 8 s) as source clips. The stand-in
    /// miners can only bend these, which the judge may call a replay.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Folder for logs, wallets and state. It must be empty, and is kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the subnet up after it has agreed, until a signal, and keep the temporary folder with
    /// logs, wallets and state.
    #[arg(long)]
    keep: bool,
    /// Open the first validator's pages in a browser.
    #[arg(long)]
    open: bool,
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds after which a run without agreement fails; by default the time that the epochs
    /// need, and some more.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// What miners of mechanism video are given: ti2v (first frame and prompt), t2v (a prompt) or
    /// i2v (a first frame).
    #[arg(long, default_value = "ti2v")]
    task: TaskType,
    /// What the validators serve, each mechanism by processes of its own with weights of its own:
    /// video (id 0 on the chain), t2v (id 1, a prompt alone), i2v (id 2, a first frame alone); or
    /// motion alone or oracle alone, whose miners answer through axons, and whose weights must be in
    /// the expected order.
    #[arg(
        long,
        visible_alias = "mechanism",
        value_enum,
        value_delimiter = ',',
        default_value = "video"
    )]
    mechanisms: Vec<Mechanism>,
    /// Who judges: local (the metrics alone), gemini (a stand-in that passes everything) or both,
    /// which pass what is only of bad quality. Where prompts have to describe the clips, local
    /// stands for both.
    #[arg(long, default_value = "local")]
    judge: JudgeChoice,
    /// Where validators score: auto, cuda or cpu.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Opens a page where there is a desktop, and says so where there is none.
fn open_browser(page: &str, progress: &Progress) {
    let quiet = std::process::Stdio::null;
    let started = std::process::Command::new("xdg-open")
        .arg(page)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    if let Err(error) = started {
        progress.say(&format!("no browser was opened (xdg-open: {error}): open {page} yourself"));
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Agreement on the expected winner.
    Agreed,
    /// Agreement on another miner, or no agreement in time.
    NotAgreed,
    /// Agreement on the expected winner, but verdicts that do not say what a miner does.
    Unexpected,
    /// A signal stopped it.
    Interrupted,
}

impl Outcome {
    /// The exit code of the process.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Agreed => 0,
            Self::NotAgreed | Self::Unexpected => 1,
            Self::Interrupted => 130,
        }
    }
}

/// Runs the command, and prints a failure with its log lines to standard error.
pub async fn run(args: LaunchArgs) -> ExitCode {
    match args.run().await {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl LaunchArgs {
    /// Runs the subnet until it agrees, time runs out, a part dies or a signal arrives. Nothing is
    /// left running.
    ///
    /// # Errors
    /// When a part does not start or dies.
    pub async fn run(self) -> Result<Outcome> {
        let mut progress = Progress::new(self.validators, &self.mechanisms);
        if self.block_time.is_none() && self.block_time() != BLOCK_TIME {
            let (validators, block_time) =
                (self.validators * self.mechanisms.len(), self.block_time());
            progress.say(&format!(
                "{validators} validator processes on {} cores: blocks take {block_time} ms (--block-time)",
                cores()
            ));
        }
        let ended = self.run_to_end(&mut progress).await;
        progress.finish();
        let Some(report) = ended? else {
            eprintln!("interrupted; everything is stopped");
            return Ok(Outcome::Interrupted);
        };
        println!("{}", report.table());
        Ok(self.outcome(&report))
    }

    /// How a run with this report ended; says which verdicts are not as expected.
    fn outcome(&self, report: &Report) -> Outcome {
        let unexpected = if self.expects_reasons() { report.unexpected() } else { Vec::new() };
        for line in &unexpected {
            eprintln!("{line}");
        }
        match (report.succeeded(), unexpected.is_empty()) {
            (false, _) => Outcome::NotAgreed,
            (true, false) => Outcome::Unexpected,
            (true, true) => Outcome::Agreed,
        }
    }

    /// Whether it is known what each verdict has to say: where others judge than the metrics, where
    /// miners are given less, or where a clip is not rendered, bad quality may pass and an honest
    /// answer fail.
    fn expects_reasons(&self) -> bool {
        match self.mechanisms.first() {
            Some(Mechanism::Video) => {
                self.task == TaskType::Ti2v
                    && self.judge == JudgeChoice::Local
                    && self.corpus.is_none()
            }
            Some(Mechanism::Motion | Mechanism::Oracle) => true,
            Some(Mechanism::T2v | Mechanism::I2v) | None => false,
        }
    }

    /// The result, or `None` when a signal arrived.
    async fn run_to_end(&self, progress: &mut Progress) -> Result<Option<Report>> {
        let mut signal = std::pin::pin!(stop_signal());
        let mut subnet = tokio::select! {
            started = Subnet::start(self.options(), |text| progress.say(text)) => started?,
            () = &mut signal => return Ok(None),
        };
        for page in subnet.pages() {
            progress.say(&format!("pages: {page}"));
        }
        if let (true, Some(page)) = (self.open, subnet.pages().next()) {
            open_browser(page, progress);
        }
        let epochs = usize::try_from(self.epochs).unwrap_or(usize::MAX);
        let waited = subnet.wait_until(self.time_limit(), |view| {
            progress.show(view);
            view.epochs_agreed() >= epochs
        });
        let waited = tokio::select! {
            waited = waited => Some(waited),
            () = &mut signal => None,
        };
        let report = match waited {
            Some(Err(error @ LaunchError::TimeOut { .. })) => {
                progress.say(&error.to_string());
                let view = subnet.view().await;
                Some(subnet.report(&view, epochs))
            }
            Some(Err(error)) => {
                let view = subnet.view().await;
                self.write(&subnet.report(&view, epochs))?;
                return Err(error);
            }
            Some(Ok(view)) => Some(subnet.report(&view, epochs)),
            None => None,
        };
        if let (true, Some(report)) = (self.keep, &report) {
            progress.say(&report.table());
            progress.say("the subnet stays up until Ctrl-C (--keep)");
            signal.await;
        }
        subnet.stop().await;
        if let Some(report) = &report {
            self.write(report)?;
        }
        Ok(report)
    }

    fn options(&self) -> Options {
        Options {
            validators: self.validators,
            miners: self.miners.unwrap_or_else(|| self.usual_miners()),
            block_time: self.block_time(),
            interval: self.interval,
            weights: self.weights,
            seed: self.seed.clone(),
            corpus: self.corpus.clone(),
            folder: self.dir.clone(),
            keep: self.keep,
            device: self.device.clone(),
            task: self.task,
            judge: self.judge,
            mechanisms: self.mechanisms.clone(),
            ..Options::default()
        }
    }

    fn usual_miners(&self) -> usize {
        match self.mechanisms[..] {
            [Mechanism::Motion] => Dancer::ALL.len(),
            [Mechanism::Oracle] => Forecaster::ALL.len(),
            _ => Options::default().miners,
        }
    }

    fn block_time(&self) -> u64 {
        self.block_time
            .unwrap_or_else(|| block_time(self.validators * self.mechanisms.len(), cores()))
    }

    fn time_limit(&self) -> Duration {
        // A mechanism's first epoch is at most one later than video's.
        let further = if self.mechanisms.len() > 1 { EPOCH_BLOCKS } else { 0 };
        let until_stored = self.weights.blocks_until_stored(0);
        let blocks = (self.epochs + 1) * EPOCH_BLOCKS + further + until_stored;
        let needed = Duration::from_millis(blocks * self.block_time());
        let processes = self.validators * self.mechanisms.len();
        let start = START_PER_VALIDATOR * u32::try_from(processes).unwrap_or(u32::MAX);
        self.timeout.map_or(needed * 3 / 2 + SLACK + start, Duration::from_secs)
    }

    fn write(&self, report: &Report) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let text = serde_json::to_vec_pretty(report)
            .map_err(|source| LaunchError::Report { path: path.clone(), source })?;
        std::fs::write(path, text).map_err(|source| LaunchError::Io { path: path.clone(), source })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Milliseconds of a block for this many validators on this many cores.
fn block_time(validators: usize, cores: usize) -> u64 {
    let times = validators.div_ceil(VALIDATORS_PER_CORE * cores.max(1)).max(1);
    BLOCK_TIME * u64::try_from(times).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_get_slower_only_where_the_machine_is_too_small() {
        let times: Vec<u64> = [(4, 2), (8, 2), (9, 2), (16, 2), (64, 2), (16, 16), (1, 0)]
            .map(|(v, c)| block_time(v, c))
            .to_vec();
        assert_eq!(times, [500, 500, 1000, 1000, 4000, 500, 500]);
    }
}

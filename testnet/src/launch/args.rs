//! `leoma-testnet launch`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use leoma_scoring::{JudgeChoice, TaskType};

use super::agreement::EPOCH_BLOCKS;
use super::options::Options;
use super::progress::Progress;
use super::report::Report;
use super::subnet::Subnet;
use super::weights::WeightMode;
use super::{LaunchError, Result};
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
    /// Number of miners: a good one, worse ones and cheats. 23 include every kind.
    #[arg(long, default_value_t = 6)]
    miners: usize,
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
    /// Your own videos (.mp4, each at least 1 MB and longer than 8 s) as source clips.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Folder for logs, wallets and state. It must be empty, and is kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the temporary folder with logs, wallets and state.
    #[arg(long)]
    keep: bool,
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds after which a run without agreement fails; by default the time that the epochs
    /// need, and some more.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// What miners are given: ti2v (first frame and prompt) or i2v (a first frame). The stand-in
    /// miners know clips by their first frame, so there is no t2v.
    #[arg(long, default_value = "ti2v", value_parser = known_task)]
    task: TaskType,
    /// Who judges: local (the metrics alone), gemini (a stand-in that passes everything) or both.
    #[arg(long, default_value = "both")]
    judge: JudgeChoice,
    /// Where validators score: auto, cuda or cpu.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Agreement on the expected winner.
    Agreed,
    /// Agreement on another miner, or no agreement in time.
    NotAgreed,
    /// A signal stopped it.
    Interrupted,
}

impl Outcome {
    /// The exit code of the process.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Agreed => 0,
            Self::NotAgreed => 1,
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
        let mut progress = Progress::new(self.validators);
        if self.block_time.is_none() && self.block_time() != BLOCK_TIME {
            let (validators, block_time) = (self.validators, self.block_time());
            progress.say(&format!(
                "{validators} validators on {} cores: blocks take {block_time} ms (--block-time)",
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
        Ok(if report.succeeded() { Outcome::Agreed } else { Outcome::NotAgreed })
    }

    /// The result, or `None` when a signal arrived.
    async fn run_to_end(&self, progress: &mut Progress) -> Result<Option<Report>> {
        let mut signal = std::pin::pin!(stop_signal());
        let mut subnet = tokio::select! {
            started = Subnet::start(self.options(), |text| progress.say(text)) => started?,
            () = &mut signal => return Ok(None),
        };
        let epochs = usize::try_from(self.epochs).unwrap_or(usize::MAX);
        let waited = subnet.wait_until(self.time_limit(), |view| {
            progress.show(view);
            view.agreement.as_ref().is_some_and(|agreement| agreement.epochs.len() >= epochs)
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
        subnet.stop().await;
        if let Some(report) = &report {
            self.write(report)?;
        }
        Ok(report)
    }

    fn options(&self) -> Options {
        Options {
            validators: self.validators,
            miners: self.miners,
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
            ..Options::default()
        }
    }

    fn block_time(&self) -> u64 {
        self.block_time.unwrap_or_else(|| block_time(self.validators, cores()))
    }

    fn time_limit(&self) -> Duration {
        let blocks = (self.epochs + 1) * EPOCH_BLOCKS + self.weights.blocks_until_stored();
        let needed = Duration::from_millis(blocks * self.block_time());
        let start = START_PER_VALIDATOR * u32::try_from(self.validators).unwrap_or(u32::MAX);
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

fn known_task(text: &str) -> Result<TaskType, String> {
    match text.parse()? {
        TaskType::T2v => {
            Err("the stand-in miners know clips by their first frame: ti2v or i2v".to_owned())
        }
        task => Ok(task),
    }
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

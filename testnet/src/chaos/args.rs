//! `leoma-testnet chaos`.

use clap::ValueEnum as _;
use leoma_scoring::JudgeChoice;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::fault::FaultKind;
use super::report::ChaosReport;
use super::rounds::{Chaos, ChaosError};
use super::schedule::Schedule;
use crate::launch::{LaunchError, Options, Subnet};
use crate::netns::{Impairment, Network};
use crate::seed::Seed;
use crate::stop::stop_signal;

/// The longest run, minutes: a day.
const MAX_MINUTES: f64 = 1440.0;
/// Exit code of a run that a signal ended.
const INTERRUPTED: u8 = 130;

/// Hurt a whole subnet in rounds drawn from a seed, and check that its validators lose nothing and
/// agree.
///
/// Processes are killed and paused, the network between validators is cut, delayed and made lossy,
/// addresses change, the storage and the services fail, and strangers attack. After each round the
/// mesh must become whole, and in the end all validators must hold every verdict file and set the
/// same weights.
///
/// Faults of the network need root, `ip` (iproute2) and, for delay and loss, `/dev/net/tun`; each
/// validator runs in a network namespace of its own then, and nothing of the machine's own network
/// is touched. Where something is missing, the faults that need it are skipped, and the report says
/// why.
///
/// Exit code 0: nothing was lost or signed twice, no two validators computed different weights for
/// one epoch, each that set none said why, and they agreed within the stated number of blocks after
/// the last fault. 1: otherwise. 130: interrupted.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "The same seed, validators and kinds give the same faults in the same order:\n  \
                        leoma-testnet chaos --seed 7 --minutes 10 --json report.json\n  \
                        leoma-testnet chaos --seed 7 --minutes 3 --only kill,partition_half --json -"
)]
pub struct ChaosArgs {
    /// Seed of the faults, their order and the subnet.
    #[arg(long, default_value = "1")]
    seed: String,
    /// Minutes of faults, and longer where a kind had no turn yet: six rounds see all kinds. A
    /// round takes about half a minute, and up to two where an epoch's boundary or a turn is waited
    /// for. Start and end of the run come on top, some three minutes.
    #[arg(long, default_value = "5", value_parser = minutes)]
    minutes: f64,
    /// Validators.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(3..=64))]
    validators: u16,
    /// Miners. Few leave the cores to the mesh.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    miners: u16,
    /// Only these kinds of faults.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    only: Vec<FaultKind>,
    /// Writes the report here; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Milliseconds of a block.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    block_time: u64,
    /// Blocks of a task.
    #[arg(long, default_value_t = 40)]
    interval: u64,
    /// Folder for logs, wallets and state. It must be empty, and is kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the temporary folder with logs, wallets and state.
    #[arg(long)]
    keep: bool,
    /// Where validators score: auto, cuda or cpu.
    #[arg(long, default_value = "auto")]
    device: String,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = minutes > 0.0 && minutes <= MAX_MINUTES;
    if fits { Ok(minutes) } else { Err(format!("must be more than 0 and at most {MAX_MINUTES}")) }
}

/// Runs the command, and prints a failure to standard error.
pub async fn run(args: ChaosArgs) -> ExitCode {
    match args.run().await {
        Ok(Some(report)) => {
            eprintln!("{}", report.summary());
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(None) => {
            eprintln!("interrupted; everything is stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What this machine can do, and why not the rest.
struct Means {
    kinds: BTreeSet<FaultKind>,
    skipped: BTreeMap<FaultKind, String>,
    namespaces: bool,
}

impl ChaosArgs {
    async fn run(&self) -> Result<Option<ChaosReport>, ChaosError> {
        let means = self.means();
        for (kind, reason) in means.skipped.iter().filter(|_| self.only.is_empty()) {
            eprintln!("{kind} is skipped: {reason}");
        }
        let options = Options {
            validators: self.validators.into(),
            miners: self.miners.into(),
            block_time: self.block_time,
            interval: self.interval,
            seed: self.seed.clone(),
            folder: self.dir.clone(),
            keep: self.keep,
            device: self.device.clone(),
            // Gemini's faults are among those that services show.
            judge: JudgeChoice::Both,
            namespaces: means.namespaces,
            own_endpoints: true,
            ..Options::default()
        };
        let mut signal = std::pin::pin!(stop_signal());
        let mut subnet = tokio::select! {
            started = Subnet::start(options, |text| eprintln!("{text}")) => started?,
            () = &mut signal => return Ok(None),
        };
        let ended = tokio::select! {
            ended = self.hurt(&mut subnet, means) => Some(ended),
            () = &mut signal => None,
        };
        subnet.stop().await;
        eprintln!("replay: {}", self.replay());
        let Some(report) = ended.transpose()? else { return Ok(None) };
        if let Some(path) = &self.json {
            write(&report, path)?;
        }
        Ok(Some(report))
    }

    async fn hurt(&self, subnet: &mut Subnet, means: Means) -> Result<ChaosReport, ChaosError> {
        let report = ChaosReport {
            seed: self.seed.clone(),
            minutes: self.minutes,
            validators: self.validators.into(),
            miners: self.miners.into(),
            namespaces: means.namespaces,
            skipped: means.skipped,
            ..ChaosReport::default()
        };
        let schedule =
            Schedule::new(&Seed::new(self.seed.clone()), self.validators.into(), means.kinds);
        let block_time = Duration::from_millis(self.block_time);
        let chaos = Chaos::new(subnet, schedule, self.interval, block_time, report);
        chaos.run(Duration::from_secs_f64(self.minutes * 60.0)).await
    }

    fn means(&self) -> Means {
        let asked = |kind: &FaultKind| self.only.is_empty() || self.only.contains(kind);
        let network = Network::new(1);
        let no_network = network.as_ref().err().map(ToString::to_string);
        let impaired = network.and_then(|mut network| network.impair(Impairment::default()));
        let no_relay = impaired.err().map(|error| error.to_string());
        let mut means = Means {
            kinds: BTreeSet::new(),
            skipped: BTreeMap::new(),
            namespaces: no_network.is_none(),
        };
        for &kind in FaultKind::value_variants() {
            let obstacle = match (kind.needs_relay(), kind.needs_network()) {
                (true, _) => no_relay.clone(),
                (false, true) => no_network.clone(),
                (false, false) => None,
            };
            match obstacle {
                _ if !asked(&kind) => drop(means.skipped.insert(kind, "not asked for".into())),
                Some(reason) => drop(means.skipped.insert(kind, reason)),
                None => drop(means.kinds.insert(kind)),
            }
        }
        means
    }

    fn replay(&self) -> String {
        let kinds: Vec<String> = self.only.iter().map(ToString::to_string).collect();
        let only =
            if kinds.is_empty() { String::new() } else { format!(" --only {}", kinds.join(",")) };
        format!(
            "leoma-testnet chaos --seed '{}' --minutes {} --validators {} --miners {}{only}",
            self.seed, self.minutes, self.validators, self.miners
        )
    }
}

fn write(report: &ChaosReport, path: &Path) -> Result<(), LaunchError> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|source| LaunchError::Report { path: path.to_owned(), source })?;
    if path == Path::new("-") {
        println!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).map_err(|source| LaunchError::Io { path: path.to_owned(), source })
}

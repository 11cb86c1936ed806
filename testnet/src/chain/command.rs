//! `leoma-testnet chain`: runs the chain, and steers or looks at one that runs.

use super::bench::BenchArgs;
use super::emissions::EmissionsArgs;
use super::error::ChainError;
use super::pruning::DEFAULT_KEPT_STATES;
use super::travel::{RunToArgs, SnapshotArgs, StepArgs};
use super::{ChainConfig, GenesisConfig, spawn};
use crate::report_file;
use crate::stop::stop_signal;
use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Shortest block time, ms: below it a debug build on two busy cores falls behind its own clock.
const MIN_BLOCK_TIME_MS: u64 = 20;

/// Runs the local chain until SIGINT or SIGTERM, or steers or looks at one that runs.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    Step(StepArgs),
    RunTo(RunToArgs),
    Snapshot(SnapshotArgs),
    Bench(BenchArgs),
    Emissions(EmissionsArgs),
}

/// How the chain runs.
#[derive(Debug, Clone, clap::Args)]
struct RunArgs {
    /// Folder of blocks and state; `endpoint.json` in it names the address. Started again from it,
    /// the chain goes on with the same best block and the same finality.
    #[arg(long)]
    dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds between blocks; 0 makes blocks only for `chain step` and `chain run-to` (needs
    /// --controls).
    #[arg(long, default_value_t = 500, value_parser = parse_block_time)]
    block_time: u64,
    /// JSON document the chain starts with; not needed where the folder holds a chain already.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// Answer `testnet_*` methods, with which any client may step, reorganize, stall and upgrade
    /// the chain. No live chain has them.
    #[arg(long)]
    controls: bool,
    /// Blocks between the best and the finalized head.
    #[arg(long, default_value_t = 0)]
    finality_lag: u32,
    /// Final states that stay readable; older ones are "already discarded", as on an ordinary node.
    #[arg(long, default_value_t = DEFAULT_KEPT_STATES)]
    keep_states: u32,
    /// Keep every state; memory then grows with the chain.
    #[arg(long, conflicts_with = "keep_states")]
    archive: bool,
    /// Milliseconds by which a stepped block's Timestamp follows its parent's; the block time
    /// unless given, or 12000 where that is 0.
    #[arg(long)]
    step_time: Option<u64>,
    /// Timestamp of block 1, Unix milliseconds; the wall clock's unless given.
    #[arg(long)]
    start_time: Option<u64>,
    /// Seconds that chain time is ahead of the wall clock; negative is behind.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_skew: i64,
}

impl RunArgs {
    fn config(&self) -> anyhow::Result<ChainConfig> {
        if self.block_time == 0 && !self.controls {
            bail!("--block-time 0 makes blocks only on request, which needs --controls");
        }
        Ok(ChainConfig {
            port: self.port,
            block_time: Duration::from_millis(self.block_time),
            genesis: self.genesis.as_deref().map(read_genesis).transpose()?,
            controls: self.controls,
            finality_lag: self.finality_lag,
            kept_states: (!self.archive).then_some(self.keep_states),
            step: self.step_time.map(Duration::from_millis),
            start_time: self.start_time,
            clock_skew: self.clock_skew,
            ..ChainConfig::resume(&self.dir)
        })
    }
}

fn parse_block_time(text: &str) -> Result<u64, String> {
    let ms: u64 = text.parse().map_err(|error| format!("{error}"))?;
    if ms == 0 || ms >= MIN_BLOCK_TIME_MS {
        return Ok(ms);
    }
    Err(format!("the block time must be 0 or at least {MIN_BLOCK_TIME_MS} ms, not {ms}"))
}

/// Runs the command.
///
/// # Errors
/// When the chain cannot start, stops by itself, does not answer, or does not do what it is asked.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match (args.action, args.run) {
        (Some(Action::Step(args)), _) => args.run().await,
        (Some(Action::RunTo(args)), _) => args.run().await,
        (Some(Action::Snapshot(args)), _) => args.run(),
        (Some(Action::Bench(args)), _) => args.run().await,
        (Some(Action::Emissions(args)), _) => args.run().await,
        (None, Some(args)) => serve(args).await,
        (None, None) => bail!("--dir is missing"),
    }
}

async fn serve(args: RunArgs) -> anyhow::Result<()> {
    let stop = stop_signal();
    let mut chain = spawn(args.config()?).await?;
    write_endpoint(&args.dir, &chain.ws_url, &format!("{:?}", chain.genesis_hash))?;
    // The one line on standard output, for scripts.
    println!("{}", chain.ws_url);
    std::io::stdout().flush().context("writing to standard output")?;
    tracing::info!(
        url = %chain.ws_url,
        genesis = ?chain.genesis_hash,
        number = chain.best_number(),
        "the chain is running"
    );
    if args.controls {
        tracing::warn!("any client may steer this chain");
    }
    let failure = tokio::select! {
        () = stop => None,
        ended = chain.failed() => Some(ended),
    };
    match failure {
        None => {
            tracing::info!(number = chain.best_number(), "stopping");
            chain.stop().await?;
        }
        Some(ended) => ended.context("the chain stopped by itself")?,
    }
    Ok(())
}

fn read_genesis(path: &Path) -> Result<GenesisConfig, ChainError> {
    let bytes = std::fs::read(path).map_err(ChainError::file("reading", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|source| ChainError::GenesisFile { path: path.to_owned(), source })
}

fn write_endpoint(dir: &Path, url: &str, genesis: &str) -> Result<(), ChainError> {
    let path = dir.join("endpoint.json");
    let text = json!({ "url": url, "genesis_hash": genesis, "pid": std::process::id() });
    report_file::write(&path, text.to_string().as_bytes())
        .map_err(ChainError::file("writing", &path))
}

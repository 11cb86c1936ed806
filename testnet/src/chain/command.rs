//! `leoma-testnet chain`: runs the chain, and looks at one that runs.

use super::emissions::EmissionsArgs;
use super::error::ChainError;
use super::{ChainConfig, GenesisConfig, spawn};
use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Shortest block time, ms: below it a debug build on two busy cores falls behind its own clock.
const MIN_BLOCK_TIME_MS: u64 = 20;

/// Runs the local chain until SIGINT or SIGTERM, or looks at one that runs.
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
    Emissions(EmissionsArgs),
}

/// How the chain runs.
#[derive(Debug, Clone, clap::Args)]
struct RunArgs {
    /// Folder of blocks and state; `endpoint.json` in it names the address.
    #[arg(long)]
    dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds between blocks.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(MIN_BLOCK_TIME_MS..))]
    block_time: u64,
    /// JSON document the chain starts with; not needed where the folder holds a chain already.
    #[arg(long)]
    genesis: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the chain cannot start, stops by itself, or does not answer.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match (args.action, args.run) {
        (Some(Action::Emissions(args)), _) => args.run().await,
        (None, Some(args)) => serve(args).await,
        (None, None) => bail!("--dir is missing"),
    }
}

async fn serve(args: RunArgs) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let genesis = args.genesis.as_deref().map(read_genesis).transpose()?;
    let block_time = Duration::from_millis(args.block_time);
    let mut chain = spawn(ChainConfig { dir: args.dir.clone(), port: args.port, block_time, genesis }).await?;
    write_endpoint(&args.dir, &chain.ws_url, &format!("{:?}", chain.genesis_hash))?;
    // The one line on standard output, for scripts.
    println!("{}", chain.ws_url);
    std::io::stdout().flush().context("writing to standard output")?;
    tracing::info!(url = %chain.ws_url, genesis = ?chain.genesis_hash, number = chain.best_number(), "chain is up");
    let failure = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
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
    serde_json::from_slice(&bytes).map_err(|source| ChainError::GenesisFile { path: path.to_owned(), source })
}

/// Written beside and renamed, so that a reader never sees half of it.
fn write_endpoint(dir: &Path, url: &str, genesis: &str) -> Result<(), ChainError> {
    let path = dir.join("endpoint.json");
    let fresh = dir.join("endpoint.json.new");
    let text = json!({ "url": url, "genesis_hash": genesis, "pid": std::process::id() }).to_string();
    std::fs::write(&fresh, text).map_err(ChainError::file("writing", &fresh))?;
    std::fs::rename(&fresh, &path).map_err(ChainError::file("writing", &path))
}

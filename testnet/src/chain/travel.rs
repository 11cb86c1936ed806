//! `leoma-testnet chain step|run-to|snapshot`.

use super::control::{Heads, MAX_STEPS};
use super::error::ChainError;
use super::ledger::{JOURNAL, Ledger};
use anyhow::Context;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use subxt::rpcs::{RpcClient, rpc_params};

/// Make blocks now, as fast as the chain can. Each carries its parent's Timestamp plus --step-time,
/// so that two runs see the same times; the chain needs --controls. Prints both heads as JSON.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StepArgs {
    /// WebSocket address of the chain.
    #[arg(long)]
    url: String,
    /// How many blocks.
    blocks: u32,
}

/// Make blocks now until the best block has this number; see `chain step`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RunToArgs {
    /// WebSocket address of the chain.
    #[arg(long)]
    url: String,
    /// Number of the block to reach.
    block: u32,
}

/// Copy a chain's folder at a consistent point, also while the chain runs. `chain --dir` starts
/// from the copy. Prints both heads of the copy as JSON.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SnapshotArgs {
    /// Folder of the chain.
    #[arg(long)]
    dir: PathBuf,
    /// Folder of the copy; it must not hold a chain yet.
    #[arg(long)]
    to: PathBuf,
}

impl StepArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = connect(&self.url).await?;
        let mut left = self.blocks;
        loop {
            let blocks = left.min(MAX_STEPS);
            let heads: Heads = client.request("testnet_step", rpc_params![blocks]).await?;
            left -= blocks;
            if left == 0 {
                return print(&heads);
            }
        }
    }
}

impl RunToArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = connect(&self.url).await?;
        loop {
            let heads: Heads = client.request("testnet_runTo", rpc_params![self.block]).await?;
            if heads.best.number >= self.block {
                return print(&heads);
            }
        }
    }
}

impl SnapshotArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        print(&snapshot(&self.dir, &self.to)?)
    }
}

/// Copies the chain in `dir` into the folder `to`, also while it runs, and returns the heads of the
/// copy.
///
/// The journal only grows and each record leaves a consistent chain, so that its first bytes up to
/// any point are a chain: a record that is cut in the middle is dropped.
///
/// # Errors
/// When either folder is unusable, or `to` holds a chain already.
pub fn snapshot(dir: &Path, to: &Path) -> Result<Heads, ChainError> {
    let (from, copy) = (dir.join(JOURNAL), to.join(JOURNAL));
    let source = File::open(&from).map_err(ChainError::file("opening", &from))?;
    let length = source.metadata().map_err(ChainError::file("reading", &from))?.len();
    std::fs::create_dir_all(to).map_err(ChainError::file("creating", to))?;
    let mut target = File::create_new(&copy).map_err(ChainError::file("creating", &copy))?;
    std::io::copy(&mut source.take(length), &mut target)
        .map_err(ChainError::file("writing", &copy))?;
    target.sync_all().map_err(ChainError::file("syncing", &copy))?;
    let view = Ledger::open(to, None)?.view();
    Ok(Heads { best: (&view.best).into(), finalized: (&view.finalized).into() })
}

async fn connect(url: &str) -> anyhow::Result<RpcClient> {
    RpcClient::from_insecure_url(url).await.with_context(|| format!("connecting to {url}"))
}

fn print(heads: &Heads) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::to_string(heads)?).context("writing to standard output")
}

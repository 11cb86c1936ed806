//! Ledger, pool, block clock and RPC server put together.

use super::drand::Beacon;
use super::error::ChainError;
use super::ledger::{Ledger, StoredBlock};
use super::pool::Pool;
use super::{GenesisConfig, producer, rpc};
use jsonrpsee::server::ServerHandle;
use sp_core::H256;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Heads a subscriber can be behind before it misses some; clients fill such gaps by number.
const HEAD_BACKLOG: usize = 256;

/// How to run a chain.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// Folder of blocks and state; created where it is missing.
    pub dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Time between blocks.
    pub block_time: Duration,
    /// What the chain starts with. A folder that holds a chain needs none, and refuses another one.
    pub genesis: Option<GenesisConfig>,
}

impl ChainConfig {
    /// A chain in `dir` on a free port with the block time of `launch.sh`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, genesis: GenesisConfig) -> Self {
        Self { dir: dir.into(), port: 0, block_time: Duration::from_millis(500), genesis: Some(genesis) }
    }
}

/// What the parts of the node share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ledger: Ledger,
    pub(super) pool: Pool,
    pub(super) beacon: Beacon,
    pub(super) heads: broadcast::Sender<StoredBlock>,
}

/// A running chain. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct ChainHandle {
    /// Where clients connect, e.g. `ws://127.0.0.1:9944`.
    pub ws_url: String,
    /// Hash of block 0.
    pub genesis_hash: H256,
    shared: Arc<Shared>,
    server: ServerHandle,
    producer: JoinHandle<Result<(), ChainError>>,
    stop: CancellationToken,
}

/// Starts a chain on the current tokio runtime and returns once it can be connected to.
///
/// # Errors
/// When the folder, the genesis or the port is unusable; the error names it.
pub async fn spawn(config: ChainConfig) -> Result<ChainHandle, ChainError> {
    let ChainConfig { dir, port, block_time, genesis } = config;
    let opened = tokio::task::spawn_blocking(move || Ledger::open(&dir, genesis.as_ref())).await;
    let ledger = opened.map_err(|error| ChainError::Task("opening", error))??;
    let (heads, _) = broadcast::channel(HEAD_BACKLOG);
    let shared = Arc::new(Shared { ledger, pool: Pool::default(), beacon: Beacon::default(), heads });
    let stop = CancellationToken::new();
    let (address, server) = rpc::serve(Arc::clone(&shared), port, stop.clone()).await?;
    let producer = tokio::spawn(producer::produce(Arc::clone(&shared), block_time, stop.clone()));
    let genesis_hash = shared.ledger.by_number(0).map(|block| block.hash).unwrap_or_default();
    Ok(ChainHandle { ws_url: format!("ws://{address}"), genesis_hash, shared, server, producer, stop })
}

impl ChainHandle {
    /// Number of the newest block.
    #[must_use]
    pub fn best_number(&self) -> u32 {
        self.shared.ledger.best().header.number
    }

    /// Stops the randomness beacon from the next block on, or lets it go on and catch up: what was encrypted to the rounds
    /// in between stays closed for so long.
    pub fn pause_beacon(&self, paused: bool) {
        self.shared.beacon.pause(paused);
    }

    /// Waits until the chain stops by itself, which it does only on a fault.
    ///
    /// # Errors
    /// The fault.
    pub async fn failed(&mut self) -> Result<(), ChainError> {
        (&mut self.producer).await.map_err(|error| ChainError::Task("block production", error))?
    }

    /// Stops: no more blocks, connections closed, everything on disk.
    ///
    /// # Errors
    /// A fault that stopped block production before, or one of the last flush.
    pub async fn stop(mut self) -> Result<(), ChainError> {
        self.stop.cancel();
        // Fails only if it is stopped already.
        let _ = self.server.stop();
        let produced = if self.producer.is_finished() { Ok(()) } else { self.failed().await };
        self.server.clone().stopped().await;
        self.shared.ledger.sync()?;
        produced
    }
}

impl Drop for ChainHandle {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.server.stop();
    }
}

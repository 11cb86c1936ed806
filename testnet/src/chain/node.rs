//! Ledger, pool, block clock and RPC server put together.

use super::clock::Clock;
use super::control::{Controls, MAX_GROWTH, MAX_REORG};
use super::drand::Beacon;
use super::error::ChainError;
use super::ledger::Ledger;
use super::pool::Pool;
use super::producer::wall_clock;
use super::pruning::DEFAULT_KEPT_STATES;
use super::shared::Shared;
use super::switches::Switches;
use super::{GenesisConfig, producer, rpc};
use jsonrpsee::server::ServerHandle;
use node_subtensor_runtime::executor::Orders;
use parking_lot::Mutex;
use sp_core::H256;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Heads a subscriber can be behind before it misses some; clients fill such gaps by number. The
/// longest reorg announces its blocks all at once.
const HEAD_BACKLOG: usize = 2 * (MAX_REORG + MAX_GROWTH) as usize;

/// How far a step moves chain time where blocks are only made on demand: Finney's block time.
pub(crate) const DEFAULT_STEP: Duration = Duration::from_secs(12);

/// How to run a chain.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// Folder of blocks and state; created where it is missing.
    pub dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Time between blocks; zero makes blocks only on demand.
    pub block_time: Duration,
    /// What the chain starts with. A folder that holds a chain needs none, and refuses a
    /// different one.
    pub genesis: Option<GenesisConfig>,
    /// Whether clients may steer the chain through `testnet_*` methods.
    pub controls: bool,
    /// Blocks between the best and the finalized head.
    pub finality_lag: u32,
    /// Final states that are kept; `None` keeps all.
    pub kept_states: Option<u32>,
    /// How far a stepped block moves chain time; `None` is the block time, or 12 s
    /// where that is zero.
    pub step: Option<Duration>,
    /// Timestamp of block 1, Unix milliseconds; `None` is the wall clock's.
    pub start_time: Option<u64>,
    /// Seconds that chain time is ahead of the wall clock, from block 1 on; negative is behind.
    pub clock_skew: i64,
}

impl ChainConfig {
    /// A chain in `dir` on a free port with the block time of `launch.sh`.
    pub fn new(dir: impl Into<PathBuf>, genesis: GenesisConfig) -> Self {
        Self { genesis: Some(genesis), ..Self::resume(dir) }
    }

    /// The chain that `dir` holds already, like [`ChainConfig::new`].
    pub fn resume(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            port: 0,
            block_time: Duration::from_millis(500),
            genesis: None,
            controls: false,
            finality_lag: 0,
            kept_states: Some(DEFAULT_KEPT_STATES),
            step: None,
            start_time: None,
            clock_skew: 0,
        }
    }

    fn step_ms(&self) -> u64 {
        let step = self.step.unwrap_or(if self.block_time.is_zero() {
            DEFAULT_STEP
        } else {
            self.block_time
        });
        u64::try_from(step.as_millis()).unwrap_or(u64::MAX)
    }

    fn switches(&self, newest: u64) -> Switches {
        let skew = self.clock_skew.saturating_mul(1_000);
        Switches {
            finality_lag: self.finality_lag,
            finality_stalled: false,
            production_stalled: false,
            clock: Clock::new(self.step_ms(), self.start_time, skew, newest, wall_clock()),
            orders: Orders::default(),
            kept_states: self.kept_states,
        }
    }
}

/// A running chain. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct ChainHandle {
    /// Where clients connect, e.g. `ws://127.0.0.1:9944`.
    pub ws_url: String,
    /// Hash of block 0.
    pub genesis_hash: H256,
    controls: Controls,
    shared: Arc<Shared>,
    server: ServerHandle,
    /// `None` once its end was reported.
    producer: Option<JoinHandle<Result<(), ChainError>>>,
}

/// Starts a chain on the current tokio runtime and returns once it can be connected to.
///
/// # Errors
/// When the folder, the genesis or the port is unusable; the error names it.
pub async fn spawn(config: ChainConfig) -> Result<ChainHandle, ChainError> {
    let (port, block_time, open) = (config.port, config.block_time, config.controls);
    let opened = tokio::task::spawn_blocking(move || {
        let ledger = Ledger::open(&config.dir, config.genesis.as_ref())?;
        ledger.prune(config.kept_states)?;
        let newest = ledger.state(&ledger.best()).timestamp()?;
        Ok::<_, ChainError>((ledger, config.switches(newest)))
    });
    let (ledger, switches) = opened.await.map_err(|error| ChainError::Task("opening", error))??;
    let genesis_hash = ledger.hash(0).unwrap_or_default();
    let shared = Arc::new(Shared {
        ledger,
        pool: Pool::default(),
        beacon: Beacon::default(),
        switches: Mutex::new(switches),
        making: Mutex::new(()),
        news: broadcast::channel(HEAD_BACKLOG).0,
        stop: CancellationToken::new(),
    });
    let controls = Controls::new(Arc::clone(&shared));
    let (address, server) =
        rpc::serve(Arc::clone(&shared), port, open.then(|| controls.clone())).await?;
    let producer =
        tokio::spawn(producer::produce(Arc::clone(&shared), block_time, shared.stop.clone()));
    let producer = Some(producer);
    Ok(ChainHandle {
        ws_url: format!("ws://{address}"),
        genesis_hash,
        controls,
        shared,
        server,
        producer,
    })
}

impl ChainHandle {
    /// Number of the newest block.
    pub fn best_number(&self) -> u32 {
        self.controls.heads().best.number
    }

    /// The chain's switches; they work whether or not clients may use them.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Stops the randomness beacon from the next block on, or lets it go on and catch up: what was
    /// encrypted to the rounds in between stays closed until then.
    pub fn pause_beacon(&self, paused: bool) {
        self.shared.beacon.pause(paused);
    }

    /// Waits until the chain stops by itself, which it does only on a fault. The fault is reported
    /// once; later calls return at once.
    ///
    /// # Errors
    /// The fault.
    pub async fn failed(&mut self) -> Result<(), ChainError> {
        let Some(producer) = &mut self.producer else { return Ok(()) };
        let ended = producer.await;
        self.producer = None;
        ended.map_err(|error| ChainError::Task("block production", error))?
    }

    /// Stops: no more blocks, connections closed, everything on disk.
    ///
    /// # Errors
    /// A fault that stopped block production and was not reported by [`ChainHandle::failed`], or
    /// one of the last flush.
    pub async fn stop(mut self) -> Result<(), ChainError> {
        self.shared.stop.cancel();
        // Fails only if it is stopped already.
        let _ = self.server.stop();
        let produced = self.failed().await;
        self.server.clone().stopped().await;
        self.shared.ledger.sync()?;
        produced
    }
}

impl Drop for ChainHandle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        let _ = self.server.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until(done: impl Fn() -> bool) {
        let polls = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), polls).await.expect("an end within a minute");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_fault_that_stopped_the_producer_is_told_when_the_chain_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let block_time = Duration::from_millis(20);
        // A step to the end of time: no block can come after one there.
        let config = ChainConfig {
            block_time,
            step: Some(Duration::MAX),
            ..ChainConfig::new(dir.path(), GenesisConfig::default())
        };
        let chain = spawn(config).await.unwrap();
        until(|| chain.best_number() > 0).await;
        chain.controls().step(1).await.unwrap();
        until(|| chain.producer.as_ref().is_none_or(JoinHandle::is_finished)).await;
        let error = chain.stop().await.unwrap_err();
        assert!(matches!(error, ChainError::Execution(_)), "{error}");
    }
}

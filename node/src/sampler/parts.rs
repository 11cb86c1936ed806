//! What a sampler works with.

use std::sync::Arc;

use leoma_chain::ChainClient;
use leoma_protocol::{ConsensusParams, HotkeySigner};
use leoma_rotation::AllowlistHistory;
use leoma_storage::{OwnBucket, SourceBucket};
use tokio::sync::watch;

use super::judging::Judging;
use crate::config::SamplingConfig;
use crate::metrics::Metrics;
use crate::miners::{ChutesClient, MinerTable};
use crate::state::State;
use crate::verdicts::{Exchange, Library};

/// The sampler of one validator.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The chain.
    pub chain: ChainClient,
    /// Our key.
    pub signer: HotkeySigner,
    /// The consensus constants.
    pub params: Arc<ConsensusParams>,
    /// Sizes and limits.
    pub config: SamplingConfig,
    /// Source videos.
    pub source: SourceBucket,
    /// Our bucket.
    pub own: OwnBucket,
    /// Miners' endpoints.
    pub chutes: ChutesClient,
    /// The checked miners.
    pub miners: watch::Receiver<Arc<MinerTable>>,
    /// The allowlists.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// The scorer and the judge.
    pub judging: Judging,
    /// Verified verdict files.
    pub library: Library,
    /// Our part in the exchange of verdict files.
    pub agreement: Exchange,
    /// The database.
    pub state: State,
    /// Folder for the files of tasks that are not published yet.
    pub spool: std::path::PathBuf,
    /// Metrics.
    pub metrics: Metrics,
}

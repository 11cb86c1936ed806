//! What a sampler works with.

use std::sync::Arc;

use leoma_chain::ChainClient;
use leoma_protocol::{ConsensusSchedule, HotkeySigner};
use leoma_rotation::AllowlistHistory;
use tokio::sync::{Notify, watch};

use crate::alarms::Alarms;
use crate::metrics::Metrics;
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
    pub consensus: Arc<ConsensusSchedule>,
    /// The allowlists.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// Verified verdict files.
    pub library: Library,
    /// Our part in the exchange of verdict files.
    pub agreement: Exchange,
    /// The database.
    pub state: State,
    /// Folder for the files of tasks that are not published yet.
    pub spool: std::path::PathBuf,
    /// Tells the publisher of each file that was signed.
    pub signed: Arc<Notify>,
    /// What `/readyz` shows.
    pub alarms: Alarms,
    /// Metrics.
    pub metrics: Metrics,
}

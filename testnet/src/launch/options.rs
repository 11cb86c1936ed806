//! What a subnet is started with.

use std::path::PathBuf;

use leoma_scoring::{JudgeChoice, TaskType};

use super::weights::WeightMode;
use super::{LaunchError, Result};

/// Most validators and miners: beyond it a run shows only how slow the machine is.
const MAX_NEURONS: usize = 64;

/// What a subnet is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of validators.
    pub validators: usize,
    /// Number of miners.
    pub miners: usize,
    /// Milliseconds of a block.
    pub block_time: u64,
    /// Blocks per task.
    pub interval: u64,
    /// How validators set weights.
    pub weights: WeightMode,
    /// The seed of keys, clips and roles.
    pub seed: String,
    /// A folder of source clips to use instead of made ones.
    pub corpus: Option<PathBuf>,
    /// Folder for everything; without it a temporary one.
    pub folder: Option<PathBuf>,
    /// Whether a temporary folder is kept.
    pub keep: bool,
    /// Where validators score: `auto`, `cuda` or `cpu`.
    pub device: String,
    /// What miners are given.
    pub task: TaskType,
    /// Who judges.
    pub judge: JudgeChoice,
    /// Whether each validator runs in a network namespace of its own, so that the network between
    /// them can be hurt. Needs root; see [`crate::netns`].
    pub namespaces: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validators: 4,
            miners: 6,
            block_time: 500,
            interval: 40,
            weights: WeightMode::Plain,
            seed: "1".into(),
            corpus: None,
            folder: None,
            keep: false,
            device: "auto".into(),
            task: TaskType::Ti2v,
            judge: JudgeChoice::Both,
            namespaces: false,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<()> {
        if self.validators == 0 || self.miners == 0 {
            return Err(LaunchError::Options(
                "a subnet needs at least one validator and one miner",
            ));
        }
        if self.validators > MAX_NEURONS || self.miners > MAX_NEURONS {
            return Err(LaunchError::Options(
                "at most 64 validators and 64 miners run on one machine",
            ));
        }
        if self.interval == 0 || self.block_time == 0 {
            return Err(LaunchError::Options("interval and block time must be at least 1"));
        }
        Ok(())
    }
}

//! What a subnet is started with.

use std::path::PathBuf;
use std::time::Duration;

use leoma_protocol::{ConsensusParams, TaskId};
use leoma_scoring::{JudgeChoice, TaskType};

use super::mechanism::Mechanism;
use super::weights::WeightMode;
use super::{LaunchError, Result};
use crate::axons::Dancer;
use crate::forecasters::Forecaster;
use crate::market::STEP_S;

/// Most validators and miners: beyond it a run shows only how slow the machine is.
const MAX_NEURONS: usize = 64;

/// Motion miners that are compared: the first three kinds.
const LEAST_DANCERS: usize = 3;

/// With slower blocks, miners would not have their 12 s before a file of forecasts has to be signed,
/// milliseconds.
const SLOWEST_ORACLE_BLOCK: u64 = 2000;

/// The least time in which a validator reads the chain, writes its witness and has it final.
const LEAST_WITNESS_MS: u64 = 2_000;

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
    /// Seconds from one price of a forecast to the next, in whole steps of the market.
    pub forecast_step: u32,
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
    /// What the validators serve; the first is the one that can be hurt. Each further one is served
    /// by a further process of every validator.
    pub mechanisms: Vec<Mechanism>,
    /// Whether each validator runs in a network namespace of its own, so that the network between
    /// them can be hurt. Needs root; see [`crate::netns`].
    pub namespaces: bool,
    /// Whether each validator reads the chain through an endpoint of its own that can be hurt.
    pub own_endpoints: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validators: 4,
            miners: 6,
            block_time: 500,
            interval: 40,
            forecast_step: STEP_S,
            weights: WeightMode::Plain,
            seed: "1".into(),
            corpus: None,
            folder: None,
            keep: false,
            device: "auto".into(),
            task: TaskType::Ti2v,
            judge: JudgeChoice::Local,
            mechanisms: vec![Mechanism::Video],
            namespaces: false,
            own_endpoints: false,
        }
    }
}

impl Options {
    /// The time from a task's start in which peers attest to its file.
    pub(super) fn attested(&self) -> Duration {
        let blocks = ConsensusParams::default().attestation_deadline(self.interval, TaskId(0));
        Duration::from_millis(self.block_time.saturating_mul(blocks.0))
    }

    /// Who judges for a mechanism. The local judge writes no prompts.
    pub(super) fn judge_of(&self, mechanism: Mechanism) -> JudgeChoice {
        let task = if mechanism == Mechanism::T2v { TaskType::T2v } else { self.task };
        match self.judge {
            JudgeChoice::Local if task == TaskType::T2v => JudgeChoice::Both,
            judge => judge,
        }
    }

    /// The blocks after a task's start in which a file of forecasts has to be signed: fewer than until
    /// the first price is known.
    pub(super) fn forecast_blocks(&self) -> u64 {
        (u64::from(self.forecast_step) * 1000 / self.block_time.max(1)).saturating_sub(1)
    }

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
        let mut mechanisms = self.mechanisms.clone();
        mechanisms.sort_unstable();
        mechanisms.dedup();
        if mechanisms.is_empty() || mechanisms.len() != self.mechanisms.len() {
            return Err(LaunchError::Options("name at least one mechanism, and each once"));
        }
        if mechanisms.contains(&Mechanism::Oracle) {
            if mechanisms.len() > 1 || self.namespaces {
                return Err(LaunchError::Options(
                    "the oracle is for a subnet of its own, whose axons answer on this machine",
                ));
            }
            if !(2..=Forecaster::ALL.len()).contains(&self.miners) {
                return Err(LaunchError::Options(
                    "the oracle has 2 to 10 miners, one of each kind",
                ));
            }
            if self.forecast_step == 0 || !self.forecast_step.is_multiple_of(STEP_S) {
                return Err(LaunchError::Options(
                    "forecasts are a multiple of 20 s apart, as the market has prices",
                ));
            }
            if self.block_time > SLOWEST_ORACLE_BLOCK {
                return Err(LaunchError::Options(
                    "blocks are too slow for forecasts 20 s apart (at most 2000 ms)",
                ));
            }
        }
        if mechanisms.contains(&Mechanism::Motion) {
            if mechanisms.len() > 1 || self.namespaces {
                return Err(LaunchError::Options(
                    "motion is for a subnet of its own, whose axons answer on this machine",
                ));
            }
            if !(LEAST_DANCERS..=Dancer::ALL.len()).contains(&self.miners) {
                return Err(LaunchError::Options(
                    "motion has 3 to 9 miners: three to compare, and six kinds that earn little or nothing",
                ));
            }
        }
        if mechanisms.len() > 1 && self.namespaces {
            return Err(LaunchError::Options(
                "a network namespace has one validator's ports: serve one mechanism there",
            ));
        }
        if self.interval == 0 || self.block_time == 0 {
            return Err(LaunchError::Options("interval and block time must be at least 1"));
        }
        // What the rule leaves of an interval for sampling, certifying and witnessing.
        let witness = ConsensusParams::default().witness_blocks(self.interval);
        if self.interval < 2 * witness {
            return Err(LaunchError::Options(
                "the interval is too short: a task would be closed for attestations before its time is over (at least 16 blocks)",
            ));
        }
        if witness.saturating_mul(self.block_time) < LEAST_WITNESS_MS {
            return Err(LaunchError::Options(
                "blocks come too fast: no witness would be final in the 8 blocks that it has (at least 250 ms)",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_whose_tasks_or_witnesses_would_never_be_in_time_is_refused() {
        let check = |interval, block_time| {
            Options { interval, block_time, ..Options::default() }.check().is_ok()
        };
        assert!(Options::default().check().is_ok() && check(16, 250));
        assert!(!check(15, 500) && !check(40, 249));
    }

    #[test]
    fn prompts_that_describe_the_clip_are_gemini_s() {
        let options = |judge, task| Options { judge, task, ..Options::default() };
        let (local, gemini) = (JudgeChoice::Local, JudgeChoice::Gemini);
        let judge_of =
            |options: &Options| [Mechanism::Video, Mechanism::T2v].map(|m| options.judge_of(m));
        assert_eq!(judge_of(&options(local, TaskType::Ti2v)), [local, JudgeChoice::Both]);
        assert_eq!(judge_of(&options(local, TaskType::T2v)), [JudgeChoice::Both; 2]);
        assert_eq!(judge_of(&options(gemini, TaskType::T2v)), [gemini; 2]);
    }

    #[test]
    fn the_oracle_is_served_alone_and_its_files_are_signed_before_the_first_price() {
        let options = |miners, block_time| Options {
            mechanisms: vec![Mechanism::Oracle],
            miners,
            block_time,
            ..Options::default()
        };
        let step = |forecast_step| Options { forecast_step, ..options(10, 500) };
        assert!(step(60).check().is_ok() && step(60).forecast_blocks() == 119);
        assert!(step(0).check().is_err() && step(30).check().is_err());
        assert!(options(10, 500).check().is_ok() && options(2, 2000).check().is_ok());
        assert!(options(1, 500).check().is_err() && options(11, 500).check().is_err());
        assert!(options(8, 2001).check().is_err());
        assert_eq!([500, 2000].map(|time| options(8, time).forecast_blocks()), [39, 9]);
    }

    #[test]
    fn motion_is_served_alone_and_has_a_cast_of_nine() {
        let check = |mechanisms: &[Mechanism], miners| {
            let mechanisms = mechanisms.to_vec();
            Options { mechanisms, miners, ..Options::default() }.check().is_ok()
        };
        assert!(check(&[Mechanism::Motion], 3) && check(&[Mechanism::Motion], 9));
        assert!(!check(&[Mechanism::Motion], 2) && !check(&[Mechanism::Motion], 10));
        assert!(!check(&[Mechanism::Video, Mechanism::Motion], 6));
    }
}

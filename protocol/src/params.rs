//! The numbers that every validator must share. Every hello and every verdict file carries their
//! digest.

use serde::{Deserialize, Serialize};

use crate::python_json::Value;
use crate::{BlockNumber, Digest, TaskId};

/// An exact fraction, never a float: 3/20 against 2/20 + 1/20 must be a tie on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fraction {
    /// The numerator.
    pub numerator: u32,
    /// The denominator; never zero.
    pub denominator: u32,
}

impl Fraction {
    /// `numerator / denominator`; `None` for a zero denominator.
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if denominator == 0 { None } else { Some(Self { numerator, denominator }) }
    }
}

/// The consensus constants of a subnet. Production uses [`ConsensusParams::default`]. No
/// environment variable changes them, because validators that differ in one would disagree about
/// the winner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusParams {
    /// The number of newest tasks that decide the winner.
    pub window_tasks: u32,
    /// The number of newest task numbers that do not count yet, because their files are still being
    /// written or fetched.
    pub settle_margin: u64,
    /// Share of the interval, rounded down, that must pass between a file's signature and an epoch
    /// that counts it, so that every validator has the file by then.
    pub spread: Fraction,
    /// Blocks before the epoch block within which a task must end.
    pub lookback_blocks: u64,
    /// Share of the window's tasks on which a miner must have been evaluated.
    pub completeness: Fraction,
    /// Share of the active validators, rounded up and at least one, that must have evaluated a
    /// miner.
    pub distinct_validators: Fraction,
    /// By how much a later miner must beat every earlier one.
    pub dominance: Fraction,
    /// Blocks between two settings of weights.
    pub epoch_blocks: u64,
    /// Blocks that a producer has before the next one may step in; `None` means half of the
    /// interval, at least one block.
    pub failover_grace: Option<u64>,
    /// Whether verdict files without an envelope, as the Python implementation writes them, count.
    pub accept_v1: bool,
}

impl Default for ConsensusParams {
    fn default() -> Self {
        Self {
            window_tasks: 100,
            settle_margin: 2,
            spread: Fraction { numerator: 1, denominator: 8 },
            lookback_blocks: 30_000,
            completeness: Fraction { numerator: 4, denominator: 5 },
            distinct_validators: Fraction { numerator: 1, denominator: 2 },
            dominance: Fraction { numerator: 1, denominator: 20 },
            epoch_blocks: 180,
            failover_grace: None,
            accept_v1: false,
        }
    }
}

impl ConsensusParams {
    /// SHA-256 over a domain and the canonical JSON of all fields.
    pub fn digest(&self) -> Digest {
        let fraction = |f: Fraction| {
            Value::Array(vec![u64::from(f.numerator).into(), u64::from(f.denominator).into()])
        };
        let value = Value::object([
            ("window_tasks", u64::from(self.window_tasks).into()),
            ("settle_margin", self.settle_margin.into()),
            ("spread", fraction(self.spread)),
            ("lookback_blocks", self.lookback_blocks.into()),
            ("completeness", fraction(self.completeness)),
            ("distinct_validators", fraction(self.distinct_validators)),
            ("dominance", fraction(self.dominance)),
            ("epoch_blocks", self.epoch_blocks.into()),
            ("failover_grace", self.failover_grace.map_or(Value::Null, Value::from)),
            ("accept_v1", self.accept_v1.into()),
        ]);
        Digest::of_parts(&[b"leoma:consensus-params:1\0", value.to_string().as_bytes()])
    }

    /// The first block of the epoch of `block`: the largest multiple of the epoch length up to it.
    pub fn epoch_block(&self, block: BlockNumber) -> BlockNumber {
        let length = self.epoch_blocks.max(1);
        BlockNumber(block.0 / length * length)
    }
}

/// The network that a message belongs to. Nothing signed for one network is valid on another.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    crate::codec::Encode,
    crate::codec::Decode,
)]
pub struct Network {
    /// The chain's genesis block hash.
    pub genesis: Digest,
    /// The subnet.
    pub netuid: crate::Netuid,
}

/// Names a verdict file: the task and its producer.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    crate::codec::Encode,
    crate::codec::Decode,
)]
pub struct FileId {
    /// The task.
    pub task_id: TaskId,
    /// The validator that produced the file.
    pub producer: crate::Hotkey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_moves_the_digest() {
        let base = ConsensusParams::default();
        let changed = [
            ConsensusParams { window_tasks: 99, ..base.clone() },
            ConsensusParams { settle_margin: 3, ..base.clone() },
            ConsensusParams { spread: Fraction { numerator: 1, denominator: 4 }, ..base.clone() },
            ConsensusParams { lookback_blocks: 1, ..base.clone() },
            ConsensusParams {
                completeness: Fraction { numerator: 8, denominator: 10 },
                ..base.clone()
            },
            ConsensusParams {
                distinct_validators: Fraction { numerator: 1, denominator: 3 },
                ..base.clone()
            },
            ConsensusParams {
                dominance: Fraction { numerator: 1, denominator: 10 },
                ..base.clone()
            },
            ConsensusParams { epoch_blocks: 360, ..base.clone() },
            ConsensusParams { failover_grace: Some(50), ..base.clone() },
            ConsensusParams { accept_v1: true, ..base.clone() },
        ];
        let mut digests: Vec<_> = changed.iter().map(ConsensusParams::digest).collect();
        digests.push(base.digest());
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), changed.len() + 1);
    }

    #[test]
    fn the_epoch_block_is_the_boundary_at_or_before() {
        let params = ConsensusParams::default();
        for (block, boundary) in [(0, 0), (179, 0), (180, 180), (181, 180), (540, 540)] {
            assert_eq!(params.epoch_block(BlockNumber(block)), BlockNumber(boundary));
        }
    }
}

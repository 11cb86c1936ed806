//! What a record says, its identity, and the consensus constants that it sets.

use leoma_protocol::python_json::Value;
use leoma_protocol::verdict::Name;
use leoma_protocol::{ConsensusParams, Digest, Fraction};
use num_traits::One;
use serde::Deserialize;

use super::fractions::{exact, fraction, fraction_value};
use super::pool::{Fold, Pool, WeightRule};

/// How the files of one mechanism's window become weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// What makes tasks and judges answers.
    pub mechanism: Name,
    /// The mechanism's number on the subnet.
    pub mecid: u8,
    /// Which tasks count.
    pub window: WindowRules,
    /// Which miners count.
    pub gates: GateRules,
    /// One to [`MAX_POOLS`](leoma_protocol::verdict::MAX_POOLS), in the record's order, each name
    /// once.
    pub pools: Vec<Pool>,
}

/// Which tasks count at an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRules {
    /// The number of newest tasks.
    pub tasks: u32,
    /// Newest task numbers that do not count yet. A validator serves a record only with two of them
    /// or more: files are attested until two witness spans before their task settles, and with less
    /// that is before the task ends.
    pub settle_margin: u64,
    /// Blocks before the epoch block within which a task must end; zero for no limit. A record
    /// without a limit can be replayed, but no validator serves it: the mesh forgets what lies
    /// before the lookback, and without one that is every task but the current.
    pub lookback_blocks: u64,
    /// Blocks between two settings of weights.
    pub epoch_blocks: u64,
}

/// Which miners count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRules {
    /// Share of the window's tasks on which a miner must have been evaluated.
    #[serde(deserialize_with = "fraction")]
    pub completeness: Fraction,
    /// Share of the active validators that must have evaluated it.
    #[serde(deserialize_with = "fraction")]
    pub min_validators: Fraction,
}

impl PolicyRecord {
    /// The record's identity: equal for two texts exactly if they state the same, whatever their
    /// comments and spacing. Fractions count as they are written: 1/2 is not 2/4.
    pub fn digest(&self) -> Digest {
        let text = self.to_value().to_string();
        Digest::of_parts(&[b"leoma:policy:1\0", text.as_bytes()])
    }

    /// The consensus constants of the validators that serve the record: those that it sets, its
    /// digest, and the offset of its mechanism's epochs. Validators with different records refuse
    /// each other's hellos and files by the digest of these.
    pub fn consensus(&self) -> ConsensusParams {
        let epoch_offset = ConsensusParams::epoch_offset_of(self.mecid, self.window.epoch_blocks);
        ConsensusParams { policy: Some(self.digest()), epoch_offset, ..self.params() }
    }

    /// Whether the record pays as video does, so that its constants alone say everything: one pool
    /// of pass rates, whose winner takes all.
    pub fn pays_one_winner_by_pass_rate(&self) -> bool {
        let [pool] = &self.pools[..] else { return false };
        let is_whole = exact(pool.share).is_one();
        let one_winner = matches!(pool.weights, WeightRule::WinnerTakeAll { .. });
        is_whole && pool.fold == Fold::PassRate && one_winner
    }

    /// The consensus constants that the record sets; all others have their default.
    pub fn params(&self) -> ConsensusParams {
        let default = ConsensusParams::default();
        let dominance = self.pools.iter().find_map(|pool| match pool.weights {
            WeightRule::WinnerTakeAll { dominance } => Some(dominance),
            WeightRule::Proportional | WeightRule::MinMax => None,
        });
        ConsensusParams {
            window_tasks: self.window.tasks,
            settle_margin: self.window.settle_margin,
            lookback_blocks: self.window.lookback_blocks,
            epoch_blocks: self.window.epoch_blocks,
            completeness: self.gates.completeness,
            distinct_validators: self.gates.min_validators,
            dominance: dominance.unwrap_or(default.dominance),
            ..default
        }
    }

    /// The pools of producers' own readings: a producer's own entry that has only these is not a
    /// verdict on a miner.
    pub fn truths(&self) -> Vec<Name> {
        self.pools.iter().filter_map(|pool| pool.fold.truth()).collect()
    }

    fn to_value(&self) -> Value {
        let WindowRules { tasks, settle_margin, lookback_blocks, epoch_blocks } = self.window;
        Value::object([
            ("mechanism", self.mechanism.as_str().into()),
            ("mecid", u64::from(self.mecid).into()),
            (
                "window",
                Value::object([
                    ("tasks", u64::from(tasks).into()),
                    ("settle_margin", settle_margin.into()),
                    ("lookback_blocks", lookback_blocks.into()),
                    ("epoch_blocks", epoch_blocks.into()),
                ]),
            ),
            (
                "gates",
                Value::object([
                    ("completeness", fraction_value(self.gates.completeness)),
                    ("min_validators", fraction_value(self.gates.min_validators)),
                ]),
            ),
            ("pools", Value::Array(self.pools.iter().map(Pool::to_value).collect())),
        ])
    }
}

//! A record's pools: how observations become one score a miner, and scores become weights.

use std::collections::BTreeMap;

use leoma_protocol::python_json::Value;
use leoma_protocol::verdict::Name;
use leoma_protocol::{Fraction, Nano};
use serde::Deserialize;

use super::fractions::{SignedFraction, fraction, fraction_value};

/// One kind of observation, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name in the observations.
    pub name: Name,
    /// Its share of the whole. If the pool pays nobody, its share is burned.
    #[serde(deserialize_with = "fraction")]
    pub share: Fraction,
    /// What a value that is missing counts as, in the folds that say so.
    #[serde(default)]
    pub missing: Nano,
    /// How one validator's observations of a miner become one score.
    pub fold: Fold,
    /// How the miners' scores become weights.
    pub weights: WeightRule,
}

/// How one validator's observations of one miner become one score. Values come by task ascending,
/// and in the order of the observation within a task. All divisions round down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fold {
    /// Passed verdicts by all verdicts, as an exact fraction. It reads no observations.
    PassRate,
    /// `s ← s + (x - s) · alpha`, from `init` on. It starts again at the window's start, so what an
    /// endless average would remember is `(1 - alpha)^values`.
    Ema {
        /// The weight of the newest value.
        #[serde(deserialize_with = "fraction")]
        alpha: Fraction,
        /// What it begins with.
        init: Nano,
    },
    /// The mean of the newest values without those that are missing, times a factor for coverage.
    WindowMean {
        /// How many values it looks at.
        last: u16,
        /// The factor; one without it.
        #[serde(default)]
        coverage: Option<Coverage>,
    },
    /// The sum of the values of the newest tasks.
    Sum {
        /// A task counts if it begins less than this many blocks before the epoch block.
        blocks: u64,
    },
    /// How many values of the newest tasks are good enough, times the moving average of all.
    CountTimesEma {
        /// As in [`Fold::Sum`], for the number.
        blocks: u64,
        /// As in [`Fold::Ema`].
        #[serde(deserialize_with = "fraction")]
        alpha: Fraction,
        /// As in [`Fold::Ema`].
        init: Nano,
        /// The least value that is good enough.
        accept: Nano,
    },
    /// The newest value that is not missing, plus a rate for each counted event of the window; no
    /// less than zero.
    Latest {
        /// The worth of one event, by the name of its count.
        #[serde(default)]
        bonus: BTreeMap<Name, SignedFraction>,
    },
    /// Forecasts, ranked once the truth is known. Each task's miners are ranked for each moment that
    /// they forecast; the order of their mean ranks gives each a value, and the values of a
    /// validator's tasks are averaged as by [`Fold::Ema`] from zero on.
    RankCells {
        /// The pool of the producers' own readings. It has no weight.
        truth: Name,
        /// Seconds from one forecast moment to the next.
        step_s: u32,
        /// A file counts if it was signed at most this many blocks after its task's start.
        deadline_blocks: u64,
        /// Forecasts for each task.
        cells: u8,
        /// The miner in place `k`, from zero on, gets `e^-(k · rate)`.
        #[serde(deserialize_with = "fraction")]
        rate: Fraction,
        /// How many places get anything.
        last: u16,
        /// The weight of the newest task.
        #[serde(deserialize_with = "fraction")]
        alpha: Fraction,
    },
}

/// A factor for answers that are missing: `1 / (1 + e^-((share - mid) / width))`, where `share` is
/// the share of values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// The share at which the factor is one half.
    #[serde(deserialize_with = "fraction")]
    pub mid: Fraction,
    /// How gently it rises there.
    #[serde(deserialize_with = "fraction")]
    pub width: Fraction,
}

/// How the scores of a pool's eligible miners become weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WeightRule {
    /// All to the last miner, by commit block, whose score is at least every earlier one's plus
    /// `dominance`.
    WinnerTakeAll {
        /// The margin, in the scores' unit.
        #[serde(deserialize_with = "fraction")]
        dominance: Fraction,
    },
    /// To each by its score; a score below zero counts as zero.
    Proportional,
    /// To each by how far its score is above the lowest; with equal scores as `Proportional`.
    MinMax,
}

impl Pool {
    pub(super) fn to_value(&self) -> Value {
        Value::object([
            ("name", self.name.as_str().into()),
            ("share", fraction_value(self.share)),
            ("missing", self.missing.0.into()),
            ("fold", self.fold.to_value()),
            ("weights", self.weights.to_value()),
        ])
    }
}

impl Fold {
    /// The pool of readings that it needs besides its own.
    pub(crate) fn truth(&self) -> Option<Name> {
        match self {
            Self::RankCells { truth, .. } => Some(*truth),
            _ => None,
        }
    }

    fn to_value(&self) -> Value {
        let object = |name: &str, members: Vec<(&str, Value)>| {
            Value::object([(name, Value::object(members))])
        };
        match self {
            Self::PassRate => "pass_rate".into(),
            Self::Ema { alpha, init } => {
                object("ema", vec![("alpha", fraction_value(*alpha)), ("init", init.0.into())])
            }
            Self::WindowMean { last, coverage } => {
                let coverage = coverage.map_or(Value::Null, |Coverage { mid, width }| {
                    Value::object([("mid", fraction_value(mid)), ("width", fraction_value(width))])
                });
                let members = vec![("last", u64::from(*last).into()), ("coverage", coverage)];
                object("window_mean", members)
            }
            Self::Sum { blocks } => object("sum", vec![("blocks", (*blocks).into())]),
            Self::CountTimesEma { blocks, alpha, init, accept } => object(
                "count_times_ema",
                vec![
                    ("blocks", (*blocks).into()),
                    ("alpha", fraction_value(*alpha)),
                    ("init", init.0.into()),
                    ("accept", accept.0.into()),
                ],
            ),
            Self::Latest { bonus } => {
                let bonus = bonus.iter().map(|(name, rate)| (name.as_str(), rate.to_value()));
                object("latest", vec![("bonus", Value::object(bonus))])
            }
            Self::RankCells { truth, step_s, deadline_blocks, cells, rate, last, alpha } => object(
                "rank_cells",
                vec![
                    ("truth", truth.as_str().into()),
                    ("step_s", u64::from(*step_s).into()),
                    ("deadline_blocks", (*deadline_blocks).into()),
                    ("cells", u64::from(*cells).into()),
                    ("rate", fraction_value(*rate)),
                    ("last", u64::from(*last).into()),
                    ("alpha", fraction_value(*alpha)),
                ],
            ),
        }
    }
}

impl WeightRule {
    fn to_value(self) -> Value {
        match self {
            Self::Proportional => "proportional".into(),
            Self::MinMax => "min_max".into(),
            Self::WinnerTakeAll { dominance } => Value::object([(
                "winner_take_all",
                Value::object([("dominance", fraction_value(dominance))]),
            )]),
        }
    }
}

//! The policy record: how the files of a window become weights, as data.
//!
//! A record is a TOML file that everybody can read and replay with `leoma simulate`. It names pools;
//! each pool folds its own observations to one score a miner, turns the scores into weights, and
//! has a share of the whole. Shares that no pool claims are burned.
//!
//! ```
//! use leoma_rotation::PolicyRecord;
//!
//! let record = PolicyRecord::parse(r#"
//!     schema = "leoma.policy/1"
//!     mechanism = "motion"
//!     mecid = 0
//!     window = { tasks = 100, settle_margin = 2, lookback_blocks = 30000, epoch_blocks = 180 }
//!     gates = { completeness = "4/5", min_validators = "1/2" }
//!     [[pool]]
//!     name = "motion"
//!     share = "1/1"
//!     missing = 0
//!     fold = { ema = { alpha = "1/10", init = 0 } }
//!     weights = "proportional"
//! "#).unwrap();
//! assert_eq!(record.pools[0].name.as_str(), "motion");
//! ```
//!
//! | subject | where |
//! |---|---|
//! | what a record says, its digest, the constants that it sets | `rules.rs` |
//! | its pools: folds and weights | `pool.rs` |
//! | its fractions | `fractions.rs` |
//! | reading a text, and what is refused | `parse.rs` |

mod fractions;
mod parse;
mod pool;
mod rules;
#[cfg(test)]
mod tests;

pub use fractions::SignedFraction;
pub(crate) use fractions::exact;
pub use parse::{MAX_POLICY_BYTES, PolicyError};
pub use pool::{Coverage, Fold, Pool, WeightRule};
pub use rules::{GateRules, PolicyRecord, WindowRules};

/// Video's rule as a record: what [`fn@crate::epoch`] does without one.
pub const VIDEO: &str = include_str!("../../policies/video.toml");
/// Video from a prompt alone, mechanism 1 of its subnet.
pub const T2V: &str = include_str!("../../policies/t2v.toml");
/// Motion from audio: moving averages, paid in proportion.
pub const MOTION: &str = include_str!("../../policies/motion.toml");
/// Forecasts of a price, ranked once it is known.
pub const ORACLE: &str = include_str!("../../policies/oracle.toml");
/// Video from a first frame alone, mechanism 2 of its subnet.
pub const I2V: &str = include_str!("../../policies/i2v.toml");

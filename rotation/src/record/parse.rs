//! Reading a record's text, and what is refused.

use leoma_protocol::Netuid;
use leoma_protocol::verdict::{MAX_COUNTS, MAX_POOLS, Name};
use num_rational::BigRational;
use num_traits::One;
use serde::Deserialize;

use super::fractions::{at_most_one, exact};
use super::pool::{Fold, Pool};
use super::rules::{GateRules, PolicyRecord, WindowRules};

/// The format of a record. A reader refuses one that it does not know.
const SCHEMA: &str = "leoma.policy/1";
/// Largest record that is read.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;
/// Most tasks of a window, and most miners or values that one rule looks at.
const MAX_TASKS: u32 = 1000;

/// A text that is not a policy record.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Longer than any record.
    #[error("the record has {0} bytes, more than {MAX_POLICY_BYTES}")]
    TooLarge(usize),
    /// Not TOML, or a key is missing, unknown or of another type.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A value is out of its bounds.
    #[error("{at}: {reason}")]
    Bound {
        /// Where: a key, with its pool.
        at: String,
        /// What must hold.
        reason: &'static str,
    },
}

/// What a record's text holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    mechanism: Name,
    mecid: u8,
    window: WindowRules,
    gates: GateRules,
    pool: Vec<Pool>,
}

impl PolicyRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`PolicyError`] for a malformed text, with its place; also for an unknown key, because a
    /// validator that ignores one sets other weights than those that know it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge(text.len()));
        }
        let document: Document = toml::from_str(text)?;
        bound(document.schema == SCHEMA, "schema", "must be leoma.policy/1")?;
        let Document { mechanism, mecid, window, gates, pool: pools, .. } = document;
        let record = Self { mechanism, mecid, window, gates, pools };
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), PolicyError> {
        let Self { mecid, window, gates, pools, .. } = self;
        bound(*mecid < Netuid::MECHANISMS, "mecid", "must be below 16")?;
        bound((1..=MAX_TASKS).contains(&window.tasks), "window.tasks", "must be 1 to 1000")?;
        bound(window.epoch_blocks > 0, "window.epoch_blocks", "must be above zero")?;
        bound(at_most_one(gates.completeness), "gates.completeness", "must be at most 1")?;
        bound(at_most_one(gates.min_validators), "gates.min_validators", "must be at most 1")?;
        bound((1..=MAX_POOLS).contains(&pools.len()), "pool", "must be 1 to 16 pools")?;
        for (index, pool) in pools.iter().enumerate() {
            let at = |key: &str| format!("pool {}: {key}", pool.name);
            let is_new = pools[..index].iter().all(|other| other.name != pool.name);
            bound(is_new, at("name"), "must occur only once")?;
            pool.fold.check(&at("fold"))?;
            let truth = pool.fold.truth();
            let has_no_weight = truth.is_none_or(|truth| pools.iter().all(|p| p.name != truth));
            bound(has_no_weight, at("fold.truth"), "must not be a pool with weight")?;
        }
        let claimed: BigRational = pools.iter().map(|pool| exact(pool.share)).sum();
        bound(claimed <= BigRational::one(), "pool.share", "must not sum to more than 1")
    }
}

impl Fold {
    fn check(&self, at: &str) -> Result<(), PolicyError> {
        let alpha = match self {
            Self::Ema { alpha, .. }
            | Self::CountTimesEma { alpha, .. }
            | Self::RankCells { alpha, .. } => Some(alpha),
            _ => None,
        };
        let is_weight = alpha.is_none_or(|alpha| alpha.numerator > 0 && at_most_one(*alpha));
        bound(is_weight, format!("{at}.alpha"), "must be above 0 and at most 1")?;
        let (last, cells) = match self {
            Self::WindowMean { last, .. } => (*last, 1),
            Self::RankCells { last, cells, .. } => (*last, *cells),
            _ => (1, 1),
        };
        let has_last = (1..=MAX_TASKS).contains(&last.into());
        bound(has_last, format!("{at}.last"), "must be 1 to 1000")?;
        bound((1..=64).contains(&cells), format!("{at}.cells"), "must be 1 to 64")?;
        match self {
            Self::WindowMean { coverage: Some(coverage), .. } => {
                bound(coverage.width.numerator > 0, format!("{at}.width"), "must be above zero")
            }
            Self::Latest { bonus } => {
                bound(bonus.len() <= MAX_COUNTS, format!("{at}.bonus"), "must be at most 8")
            }
            Self::RankCells { step_s, .. } => {
                bound(*step_s > 0, format!("{at}.step_s"), "must be above zero")
            }
            _ => Ok(()),
        }
    }
}

fn bound(holds: bool, at: impl Into<String>, reason: &'static str) -> Result<(), PolicyError> {
    if holds { Ok(()) } else { Err(PolicyError::Bound { at: at.into(), reason }) }
}

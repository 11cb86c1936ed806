//! Scores of miners as exact numbers.

use std::fmt;

use leoma_protocol::Nano;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::Rate;

/// What a pool's fold says about one miner, exact. It may be below zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub(crate) BigRational);

impl Score {
    pub(crate) fn from_parts(parts: i128) -> Self {
        Self(BigRational::new(BigInt::from(parts), BigInt::from(Nano::PARTS)))
    }

    /// The nearest float, for people and for JSON. Never compare these.
    pub fn to_f64(&self) -> f64 {
        self.0.to_f64().unwrap_or(0.0)
    }
}

impl From<&Rate> for Score {
    fn from(rate: &Rate) -> Self {
        Self(rate.to_big())
    }
}

/// As `numerator/denominator`, in lowest terms.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.numer(), self.0.denom())
    }
}

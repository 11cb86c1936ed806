//! A record's fractions: how they are written, and as exact numbers.

use leoma_protocol::Fraction;
use leoma_protocol::python_json::Value;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;
use serde::{Deserialize, Deserializer};

/// Largest denominator of a fraction: small enough that products of three fit 128 bits.
const MAX_DENOMINATOR: u32 = 1_000_000;

/// A fraction that may be below zero, written as `"-8/10000"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFraction {
    /// The numerator.
    pub numerator: i32,
    /// The denominator; never zero.
    pub denominator: u32,
}

impl SignedFraction {
    pub(super) fn to_value(self) -> Value {
        let (numerator, denominator) = (i64::from(self.numerator), u64::from(self.denominator));
        Value::Array(vec![numerator.into(), denominator.into()])
    }
}

pub(super) fn fraction_value(fraction: Fraction) -> Value {
    let parts = [fraction.numerator, fraction.denominator];
    Value::Array(parts.map(|part| u64::from(part).into()).into())
}

/// A fraction as an exact number.
pub(crate) fn exact(fraction: Fraction) -> BigRational {
    let denominator = BigInt::from(fraction.denominator);
    if denominator.is_zero() {
        return BigRational::zero();
    }
    BigRational::new(fraction.numerator.into(), denominator)
}

pub(super) fn at_most_one(fraction: Fraction) -> bool {
    fraction.numerator <= fraction.denominator
}

/// Reads `"4/5"`.
pub(super) fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fraction, D::Error> {
    let SignedFraction { numerator, denominator } = SignedFraction::deserialize(deserializer)?;
    let numerator =
        u32::try_from(numerator).map_err(|_| serde::de::Error::custom("a fraction below zero"))?;
    Ok(Fraction { numerator, denominator })
}

impl<'de> Deserialize<'de> for SignedFraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (numerator, denominator) = text.split_once('/')?;
            // `parse` alone would take a plus sign, a second spelling of the same fraction.
            let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_plain =
                is_plain(numerator.strip_prefix('-').unwrap_or(numerator)) && is_plain(denominator);
            let (numerator, denominator) = (numerator.parse().ok()?, denominator.parse().ok()?);
            let in_range = (1..=MAX_DENOMINATOR).contains(&denominator);
            (is_plain && in_range).then_some(Self { numerator, denominator })
        };
        read().ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{}` is not a fraction such as 4/5 with a denominator of 1 to {MAX_DENOMINATOR}",
                text.chars().take(80).collect::<String>()
            ))
        })
    }
}

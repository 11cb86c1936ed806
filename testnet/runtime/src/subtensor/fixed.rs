//! 32.32 fixed-point numbers: the same epoch on every machine, bit by bit the same as on the live
//! chain.
//!
//! The live chain computes with `I32F32` of `substrate-fixed`, a fork of the crate `fixed` that is
//! on no registry. Of all it can do an epoch needs four operations. Sums and differences are those
//! of the raw integers, and saturate. A product is made in 128 bits and shifted down, which rounds
//! towards minus infinity. A quotient is made in 128 bits and rounds towards zero; by zero it is
//! zero. A number leaves as a whole one by rounding towards zero. The few places where the live
//! chain goes through `I64F64` (stake) or `I96F32` (emission) divide or multiply whole numbers and
//! cut the result to 32 bits, which one division or multiplication in 128 bits does at once.

use std::iter::Sum;
use std::ops::{Add, Mul, Sub};

const FRACTION_BITS: u32 = 32;

/// A number with 32 fractional bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fixed(i64);

impl Fixed {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const ONE: Self = Self(1 << FRACTION_BITS);

    /// `numerator / denominator`, zero where the denominator is.
    pub(super) fn ratio(numerator: u64, denominator: u64) -> Self {
        let scaled = u128::from(numerator) << FRACTION_BITS;
        Self(
            scaled
                .checked_div(u128::from(denominator))
                .map_or(0, |value| i64::try_from(value).unwrap_or(i64::MAX)),
        )
    }

    pub(super) fn parts(parts: u16) -> Self {
        Self::ratio(u64::from(parts), u64::from(u16::MAX))
    }

    pub(super) fn whole(number: u16) -> Self {
        Self(i64::from(number) << FRACTION_BITS)
    }

    /// Parts of 65535, rounded down and held within 0 and 65535.
    pub(super) fn to_parts(self) -> u16 {
        let scaled = i128::from(self.0.clamp(0, Self::ONE.0)) * i128::from(u16::MAX);
        (scaled >> FRACTION_BITS) as u16
    }

    /// Parts of `whole`, rounded down; negative counts as zero.
    pub(super) fn scaled_to(self, whole: u64) -> u64 {
        ((u128::from(self.0.max(0) as u64) * u128::from(whole)) >> FRACTION_BITS) as u64
    }

    /// Each value's share of the sum; all zero where the sum is.
    pub(super) fn shares(values: &[u64]) -> Vec<Self> {
        let sum: u128 = values.iter().copied().map(u128::from).sum();
        let share =
            |value: u64| (u128::from(value) << FRACTION_BITS).checked_div(sum).unwrap_or(0) as i64;
        values.iter().copied().map(|value| Self(share(value))).collect()
    }

    /// `self / divisor`, zero where the divisor is.
    pub(super) fn over(self, divisor: Self) -> Self {
        let scaled = i128::from(self.0) << FRACTION_BITS;
        let value = scaled.checked_div(i128::from(divisor.0)).unwrap_or(0);
        Self(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl Add for Fixed {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Fixed {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul for Fixed {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let product = (i128::from(self.0) * i128::from(other.0)) >> FRACTION_BITS;
        Self(i64::try_from(product).unwrap_or(i64::MAX))
    }
}

impl Sum for Fixed {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lose_at_most_one_on_the_way_there_and_back() {
        for parts in 0..=u16::MAX {
            // 1/65535 has no end in binary: what was cut off going in is missing coming out, but
            // for 0 and 1.
            let back = Fixed::parts(parts).to_parts();
            assert!(back == parts || back + 1 == parts, "{parts} became {back}");
        }
        assert_eq!([0, u16::MAX].map(|parts| Fixed::parts(parts).to_parts()), [0, u16::MAX]);
    }

    #[test]
    fn products_round_down_and_quotients_towards_zero() {
        let hair = Fixed(1);
        assert_eq!((Fixed::ONE - hair) * hair, Fixed::ZERO);
        assert_eq!((Fixed::ZERO - Fixed::ONE + hair) * hair, Fixed(-1));
        assert_eq!(Fixed::whole(2).over(Fixed::whole(3)), Fixed((2 << 32) / 3));
        assert_eq!((Fixed::ZERO - Fixed::whole(2)).over(Fixed::whole(3)), Fixed(-(2 << 32) / 3));
    }

    #[test]
    fn nothing_divided_by_nothing_is_nothing() {
        assert_eq!(Fixed::ONE.over(Fixed::ZERO), Fixed::ZERO);
        assert_eq!(Fixed::shares(&[0, 0]), [Fixed::ZERO; 2]);
        assert_eq!(Fixed::ratio(1, 0), Fixed::ZERO);
    }

    #[test]
    fn shares_of_the_largest_stakes_do_not_overflow() {
        let shares = Fixed::shares(&[u64::MAX, u64::MAX]);
        assert_eq!(shares, [Fixed(1 << 31); 2]);
    }
}

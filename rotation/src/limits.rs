//! From exact shares to weights of sixteen bits within the chain's limits.

use num_bigint::BigInt;
use num_integer::Integer as _;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};

/// The largest weight of a vector, and the limit that has no effect.
const LARGEST: u16 = u16::MAX;
/// Binary places that shares have as whole numbers, so that the cap can be lowered by little.
const PLACES: u32 = 64;

/// What the chain demands of a subnet's weight vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLimits {
    /// The largest part of a vector's sum, of 65535, that one weight may have; 65535 limits
    /// nothing.
    pub max_weight: u16,
    /// The least number of weights, or all neurons where there are fewer.
    pub min_weights: u16,
}

impl Default for ChainLimits {
    fn default() -> Self {
        Self { max_weight: LARGEST, min_weights: 1 }
    }
}

/// The shares as weights, the largest 65535, with as little cut off as `max_weight` demands.
/// `None` if no such weights exist, as for no shares. Shares are above zero.
pub(crate) fn capped(shares: &[&BigRational], max_weight: u16) -> Option<Vec<u16>> {
    let scale = shares.iter().fold(BigInt::one(), |scale, share| scale.lcm(share.denom()));
    let whole = |share: &&BigRational| (share.numer() * (&scale / share.denom())) << PLACES;
    let shares: Vec<BigInt> = shares.iter().map(whole).collect();
    let (least, most) = (shares.iter().min()?, shares.iter().max()?);
    if max_weight == LARGEST {
        return Some(scaled(&shares, most));
    }
    let limit = u64::from(max_weight);
    let within = |cap: &BigInt| Some(scaled(&shares, cap)).filter(|weights| passes(weights, limit));
    if let Some(weights) = within(most) {
        return Some(weights);
    }
    let mut cap = largest_cap(&shares, limit).max(least.clone());
    let mut step = BigInt::one();
    loop {
        if let Some(weights) = within(&cap) {
            return Some(weights);
        }
        if cap <= *least {
            return None;
        }
        // Rounding has lifted a weight above the limit; the cap falls by twice as much each time.
        cap = (&cap - (&cap >> 16u32) * &step).max(least.clone());
        step *= 2;
    }
}

/// The chain's own check, on what it is sent.
fn passes(weights: &[u16], limit: u64) -> bool {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    weights.iter().all(|weight| u64::from(*weight) * u64::from(LARGEST) <= sum * limit)
}

/// `min(share, cap)` for each share, scaled so that the largest is 65535; halves up, as the chain
/// scales what it is sent, so that what is read back is what was sent.
fn scaled(shares: &[BigInt], cap: &BigInt) -> Vec<u16> {
    let largest = shares.iter().max().map_or_else(BigInt::zero, |largest| largest.min(cap).clone());
    if largest.is_zero() {
        return vec![0; shares.len()];
    }
    let weight = |share: &BigInt| {
        let doubled: BigInt = share.min(&largest) * 2u32 * u32::from(LARGEST);
        let rounded: BigInt = (doubled + &largest) / (&largest * 2u32);
        rounded.to_u16().unwrap_or(LARGEST)
    };
    shares.iter().map(weight).collect()
}

/// The largest cap `c` with `c · 65535 ≤ limit · Σ min(share, c)`, zero if there is none. If it
/// cuts the `k` largest shares, the sum is that of the others and `k · c`.
fn largest_cap(shares: &[BigInt], limit: u64) -> BigInt {
    let mut descending = shares.to_vec();
    descending.sort_unstable_by(|a, b| b.cmp(a));
    let mut rest: BigInt = descending.iter().sum();
    for (index, share) in descending.iter().enumerate() {
        rest -= share;
        let cut = (index as u64 + 1) * limit;
        if cut >= u64::from(LARGEST) {
            // This many equal weights are within the limit, whatever the others are.
            return share.clone();
        }
        let cap: BigInt = &rest * limit / (u64::from(LARGEST) - cut);
        if descending.get(index + 1).is_none_or(|next| *next <= cap) {
            return cap;
        }
    }
    BigInt::zero()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weights(shares: &[u64], max_weight: u16) -> Option<Vec<u16>> {
        let sum: u64 = shares.iter().sum();
        let exact: Vec<BigRational> =
            shares.iter().map(|share| BigRational::new((*share).into(), sum.into())).collect();
        capped(&exact.iter().collect::<Vec<_>>(), max_weight)
    }

    #[test]
    fn shares_are_scaled_as_the_chain_scales_them() {
        assert_eq!(weights(&[3, 2, 1], LARGEST).unwrap(), [65535, 43690, 21845]);
        // What is below half a step is dropped by the caller.
        assert_eq!(weights(&[1_000_000_000, 7630, 7629], LARGEST).unwrap(), [65535, 1, 0]);
    }

    #[test]
    fn a_limit_cuts_the_largest_shares_and_no_more_than_it_must() {
        let of = |max_weight| weights(&[10, 5, 3, 2, 1], max_weight);
        assert_eq!(of(20_000).unwrap(), [65535, 65535, 41836, 27891, 13945]);
        assert_eq!(of(16_384).unwrap(), [65535, 65535, 65534, 43689, 21845]);
        assert_eq!(of(13_107).unwrap(), [65535; 5]);
        assert_eq!(of(9000), None);
        assert_eq!(weights(&[1], 65_534), None);
        assert_eq!(weights(&[1, 1], 32_768).unwrap(), [65535; 2]);
    }

    proptest! {
        #[test]
        fn what_is_sent_passes_the_chains_check_and_keeps_the_order(
            shares in prop::collection::vec(1u64..1_000_000_000_000, 1..40), max_weight in 1u16..,
        ) {
            let found = weights(&shares, max_weight);
            // Equal weights are always allowed, if any are.
            prop_assert_eq!(found.is_some(), shares.len() as u64 * u64::from(max_weight) >= 65535);
            let Some(found) = found else { return Ok(()) };
            let sum: u64 = found.iter().map(|weight| u64::from(*weight)).sum();
            prop_assert_eq!(found.iter().max(), Some(&LARGEST));
            for weight in &found {
                prop_assert!(max_weight == LARGEST || u64::from(*weight) * 65535 <= sum * u64::from(max_weight));
            }
            for (one, other) in (0..shares.len()).zip(1..shares.len()) {
                prop_assert!((shares[one] < shares[other]) <= (found[one] <= found[other]));
            }
        }
    }
}

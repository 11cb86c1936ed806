//! `e^-x` and the logistic function in integers. What these functions return is their definition:
//! no mathematical library takes part, because libraries differ in the last bit.

use leoma_protocol::Nano;

const PARTS: i128 = Nano::PARTS as i128;
/// Binary places of the fixed-point numbers in between.
const PLACES: u32 = 62;
const ONE: i128 = 1 << PLACES;
/// The natural logarithm of two with [`PLACES`] binary places.
const LN_2: i128 = 3_196_577_161_300_663_915;
/// From here on `e^-x` rounds to zero parts.
const VANISHES_AT: i64 = 22 * Nano::PARTS;
/// The terms of the series for arguments below the logarithm of two; the next is below 2^-84.
const TERMS: u64 = 23;

/// `e^-x` to the nearest part, halves up. A negative `x` counts as zero.
pub(super) fn exp_neg(x: Nano) -> Nano {
    if x.0 >= VANISHES_AT {
        return Nano::ZERO;
    }
    let scaled = i128::from(x.0.max(0)) * ONE / PARTS;
    let (halvings, rest) = (scaled / LN_2, scaled % LN_2);
    // The product of two numbers below one fits: 2^124.
    let (mut term, mut sum) = (ONE, ONE);
    for n in 1..=TERMS {
        // Below 2^62, and a division of 64 bits is several times as fast.
        term = i128::from(((term * rest) >> PLACES) as u64 / n);
        sum += if n % 2 == 0 { term } else { -term };
    }
    sum >>= halvings;
    Nano(((2 * sum * PARTS + ONE) / (2 * ONE)) as i64)
}

/// `1 / (1 + e^-z)` to the nearest part, halves up.
pub(super) fn logistic(z: Nano) -> Nano {
    let power = i128::from(exp_neg(Nano(z.0.saturating_abs())).0);
    let numerator = if z.0 < 0 { power } else { PARTS };
    let denominator = PARTS + power;
    Nano(((2 * numerator * PARTS + denominator) / (2 * denominator)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::Digest;
    use num_bigint::BigInt;

    #[test]
    fn the_powers_of_the_design_are_exact() {
        let powers = [0, 50_000_000, 1_000_000_000, 5_000_000_000, 20_000_000_000];
        let expected = [1_000_000_000, 951_229_425, 367_879_441, 6_737_947, 2];
        assert_eq!(powers.map(|x| exp_neg(Nano(x)).0), expected);
        assert_eq!(exp_neg(Nano(i64::MAX)), Nano::ZERO);
        assert_eq!(exp_neg(Nano(-1)), Nano::ONE);
    }

    #[test]
    fn logistic_values_are_those_of_the_formula() {
        assert_eq!(logistic(Nano(2_500_000_000)), Nano(924_141_820));
        assert_eq!(logistic(Nano(5_000_000_000)), Nano(993_307_149));
        assert_eq!(logistic(Nano(-5_000_000_000)), Nano(6_692_851));
        assert_eq!(logistic(Nano::ZERO), Nano(500_000_000));
        assert_eq!([logistic(Nano(i64::MIN)), logistic(Nano(i64::MAX))], [Nano::ZERO, Nano::ONE]);
    }

    /// Decimal powers of `e^-1` with 192 binary places, so that any argument is a product of four.
    struct Powers {
        /// For each digit group of an argument in parts, `e^-(digit · unit)`.
        groups: [Vec<BigInt>; 4],
    }

    const WIDE: u32 = 192;

    impl Powers {
        fn new() -> Self {
            let group = |unit: u64, number: u64| {
                let step = Self::series(unit);
                let one = BigInt::from(1) << WIDE;
                let powers = (0..number).scan(one, |power, _| {
                    let this = power.clone();
                    *power = (&*power * &step) >> WIDE;
                    Some(this)
                });
                powers.collect()
            };
            Self {
                groups: [
                    group(1_000_000_000, 22),
                    group(1_000_000, 1000),
                    group(1000, 1000),
                    group(1, 1000),
                ],
            }
        }

        /// `e^-(unit / 10⁹)` by its series.
        fn series(unit: u64) -> BigInt {
            let one = BigInt::from(1) << WIDE;
            let x = (&one * unit) / Nano::PARTS;
            let (mut term, mut sum) = (one.clone(), one);
            for n in 1..60u32 {
                term = -((&term * &x) >> WIDE) / n;
                sum += &term;
            }
            sum
        }

        fn exp_neg(&self, x: u64) -> i64 {
            let digits = [x / 1_000_000_000, x / 1_000_000 % 1000, x / 1000 % 1000, x % 1000];
            let one = BigInt::from(1) << WIDE;
            let power =
                digits.iter().zip(&self.groups).fold(one.clone(), |power, (digit, group)| {
                    (power * &group[*digit as usize]) >> WIDE
                });
            let nearest: BigInt = (power * 2 * Nano::PARTS + &one) / (one * 2);
            nearest.try_into().unwrap()
        }
    }

    #[test]
    fn a_hundred_thousand_random_powers_are_those_of_wide_numbers() {
        let powers = Powers::new();
        let ranks = (0..=440).map(|rank| rank * 50_000_000);
        let random = (0..100_000u64).map(|seed| {
            let digest = Digest::of(&seed.to_le_bytes()).0;
            let random = u64::from_le_bytes(std::array::from_fn(|index| digest[index]));
            random % VANISHES_AT as u64
        });
        for x in ranks.filter(|x| *x < VANISHES_AT as u64).chain(random) {
            assert_eq!(exp_neg(Nano(x as i64)).0, powers.exp_neg(x), "e^-({x}/10^9)");
        }
    }
}

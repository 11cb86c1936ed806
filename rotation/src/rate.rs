//! Pass rates as exact fractions.
//!
//! All validators must order the same rates alike, so no float may touch them: 3/20 against 2/20 +
//! 1/20 is a tie in arithmetic, but not in IEEE 754. The denominator of a mean over validators is
//! the least common multiple of their counts. Those counts sum to at most the window, so for 100
//! tasks it stays below 232 792 560 (Landau's function) and fits a machine word; larger ones are
//! kept as big numbers.

use std::cmp::Ordering;
use std::fmt;

use leoma_protocol::Fraction;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};

/// A pass rate from 0 to 1, exact and in lowest terms.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Rate(Repr);

/// A value whose two numbers fit is always `Words`, so equal rates are equal structures.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Words { numerator: u64, denominator: u64 },
    Big(Box<BigRational>),
}

/// How often one validator passed a miner, out of how many verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PassCount {
    pub(crate) passed: u32,
    pub(crate) evaluated: u32,
}

impl Rate {
    /// No video passed, or none was judged.
    pub const ZERO: Self = Self(Repr::Words { numerator: 0, denominator: 1 });

    /// `passed / evaluated`; zero if nothing was evaluated.
    pub fn new(passed: u64, evaluated: u64) -> Self {
        if evaluated == 0 {
            return Self::ZERO;
        }
        let divisor = gcd(passed, evaluated);
        Self(Repr::Words { numerator: passed / divisor, denominator: evaluated / divisor })
    }

    /// Whether this rate is at least `other + margin`.
    pub fn beats(&self, other: &Self, margin: Fraction) -> bool {
        self.beats_in_words(other, margin).unwrap_or_else(|| {
            let margin =
                BigRational::new(margin.numerator.into(), margin.denominator.max(1).into());
            self.to_big() >= other.to_big() + margin
        })
    }

    /// `a/b ≥ c/d + n/m`, multiplied out; `None` if a product does not fit.
    fn beats_in_words(&self, other: &Self, margin: Fraction) -> Option<bool> {
        let (
            Repr::Words { numerator: a, denominator: b },
            Repr::Words { numerator: c, denominator: d },
        ) = (&self.0, &other.0)
        else {
            return None;
        };
        let [a, b, c, d] = [*a, *b, *c, *d].map(u128::from);
        let (n, m) = (u128::from(margin.numerator), u128::from(margin.denominator.max(1)));
        let left = (a * d).checked_mul(m)?;
        // 64 + 32 bits and one for the sum: only the last product can overflow.
        let right = (c * m + n * d).checked_mul(b)?;
        Some(left >= right)
    }

    /// The nearest float, for people and for JSON. Never compare these.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::Words { numerator, denominator } => *numerator as f64 / *denominator as f64,
            Repr::Big(ratio) => ratio.to_f64().unwrap_or(0.0),
        }
    }

    pub(crate) fn to_big(&self) -> BigRational {
        match &self.0 {
            Repr::Words { numerator, denominator } => {
                BigRational::new_raw(BigInt::from(*numerator), BigInt::from(*denominator))
            }
            Repr::Big(ratio) => (**ratio).clone(),
        }
    }

    fn from_big(ratio: BigRational) -> Self {
        match (ratio.numer().to_u64(), ratio.denom().to_u64()) {
            (Some(numerator), Some(denominator)) => Self(Repr::Words { numerator, denominator }),
            _ => Self(Repr::Big(Box::new(ratio))),
        }
    }
}

impl Ord for Rate {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (
                Repr::Words { numerator: a, denominator: b },
                Repr::Words { numerator: c, denominator: d },
            ) => (u128::from(*a) * u128::from(*d)).cmp(&(u128::from(*c) * u128::from(*b))),
            _ => self.to_big().cmp(&other.to_big()),
        }
    }
}

impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As `numerator/denominator`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Words { numerator, denominator } => write!(f, "{numerator}/{denominator}"),
            Repr::Big(ratio) => write!(f, "{}/{}", ratio.numer(), ratio.denom()),
        }
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Means of pass rates. Keeps its working memory from one miner to the next.
#[derive(Debug, Default)]
pub(crate) struct Mean {
    /// At index `evaluated`, the passes of all counts with that denominator: equal denominators are
    /// added before any greatest common divisor is looked for.
    passed_of: Vec<u64>,
    denominators: Vec<u32>,
}

impl Mean {
    /// The mean of `passed / evaluated`, each count weighing the same; zero for none. No count may
    /// have evaluated nothing.
    pub(crate) fn of(&mut self, counts: impl IntoIterator<Item = PassCount>) -> Rate {
        let mut number: u64 = 0;
        for PassCount { passed, evaluated } in counts {
            let slot = evaluated as usize;
            if self.passed_of.len() <= slot {
                self.passed_of.resize(slot + 1, 0);
            }
            // A denominator is listed at its first pass. One that has passed nothing yet may be
            // listed again, which adds zero.
            if self.passed_of[slot] == 0 {
                self.denominators.push(evaluated);
            }
            self.passed_of[slot] += u64::from(passed);
            number += 1;
        }
        let mut sums = Vec::with_capacity(self.denominators.len());
        for denominator in self.denominators.drain(..) {
            let passed = std::mem::take(&mut self.passed_of[denominator as usize]);
            if passed > 0 {
                sums.push((passed, u64::from(denominator)));
            }
        }
        mean_in_words(&sums, number).unwrap_or_else(|| mean_in_big_numbers(&sums, number))
    }
}

fn mean_in_words(sums: &[(u64, u64)], number: u64) -> Option<Rate> {
    let (mut numerator, mut denominator) = (0u64, 1u64);
    for &(passed, count) in sums {
        let divisor = gcd(denominator, count);
        let (ours, theirs) = (count / divisor, denominator / divisor);
        numerator = numerator.checked_mul(ours)?.checked_add(passed.checked_mul(theirs)?)?;
        denominator = denominator.checked_mul(ours)?;
    }
    Some(Rate::new(numerator, denominator.checked_mul(number.max(1))?))
}

fn mean_in_big_numbers(sums: &[(u64, u64)], number: u64) -> Rate {
    let sum = sums.iter().fold(BigRational::zero(), |sum, &(passed, count)| {
        sum + BigRational::new(BigInt::from(passed), BigInt::from(count))
    });
    Rate::from_big(sum * BigRational::new(BigInt::one(), BigInt::from(number.max(1))))
}

/// The greatest common divisor by Euclid's algorithm; `gcd(0, n)` is `n`.
fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWENTIETH: Fraction = Fraction { numerator: 1, denominator: 20 };

    fn count(passed: u32, evaluated: u32) -> PassCount {
        PassCount { passed, evaluated }
    }

    #[test]
    fn three_twentieths_tie_with_two_and_the_margin() {
        assert!(Rate::new(3, 20).beats(&Rate::new(2, 20), TWENTIETH));
        assert!(!Rate::new(299, 2000).beats(&Rate::new(2, 20), TWENTIETH));
        assert_eq!(Rate::new(2, 40), Rate::new(1, 20));
        assert_eq!(Rate::new(0, 0), Rate::ZERO);
    }

    #[test]
    fn a_mean_of_nothing_and_of_failures_is_zero() {
        assert_eq!(Mean::default().of([]), Rate::ZERO);
        assert_eq!(Mean::default().of([count(0, 3), count(0, 3), count(0, 7)]), Rate::ZERO);
    }

    #[test]
    fn a_mean_beyond_machine_words_stays_exact() {
        let primes: Vec<u32> = (1000..2000).filter(|n| (2..45).all(|d| n % d != 0)).collect();
        let wide = Mean::default().of(primes.iter().map(|&prime| count(prime - 1, prime)));
        assert!(matches!(wide.0, Repr::Big(_)));
        assert!(wide < Rate::new(1, 1) && wide > Rate::new(998, 999));
        assert!(wide.beats(&wide, Fraction { numerator: 0, denominator: 1 }));
        assert!(!wide.beats(&wide, Fraction { numerator: 1, denominator: u32::MAX }));
    }

    fn counts() -> impl Strategy<Value = Vec<PassCount>> {
        let one = (1u32..200).prop_flat_map(|evaluated| {
            (0..=evaluated).prop_map(move |passed| count(passed, evaluated))
        });
        prop::collection::vec(one, 1..40)
    }

    proptest! {
        #[test]
        fn a_mean_is_that_of_big_numbers(counts in counts()) {
            let expected = counts.iter().fold(BigRational::zero(), |sum, count| {
                sum + BigRational::new(count.passed.into(), count.evaluated.into())
            }) / BigRational::from_integer(BigInt::from(counts.len()));
            let mut mean = Mean::default();
            prop_assert_eq!(mean.of(counts.iter().copied()).to_big(), expected.clone());
            // Nothing of one mean is left for the next.
            prop_assert_eq!(mean.of(counts.iter().copied()).to_big(), expected);
        }

        #[test]
        fn rates_order_as_big_numbers_do(a: u64, b in 1u64.., c: u64, d in 1u64.., n: u32, m in 1u32..) {
            let (left, right) = (Rate::new(a, b), Rate::new(c, d));
            prop_assert_eq!(left.cmp(&right), left.to_big().cmp(&right.to_big()));
            prop_assert_eq!(left == right, left.to_big() == right.to_big());
            let margin = BigRational::new(n.into(), m.into());
            let beats = left.to_big() >= right.to_big() + margin;
            prop_assert_eq!(left.beats(&right, Fraction { numerator: n, denominator: m }), beats);
        }
    }
}

//! A market that nobody moves: its price is a function of time and the run's seed.
//!
//! The price is a sum of noises of ever longer periods, whose sizes grow with the root of the
//! period, as the distances of a random walk do. Feeds, miners and tests compute it alike.

use crate::seed::Seed;

/// Seconds from one price to the next.
pub const STEP_S: u32 = 20;
/// What the price moves around, in cents.
const MIDDLE: i64 = 500_000;
/// Largest part of each noise, in cents; each has twice the period of the one before it.
const SIZES: [i64; 14] = [40, 57, 80, 113, 160, 226, 320, 453, 640, 905, 1280, 1810, 2560, 3620];
/// By how much a feed that lies is off, in cents: more than the price moves in an hour.
const LIE: i64 = 25_000;

/// The market of a run.
#[derive(Clone, Debug)]
pub struct Market {
    seed: Seed,
}

impl Market {
    /// The market of this seed.
    pub const fn new(seed: Seed) -> Self {
        Self { seed }
    }

    /// The price in cents at a moment in seconds since 1970, which only changes at whole steps.
    pub fn cents(&self, moment: u64) -> i64 {
        let step = moment / u64::from(STEP_S);
        let noise = |(level, size): (u32, &i64)| {
            let (period, place) = (1_u64 << level, step >> level);
            let inside = (step % period) as i64;
            let [before, after] = [place, place + 1].map(|place| self.draw(level, place, *size));
            let period = period as i64;
            (before * (period - inside) + after * inside).div_euclid(period)
        };
        MIDDLE + (0..).zip(&SIZES).map(noise).sum::<i64>()
    }

    /// What a feed that lies says of a moment, in cents.
    pub fn lie(&self, moment: u64) -> i64 {
        self.cents(moment) + LIE
    }

    fn draw(&self, level: u32, place: u64, size: i64) -> i64 {
        let span = 2.0 * size as f64;
        let part = self.seed.fraction(&format!("market/{level}/{place}"));
        (span * part).round() as i64 - size
    }
}

/// Cents as a decimal text in units.
pub fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(seed: &str) -> Market {
        Market::new(Seed::new(seed))
    }

    #[test]
    fn a_price_follows_from_seed_and_moment_and_moves_in_both_directions() {
        let prices = |seed: &str| -> Vec<i64> {
            let market = market(seed);
            (0..500).map(|step| market.cents(1_736_519_700 + 20 * step)).collect()
        };
        let one = prices("1");
        assert_eq!(one, prices("1"));
        assert_ne!(one, prices("2"));
        let moves: Vec<i64> = one.windows(2).map(|two| two[1] - two[0]).collect();
        let up = moves.iter().filter(|step| **step > 0).count();
        assert!((100..400).contains(&up), "{up} of 499 steps are up");
        assert!(moves.iter().all(|step| step.abs() < 1000), "{moves:?}");
        // Within a step nothing moves, and no price is near zero.
        let market = market("1");
        assert_eq!(market.cents(1_736_519_700), market.cents(1_736_519_719));
        assert!(one.iter().all(|cents| (400_000..600_000).contains(cents)), "{one:?}");
        let farthest = one.iter().map(|cents| (cents - one[0]).abs()).max().unwrap();
        assert!((100..LIE).contains(&farthest), "{farthest}");
    }

    #[test]
    fn cents_are_written_as_a_feed_writes_prices() {
        assert_eq!([500_012, 5, -105, 0].map(decimal), ["5000.12", "0.05", "-1.05", "0.00"]);
    }
}

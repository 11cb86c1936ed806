//! The distance of two fingerprints at the best of several speeds, mirrored or not, in integer
//! arithmetic.

use super::traces::{APART, AT_ONCE, FIRST, MOMENTS, PLACES, REACH, STEPS, UNSEEN};

/// The speeds of the faster video that are tried, in hundredths of the slower one's.
pub(crate) const SPEEDS: std::ops::RangeInclusive<i64> = 100..=116;
/// The steps by which the slower video may be ahead of the faster. Changing a video's speed moves
/// its frames by up to one step.
pub(crate) const AHEAD: [i64; 3] = [0, -1, 1];
/// Parts into which the way from one moment to the next is divided.
pub(crate) const PART: i64 = 64;
/// The least mean square of change, in half levels and over the places that change, of a video that
/// can be compared. Below it a codec's losses are a large part of the change, and two honest videos
/// can hardly be told apart.
pub(crate) const LEAST_CHANGE: i64 = 12;
/// The least number of places over which a video's change has to spread. One small thing on a
/// simple path is not enough evidence.
pub(crate) const LEAST_PLACES: i64 = 6;

/// The smallest distance of two sets of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nearest {
    /// 0 for the same changes at the same places, 255 for nothing in common.
    pub(super) distance: u8,
    /// One is the other's mirror image.
    pub(super) mirrored: bool,
    /// Speed of the second video in hundredths of the first's.
    pub(super) speed: u8,
}

/// Compares the values of two fingerprints. The distance is symmetric.
pub(super) fn nearest(first: &[i8], second: &[i8]) -> Nearest {
    let flipped: Vec<i8> =
        second.chunks_exact(PLACES.0).flat_map(|line| line.iter().rev().copied()).collect();
    let sides = [false, true].map(|mirrored| {
        let second = if mirrored { &flipped[..] } else { second };
        let seen: [i32; AT_ONCE] =
            std::array::from_fn(|place| both_seen(first[place], second[place]));
        (mirrored, second, seen)
    });
    // Every other speed first, then those around the best: a speed that is off by a hundredth still
    // fits better than a wrong one.
    let mut start = (u8::MAX, 100, 0);
    for (side, (_, second, seen)) in sides.iter().enumerate() {
        for speed in SPEEDS.step_by(2) {
            let ways = [
                at_speed(second, first, seen, (speed, 0)),
                at_speed(first, second, seen, (speed, 0)),
            ];
            start = start.min((ways[0].min(ways[1]), speed, side));
        }
    }
    let (_, middle, side) = start;
    let (mirrored, second, seen) = sides[side];
    let mut best = Nearest { distance: u8::MAX, mirrored, speed: 100 };
    for speed in (middle - 2).max(*SPEEDS.start())..=(middle + 2).min(*SPEEDS.end()) {
        for ahead in AHEAD {
            for (distance, speed) in [
                (at_speed(second, first, &seen, (speed, ahead)), speed),
                (at_speed(first, second, &seen, (speed, ahead)), 10_000 / speed),
            ] {
                if distance < best.distance {
                    best = Nearest { distance, mirrored, speed: speed as u8 };
                }
            }
        }
    }
    best
}

fn both_seen(first: i8, second: i8) -> i32 {
    i32::from(first != UNSEEN && second != UNSEEN)
}

/// What two videos have at each place, summed over the moments that both show. One array for each
/// sum, as vector instructions want it.
struct Common {
    sum: [i32; AT_ONCE],
    other_sum: [i32; AT_ONCE],
    square: [i32; AT_ONCE],
    /// At most 15 squares of 127 * 64 * 1.25, which is below 2^31.
    other_square: [i32; AT_ONCE],
    product: [i32; AT_ONCE],
}

/// 255 less the correlation, in 255ths, of what changes over time, where the faster video runs at
/// `speed` hundredths of the other, which is `ahead` by some steps. What the slower one shows
/// between two of its moments is interpolated, because its moments lie closer together.
fn at_speed(faster: &[i8], slower: &[i8], seen: &[i32; AT_ONCE], (speed, ahead): (i64, i64)) -> u8 {
    const NONE: [i32; AT_ONCE] = [0; AT_ONCE];
    let mut common =
        Common { sum: NONE, other_sum: NONE, square: NONE, other_square: NONE, product: NONE };
    let mut count = 0_i64;
    let last = MOMENTS as i64 - 1;
    let (moments, _) = slower.as_chunks::<AT_ONCE>();
    let at = |moment: i64| &moments[moment.clamp(0, last) as usize];
    for (moment, ours) in (0..).zip(faster.as_chunks::<AT_ONCE>().0) {
        let step = FIRST + APART * moment;
        let position = (step * speed + (ahead - FIRST) * 100) * PART / (APART * 100);
        if position < 0 {
            continue;
        }
        let (before, way) = (position / PART, position % PART);
        // A faster video ends sooner. What follows it, or blends into its last moments, is not
        // compared.
        let is_filled_up = speed > 100 && (step + REACH) * speed > STEPS * 100;
        if before + i64::from(way > 0) > last || is_filled_up {
            break;
        }
        count += 1;
        let surrounded = before > 0 && before + 2 <= last;
        let weights = if surrounded { cubic(way) } else { linear(way) };
        let [a, b, c, d] = [before - 1, before, before + 1, before + 2].map(at);
        for place in 0..AT_ONCE {
            let ours = i32::from(ours[place]) * seen[place];
            let theirs = i32::from(a[place]) * weights[0]
                + i32::from(b[place]) * weights[1]
                + i32::from(c[place]) * weights[2]
                + i32::from(d[place]) * weights[3];
            let theirs = theirs * seen[place];
            common.sum[place] += ours;
            common.other_sum[place] += theirs;
            common.square[place] += ours * ours;
            common.other_square[place] += theirs * theirs;
            common.product[place] += ours * theirs;
        }
    }
    distance(&common, count, seen.iter().map(|seen| i64::from(*seen)).sum())
}

/// Weights of four moments for a place on the way from the second to the third, in parts of
/// [`PART`]: a cubic through all four (Catmull and Rom 1974).
fn cubic(way: i64) -> [i32; 4] {
    let (square, cube) = (way * way, way * way * way);
    let rounded = |value: i64| ((value + PART * PART) >> 13) as i32;
    let before = rounded(-way * PART * PART + 2 * square * PART - cube);
    let after = rounded(way * PART * PART + 4 * square * PART - 3 * cube);
    let far = rounded(cube - square * PART);
    [before, PART as i32 - before - after - far, after, far]
}

fn linear(way: i64) -> [i32; 4] {
    [0, (PART - way) as i32, way as i32, 0]
}

/// 255 also where one of the videos changes too little, or too little is seen of both.
fn distance(common: &Common, count: i64, places: i64) -> u8 {
    // Relative to each place's mean over time, which every honest answer shares through the first
    // frame.
    let centred = |product: i32, sum: i32, other_sum: i32| {
        count * i64::from(product) - i64::from(sum) * i64::from(other_sum)
    };
    let (mut ours, mut theirs, mut covariance) = (Change::default(), Change::default(), 0);
    for place in 0..AT_ONCE {
        let (sum, other_sum) = (common.sum[place], common.other_sum[place]);
        ours.add(centred(common.square[place], sum, sum));
        theirs.add(centred(common.other_square[place], other_sum, other_sum) / (PART * PART));
        covariance += centred(common.product[place], sum, other_sum);
    }
    if 2 * places < AT_ONCE as i64 || !ours.is_enough(count) || !theirs.is_enough(count) {
        return 255;
    }
    let spread = (ours.variance as u128 * theirs.variance as u128).isqrt().max(1);
    255 - (covariance.max(0) as u128 * 255 / (spread * PART as u128)).min(255) as u8
}

/// How much a video changes.
#[derive(Debug, Default)]
struct Change {
    /// Of all places, times the number of moments squared.
    variance: i64,
    /// Sum of the squares of the places' variances.
    squares: i64,
}

impl Change {
    fn add(&mut self, variance: i64) {
        self.variance += variance;
        self.squares += variance * variance;
    }

    /// Whether the change is strong enough and at enough places. A place counts in proportion to
    /// its change, so the sum of squares against the sum tells both.
    fn is_enough(&self, count: i64) -> bool {
        let (variance, squares) = (i128::from(self.variance), i128::from(self.squares));
        let strength = i128::from(LEAST_CHANGE * count * count);
        squares > 0
            && squares >= strength * variance
            && variance * variance >= i128::from(LEAST_PLACES) * squares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_goes_through_its_middle_two_and_keeps_sums() {
        assert_eq!(cubic(0), [0, 64, 0, 0]);
        assert_eq!(cubic(32), [-4, 36, 36, -4]);
        for way in 0..PART {
            assert_eq!(cubic(way).iter().sum::<i32>(), 64, "{way}");
            let [a, b, c, d] = cubic(way);
            assert!([a, b, c, d].iter().map(|weight| weight.abs()).sum::<i32>() <= 80, "{way}");
        }
    }
}

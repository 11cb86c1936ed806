//! From a measure to points.

/// A straight line between two bounds, in thousandths of a measure: 0 points at `none`, 100 at
/// `full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// The value that gives no points.
    pub none: i32,
    /// The value that gives all points; below `none` where less is better.
    pub full: i32,
}

impl Ramp {
    pub(crate) const fn new(none: i32, full: i32) -> Self {
        Self { none, full }
    }

    /// Points from 0 to 100; a value that is not a number gives none.
    pub fn points(&self, value: f32) -> f64 {
        let (none, full) = (f64::from(self.none) / 1000.0, f64::from(self.full) / 1000.0);
        let points = 100.0 * (f64::from(value) - none) / (full - none);
        if points.is_nan() { 0.0 } else { points.clamp(0.0, 100.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_run_both_ways_and_never_leave_their_range() {
        let up = Ramp::new(800, 900);
        assert_eq!([0.7, 0.8, 0.95].map(|value| up.points(value).round()), [0.0, 0.0, 100.0]);
        assert!((up.points(0.85) - 50.0).abs() < 1e-4);
        let down = Ramp::new(20, 4);
        assert_eq!([0.05, 0.001].map(|value| down.points(value)), [0.0, 100.0]);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!((0.0..=100.0).contains(&up.points(odd)));
        }
        assert_eq!(up.points(f32::NAN), 0.0);
    }
}

//! When each frame is shown.

use super::info::Rational;

/// Start times of the frames in presentation order, from the first frame on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameTimes {
    /// In units, rising; the first is 0.
    starts: Vec<u64>,
    /// The time stamp of the first frame in the file.
    origin: i64,
    /// Seconds of a unit.
    unit: Rational,
    /// How long the last frame is shown, in units; 0 where nothing says.
    last: u64,
}

impl FrameTimes {
    /// From time stamps and durations in any order; `None` where there is none.
    pub(super) fn of(mut stamps: Vec<(i64, u64)>, unit: Rational) -> Option<Self> {
        stamps.sort_unstable();
        let (origin, _) = *stamps.first()?;
        let (_, last) = *stamps.last()?;
        let starts = stamps.iter().map(|(stamp, _)| stamp.abs_diff(origin)).collect();
        Some(Self { starts, origin, unit, last })
    }

    /// Number of frames, at least 1.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The times of the first and last frame as the file gives them, and the shortest time between
    /// two frames; in units.
    pub(super) fn in_the_file(&self) -> (i128, i128, i128) {
        let origin = i128::from(self.origin);
        (origin, origin + i128::from(self.end()), i128::from(self.shortest_interval()))
    }

    /// Of frames at different times. The mean would not do for what may be hidden: one frame after
    /// an hour makes it long enough for all others.
    fn shortest_interval(&self) -> u64 {
        let intervals = self.starts.windows(2).map(|pair| pair[1] - pair[0]);
        let shortest = intervals.filter(|interval| *interval > 0).min();
        shortest.unwrap_or_else(|| self.interval())
    }

    fn end(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// The mean time between two frames in units; the last frame's own duration, which writers get
    /// wrong, plays no part.
    fn interval(&self) -> u64 {
        match self.starts.len() as u64 - 1 {
            0 => self.last,
            steps => self.end() / steps,
        }
    }

    /// Frames per second from the first to the last frame; `None` for one frame and for frames at
    /// one time.
    pub(super) fn rate(&self) -> Option<Rational> {
        let steps = self.starts.len() as u64 - 1;
        if steps == 0 {
            return None;
        }
        let frames = u128::from(steps) * u128::from(self.unit.denominator);
        Rational::reduced(frames, u128::from(self.end()) * u128::from(self.unit.numerator))
    }

    /// Whether the frames are evenly spaced: each within an eighth of an interval, or one unit, of
    /// its place.
    pub(super) fn are_even(&self) -> bool {
        let steps = self.starts.len() as u128 - 1;
        let end = u128::from(self.end());
        (0_u128..).zip(&self.starts).all(|(index, start)| {
            // Both sides times the number of steps, so that nothing is rounded.
            let off = (u128::from(*start) * steps).abs_diff(index * end);
            off <= (end / 8).max(steps)
        })
    }

    /// The frame on screen at `numerator / denominator` seconds.
    pub(super) fn shown_at(&self, numerator: u128, denominator: u128) -> usize {
        let scale = u128::from(self.unit.numerator) * denominator;
        let time = numerator * u128::from(self.unit.denominator);
        self.starts.partition_point(|start| u128::from(*start) * scale <= time).saturating_sub(1)
    }

    /// From the first frame to the end of the last, in milliseconds. A last frame whose duration
    /// nothing says is shown as long as the others are on average.
    pub(super) fn duration_ms(&self) -> u64 {
        let last = if self.last > 0 { self.last } else { self.interval() };
        let units = u128::from(self.end()) + u128::from(last);
        let ms = units * 1000 * u128::from(self.unit.numerator) / u128::from(self.unit.denominator);
        u64::try_from(ms).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Rational = Rational { numerator: 1, denominator: 16_000 };

    fn times(durations: &[u64]) -> FrameTimes {
        let mut at = 2000;
        let mut stamps = Vec::new();
        for duration in durations {
            // As a decoder reads them: not in the order of presentation.
            stamps.insert(stamps.len() / 2, (at, *duration));
            at += *duration as i64;
        }
        FrameTimes::of(stamps, UNIT).unwrap()
    }

    fn fps(times: &FrameTimes) -> (u32, u32) {
        times.rate().map(|rate| (rate.numerator, rate.denominator)).unwrap()
    }

    #[test]
    fn e9_the_last_frames_duration_does_not_change_the_rate() {
        for last in [0, 1000, 4000, 16_000] {
            let times = times(&[&[1000; 80][..], &[last]].concat());
            assert_eq!((times.len(), fps(&times)), (81, (16, 1)), "{last}");
            assert!(times.are_even());
        }
        assert_eq!(times(&[&[1000; 80][..], &[0]].concat()).duration_ms(), 5062);
    }

    #[test]
    fn times_rounded_to_milliseconds_are_even() {
        let unit = Rational { numerator: 1, denominator: 1000 };
        let stamps = (0..81).map(|index| (index * 1000 / 16, 62)).collect();
        let times = FrameTimes::of(stamps, unit).unwrap();
        assert!(times.are_even());
        assert_eq!(fps(&times), (16, 1));
    }

    #[test]
    fn e11_uneven_times_are_kept() {
        let times = times(&[&[1000; 40][..], &[1500; 41]].concat());
        assert!(!times.are_even());
        let shown = |index: u128| times.shown_at(2 * index + 1, 32);
        assert_eq!([0, 39, 40, 41, 42, 43].map(shown), [0, 39, 40, 41, 41, 42]);
        assert_eq!(times.shown_at(100, 1), 80);
    }

    #[test]
    fn a_late_last_frame_does_not_lengthen_what_may_be_hidden() {
        let late = times(&[&[1000; 79][..], &[57_600_000, 1000]].concat());
        assert_eq!(late.in_the_file(), (2000, 2000 + 79_000 + 57_600_000, 1000));
        let together = FrameTimes::of(vec![(5, 0), (5, 0), (25, 0)], UNIT).unwrap();
        assert_eq!(together.in_the_file(), (5, 25, 20));
        assert_eq!(FrameTimes::of(vec![(5, 9)], UNIT).unwrap().in_the_file(), (5, 5, 9));
    }

    #[test]
    fn frames_at_one_time_have_no_rate() {
        assert_eq!(FrameTimes::of(vec![(5, 0), (5, 0)], UNIT).unwrap().rate(), None);
        assert_eq!(FrameTimes::of(vec![(5, 9)], UNIT).unwrap().rate(), None);
        assert_eq!(FrameTimes::of(Vec::new(), UNIT), None);
    }
}

//! Every number that turns measures into scores, in one record with a digest.
//!
//! The bounds were set by calibration: fifteen ways of spoiling a clip, each at five strengths,
//! against honest answers that move a little differently from the source. `leoma-testnet calibrate`
//! reports the resulting scores, its test and `tests/scoring/aspects.rs` assert them, and
//! `docs/scoring.md` has the figures.

use crate::judge::TaskType;
use crate::metrics::constants;
use leoma_protocol::Digest;

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
    const fn new(none: i32, full: i32) -> Self {
        Self { none, full }
    }

    /// Points from 0 to 100; a value that is not a number gives none.
    pub fn points(&self, value: f32) -> f64 {
        let (none, full) = (f64::from(self.none) / 1000.0, f64::from(self.full) / 1000.0);
        let points = 100.0 * (f64::from(value) - none) / (full - none);
        if points.is_nan() { 0.0 } else { points.clamp(0.0, 100.0) }
    }
}

/// Bounds, weights and thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AspectPolicy {
    /// First frame: structural similarity after registration.
    pub first_ms_ssim: Ramp,
    /// First frame: sharpness kept.
    pub first_detail: Ramp,
    /// First frame: brightness distance.
    pub first_colour: Ramp,
    /// First frame: chroma distance.
    pub first_chroma: Ramp,
    /// Content: similarity of the change over time.
    pub agreement: Ramp,
    /// Content: the same where it is least.
    pub agreement_low: Ramp,
    /// Content: similarity to the prompt over the source's, with a model that reads prompts.
    pub text_similarity: Ramp,
    /// The least similarity of the source to the prompt, in thousandths, at which the model is
    /// taken to understand the prompt.
    pub text_least: i32,
    /// Content: brightness distance.
    pub content_colour: Ramp,
    /// Content: chroma distance.
    pub content_chroma: Ramp,
    /// Content: brightness distance where it is largest.
    pub content_local: Ramp,
    /// Content: amount of change from the first frame against the source's.
    pub displacement: Ramp,
    /// Motion: flow error.
    pub flow_error: Ramp,
    /// Motion: its amount, the smaller over the larger.
    pub motion_amount: Ramp,
    /// Motion: smoothness that the source has and the answer lacks.
    pub motion_roughness: Ramp,
    /// Motion: frozen frames.
    pub motion_held: Ramp,
    /// Time: brightness pumping, at the source's times and overall.
    pub flicker: Ramp,
    /// Time: local change that the source lacks.
    pub motion_excess: Ramp,
    /// Time: growth of the distance in brightness and chroma from beginning to end.
    pub drift: Ramp,
    /// Time: frozen frames.
    pub time_held: Ramp,
    /// Time: returns to what was shown before.
    pub recurrence: Ramp,
    /// Quality: sharpness kept.
    pub detail: Ramp,
    /// Quality: noise added.
    pub noise: Ramp,
    /// Quality: block edges added.
    pub blockiness: Ramp,
    /// Camera: whole-frame motion error.
    pub camera_error: Ramp,
    /// What miners are given, which decides what their answers are judged by.
    pub task: TaskType,
    /// Weights of the six aspects in percent, in the order of [`crate::Aspects`]; their sum is 100.
    pub weights: [u16; 6],
    /// Overall score needed, in tenths.
    pub pass: u16,
    /// Score needed in each critical aspect, in tenths.
    pub critical: u16,
    /// Frozen if the change from the first frame is below this part of the source's, in
    /// thousandths.
    pub frozen_displacement: i32,
    /// Frozen if the answer stands still for this part of the clip, in thousandths.
    pub frozen_hold: i32,
    /// Small change means frozen only if the first frame is at least this similar to the source's,
    /// in thousandths. Otherwise it is another, calmer video.
    pub frozen_likeness: i32,
    /// No answer is frozen against a source that changes less than this from its first frame, in
    /// thousandths.
    pub frozen_source: i32,
    /// Whether the source clip itself is refused. Off where nobody could have it, as in a
    /// calibration.
    pub forbid_replay: bool,
    /// The least similarity of fine detail to the source's that makes an answer a replay, in
    /// thousandths.
    pub replay_detail: i32,
    /// Allowed difference of width and of height, in pixels.
    pub size_tolerance: u32,
    /// Frames needed, in percent of the source's.
    pub min_frames: u16,
    /// Duration needed, in percent of the source's.
    pub min_duration: u16,
}

impl AspectPolicy {
    /// The subnet's policy, for tasks that give a first frame and a prompt.
    pub const SUBNET: Self = Self {
        first_ms_ssim: Ramp::new(800, 960),
        first_detail: Ramp::new(30, 150),
        first_colour: Ramp::new(100, 20),
        first_chroma: Ramp::new(100, 20),
        agreement: Ramp::new(450, 850),
        agreement_low: Ramp::new(0, 600),
        text_similarity: Ramp::new(600, 900),
        text_least: 20,
        content_colour: Ramp::new(120, 30),
        content_chroma: Ramp::new(150, 30),
        content_local: Ramp::new(300, 80),
        displacement: Ramp::new(250, 700),
        flow_error: Ramp::new(900, 400),
        motion_amount: Ramp::new(300, 750),
        motion_roughness: Ramp::new(450, 150),
        motion_held: Ramp::new(450, 100),
        flicker: Ramp::new(20, 4),
        motion_excess: Ramp::new(30, 8),
        drift: Ramp::new(200, 60),
        recurrence: Ramp::new(350, 100),
        time_held: Ramp::new(600, 200),
        detail: Ramp::new(50, 500),
        noise: Ramp::new(40, 8),
        blockiness: Ramp::new(3000, 1400),
        camera_error: Ramp::new(1600, 800),
        task: TaskType::Ti2v,
        weights: TaskType::Ti2v.weights(),
        pass: 750,
        critical: 500,
        frozen_displacement: 100,
        frozen_hold: 500,
        frozen_likeness: 500,
        frozen_source: 8,
        forbid_replay: true,
        replay_detail: 600,
        size_tolerance: 32,
        min_frames: 90,
        min_duration: 90,
    };

    /// The subnet's policy for tasks of one type.
    #[must_use]
    pub const fn of(task: TaskType) -> Self {
        Self { task, weights: task.weights(), ..Self::SUBNET }
    }

    /// SHA-256 over this record's names and numbers in their order, and over the numbers inside the
    /// measures.
    pub fn digest(&self) -> Digest {
        // The derived text has every field's name and integer value. Integers print alike
        // everywhere.
        let (policy, measures) = (format!("{self:?}\n"), constants());
        Digest::of_parts(&[b"leoma:aspect-policy:v2:", policy.as_bytes(), measures.as_bytes()])
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

    #[test]
    fn every_number_is_in_the_digest() {
        let policy = AspectPolicy::SUBNET;
        assert_eq!(policy.weights.iter().sum::<u16>(), 100);
        assert_ne!(policy.digest(), AspectPolicy { pass: 751, ..policy }.digest());
        assert_ne!(policy.digest(), AspectPolicy::of(TaskType::I2v).digest());
        assert_ne!(policy.digest(), AspectPolicy { drift: Ramp::new(150, 41), ..policy }.digest());
    }
}

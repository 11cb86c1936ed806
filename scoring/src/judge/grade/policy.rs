//! Every number that turns measures into scores, in one record with a digest.
//!
//! The bounds were set by calibration: free continuations of rendered scenes, tricks that need no
//! model, a ladder of worse models, and fifteen ways of spoiling a clip. `leoma-testnet calibrate`
//! reports the resulting scores, its test asserts them, and `docs/scoring.md` has the figures.
//! The table of parts is in `parts.rs`, and is part of the digest.

use super::parts::rules_text;
use crate::judge::TaskType;
use crate::metrics::constants;
use leoma_protocol::Digest;

/// Bounds, weights and thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AspectPolicy {
    /// What miners are given, which decides what their answers are judged by.
    pub task: TaskType,
    /// Weights of the six aspects in percent, in the order of [`crate::Aspects`]; their sum is 100.
    pub weights: [u16; 6],
    /// Overall score needed, in tenths.
    pub pass: u16,
    /// Score needed in each aspect, in tenths; 0 where there is none.
    pub critical: [u16; 6],
    /// Points that an answer needs above the best opponent's, in tenths.
    pub margin: u16,
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
    /// An answer is a replay if it has at least this part of the detail that only the source shows,
    /// in thousandths.
    pub replay: i32,
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
        task: TaskType::Ti2v,
        weights: TaskType::Ti2v.weights(),
        pass: 750,
        critical: [500; 6],
        margin: 50,
        frozen_displacement: 100,
        frozen_hold: 500,
        frozen_likeness: 500,
        frozen_source: 8,
        forbid_replay: true,
        replay: 450,
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
        let (policy, parts, measures) = (format!("{self:?}\n"), rules_text(), constants());
        let texts = [&policy, &parts, &measures].map(String::as_bytes);
        Digest::of_parts(&[b"leoma:aspect-policy:v3:", texts[0], texts[1], texts[2]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_the_digest() {
        let policy = AspectPolicy::SUBNET;
        assert_eq!(policy.weights.iter().sum::<u16>(), 100);
        assert_ne!(policy.digest(), AspectPolicy { pass: 751, ..policy }.digest());
        assert_ne!(policy.digest(), AspectPolicy::of(TaskType::I2v).digest());
        assert_ne!(policy.digest(), AspectPolicy { margin: 51, ..policy }.digest());
    }
}

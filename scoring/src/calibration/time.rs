//! Frames shown at other times than in the source.

use super::picture::{fraction, rebuilt};
use crate::media::Clip;

/// The frames `order` of a clip, in that order.
pub(super) fn reordered(clip: &Clip, order: &[usize]) -> Clip {
    let frame = |index: &usize| {
        let (blue, red) = clip.chroma(*index);
        [clip.luma(*index), blue, red].concat()
    };
    rebuilt(clip, order.iter().map(frame).collect())
}

/// Replaces each frame but the first by the one before, with probability `part`.
pub(super) fn dropped(frames: usize, part: f32, seed: u64) -> Vec<usize> {
    let mut shown = 0;
    let next = |frame: usize| {
        if frame == 0 || fraction(seed, 10_000 + frame as u64) >= part {
            shown = frame;
        }
        shown
    };
    (0..frames).map(next).collect()
}

/// Time runs at `speed`, in whole frames.
pub(super) fn slowed(frames: usize, speed: f32) -> Vec<usize> {
    (0..frames).map(|frame| ((frame as f32 * speed) as usize).min(frames - 1)).collect()
}

/// Time ends after `part` of the clip.
pub(super) fn stopped(frames: usize, part: f32) -> Vec<usize> {
    let last = (part * (frames - 1) as f32).round() as usize;
    (0..frames).map(|frame| frame.min(last)).collect()
}

/// The first `period` frames again and again.
pub(super) fn looped(frames: usize, period: usize) -> Vec<usize> {
    (0..frames).map(|frame| frame % period.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_as_named() {
        assert_eq!(slowed(6, 0.5), [0, 0, 1, 1, 2, 2]);
        assert_eq!(stopped(6, 0.4), [0, 1, 2, 2, 2, 2]);
        assert_eq!(looped(6, 4), [0, 1, 2, 3, 0, 1]);
        assert_eq!(stopped(4, 0.0), [0; 4]);
        assert_eq!(dropped(5, 0.0, 1), [0, 1, 2, 3, 4]);
        assert_eq!(dropped(5, 1.0, 1), [0; 5]);
    }
}

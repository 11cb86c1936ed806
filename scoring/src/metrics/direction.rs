//! Where things and the camera go, and how alike two courses are, coarsely.
//!
//! A prompt says that a ball rolls to the left, not at which moment it is where. So directions are
//! compared over the beginning, where everything is still near its place in the first frame, and
//! likeness at the best moment within a second.

use super::Grid;

/// Added to the squared lengths, in pixels of the flow's picture: less motion has no direction.
pub(crate) const LEAST_PATH: f64 = 1e-3;

/// The cosine between both flows, `[n, 2, r, c]`, each summed over its first `steps` and taken as
/// one vector: -1 to 1.
pub(crate) fn summed_direction(answer: &Grid, source: &Grid, steps: usize) -> f32 {
    let summed = |flow: &Grid| {
        let mut sum = vec![0.0_f32; flow.shape().iter().product()];
        for map in flow.maps().take(steps) {
            sum.iter_mut().zip(map).for_each(|(sum, value)| *sum += value);
        }
        sum
    };
    let (answer, source) = (summed(answer), summed(source));
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
        sum / a.len().max(1) as f64 + LEAST_PATH
    };
    (product(&answer, &source) / (product(&answer, &answer) * product(&source, &source)).sqrt())
        as f32
}

/// The mean over the frames after the first of the best correlation with a frame of the source at
/// most `apart` frames away, -1 to 1. `correlations` is `[frames, frames]`.
pub(crate) fn course_likeness(correlations: &[f32], frames: usize, apart: usize) -> f32 {
    let best = |frame: usize| {
        let line = &correlations[frame * frames..][..frames];
        let near = &line[frame.saturating_sub(apart)..(frame + apart + 1).min(frames)];
        near.iter().copied().fold(-1.0, f32::max)
    };
    (1..frames).map(best).sum::<f32>() / frames.saturating_sub(1).max(1) as f32
}

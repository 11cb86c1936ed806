//! Whether an answer is the source clip itself, and whether it shows the same twice.
//!
//! Both are measured on the change from the first frame, which every answer is given, so that a
//! still background proves nothing. An honest model invents its own details, which never match the
//! source's. A re-encoded source keeps them.

use super::frame_means;
use super::sharpness::LAPLACIAN;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// Smaller changes, as a mean square, are rounding and have a similarity of 0.
pub(super) const LEAST_DETAIL: f32 = 1e-7;

/// Correlation of fine detail per frame after the first, `[n - 1]`, -1 to 1: of the Laplacians of
/// both clips' changes from their first frames. Near 1 for a replayed source. Near 1/2 for another
/// video from the same first frame, however both move, because neither shows that frame any longer.
pub(crate) fn detail_correlation<B: Backend>(
    left: &Tensor<B, 4>,
    right: &Tensor<B, 4>,
) -> Tensor<B, 1> {
    let kernel = Tensor::<B, 2>::from_floats(LAPLACIAN, &left.device()).reshape([1, 1, 3, 3]);
    let detail = |pictures: &Tensor<B, 4>, frame: usize| {
        let change = super::frame(pictures, frame) - super::frame(pictures, 0);
        conv2d(change, kernel.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
    };
    let correlations = (1..left.dims()[0]).map(|frame| {
        let (left, right) = (detail(left, frame), detail(right, frame));
        let power = |detail: &Tensor<B, 4>| frame_means(detail.clone().square()) + LEAST_DETAIL;
        let lengths = power(&left) * power(&right);
        frame_means(left * right) / lengths.sqrt()
    });
    Tensor::cat(correlations.collect(), 0)
}

/// Correlation of every frame of one clip with every frame of another, `[n, m]`, -1 to 1, by their
/// changes from the first frame of each; pictures are small, `[n, c, h, w]` and `[m, c, h, w]`.
pub(crate) fn correlations<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 2> {
    let changes = |pictures: &Tensor<B, 4>| {
        let [frames, channels, rows, columns] = pictures.dims();
        let changes = (pictures.clone() - super::frame(pictures, 0))
            .reshape([frames, channels * rows * columns]);
        let power = changes.clone().square().mean_dim(1) + LEAST_DETAIL;
        changes / (power * (channels * rows * columns) as f32).sqrt()
    };
    changes(left).matmul(changes(right).transpose())
}

/// Coarse similarity of two clips at the same time, for each frame after the first, `[n - 1]`, -1
/// to
/// 1. `correlations` is `[frames, frames]`.
pub(crate) fn agreement(correlations: &[f32], frames: usize) -> Vec<f32> {
    (1..frames).map(|frame| correlations[frame * frames + frame]).collect()
}

/// For each frame the most similar frame of the other clip, the earliest of equal ones.
/// `correlations` is `[frames, others]`.
pub(crate) fn most_alike(correlations: &[f32], frames: usize) -> Vec<usize> {
    let others = (correlations.len() / frames.max(1)).max(1);
    let best = |line: &[f32]| {
        (0..line.len()).rev().max_by(|a, b| line[*a].total_cmp(&line[*b])).unwrap_or(0)
    };
    correlations.chunks_exact(others).map(best).collect()
}

/// Whether a clip is another one, by fine detail, 0 to 1. It is the mean over the better half of
/// the clip's second half, in which an own clip no longer resembles the first frame. Only the
/// better half, because a replay at another speed hits the other clip's frames only now and then.
/// `details` has one value for each frame after the first, see [`detail_correlation`]. Half of both
/// clips' change is that they no longer show the first frame, so 1/2 means no similarity.
pub(crate) fn replayed_detail(details: &[f32]) -> f32 {
    let mut late = details[details.len() / 2..].to_vec();
    late.sort_unstable_by(|a, b| b.total_cmp(a));
    late.truncate(late.len().div_ceil(2));
    let mean = late.iter().sum::<f32>() / late.len().max(1) as f32;
    (2.0 * mean - 1.0).max(0.0)
}

/// How much a clip replays another, 0 to 1: the mean over the frames after the first of the best
/// similarity to any frame of the other. `correlations` is `[frames, others]`.
pub fn replay(correlations: &[f32], frames: usize) -> f32 {
    let others = correlations.len() / frames.max(1);
    let best = correlations
        .chunks_exact(others.max(1))
        .skip(1)
        .map(|line| line.iter().copied().fold(0.0, f32::max));
    best.sum::<f32>() / frames.saturating_sub(1).max(1) as f32
}

/// How much a clip returns to earlier pictures, 0 to 1: the mean over the frames of the largest
/// rise in similarity from an earlier moment, at which the clip had moved away, to one before that.
/// Loops and clips that run back and forth give nearly 1. A still clip, or one that only moves on,
/// gives 0. `correlations` is the clip's with itself.
pub fn recurrence(correlations: &[f32], frames: usize) -> f32 {
    let mut sum = 0.0;
    for (frame, line) in correlations.chunks_exact(frames.max(1)).enumerate() {
        // The first frame has no change from itself, so it is similar to no other.
        let (mut lowest, mut largest) = (1.0_f32, 0.0_f32);
        for likeness in line.iter().take(frame).skip(1).rev() {
            lowest = lowest.min(*likeness);
            largest = largest.max(likeness - lowest);
        }
        sum += largest;
    }
    sum / frames.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Likeness of moments that lie `distance` apart on the way that the clip takes.
    fn clip(place: impl Fn(usize) -> f32) -> Vec<f32> {
        let likeness = |a: usize, b: usize| (1.0 - (place(a) - place(b)).abs() / 10.0).max(0.0);
        (0..40).flat_map(|a| (0..40).map(move |b| (a, b))).map(|(a, b)| likeness(a, b)).collect()
    }

    #[test]
    fn loops_and_returns_recur_and_going_on_and_standing_still_do_not() {
        assert_eq!(recurrence(&clip(|frame| frame as f32), 40), 0.0);
        assert_eq!(recurrence(&clip(|_| 3.0), 40), 0.0);
        assert!(recurrence(&clip(|frame| (frame % 20) as f32), 40) > 0.4);
        assert!(recurrence(&clip(|frame| frame.min(40 - frame) as f32), 40) > 0.2);
        assert_eq!(recurrence(&[], 0), 0.0);
    }

    #[test]
    fn likeness_at_the_same_time_and_at_the_best() {
        let later = clip(|frame| frame as f32);
        assert_eq!(agreement(&later, 40), [1.0; 39]);
        assert_eq!(most_alike(&[0.1, 0.9, 0.9, 0.5, 0.2, 0.1], 2), [1, 0]);
        assert_eq!(replayed_detail(&[9.0, 9.0, 0.0, 1.0, 0.5, 0.0]), 0.5);
        assert_eq!(replayed_detail(&[]), 0.0);
    }

    #[test]
    fn a_replay_finds_each_frame_somewhere() {
        assert_eq!(replay(&clip(|frame| frame as f32), 40), 1.0);
        assert_eq!(replay(&[1.0, 0.0, 0.5, -1.0], 2), 0.5);
        assert_eq!(replay(&[], 0), 0.0);
    }
}

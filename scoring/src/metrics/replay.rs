//! How alike the moments of clips are, and whether a clip shows the same twice.
//!
//! Both are measured on the change from the first frame, which every answer is given, so that a
//! still background proves nothing.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Smaller changes, as a mean square, are rounding and have a similarity of 0.
pub(super) const LEAST_DETAIL: f32 = 1e-7;

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

/// For each frame the most similar frame of the other clip, the earliest of equal ones.
/// `correlations` is `[frames, others]`.
pub(crate) fn most_alike(correlations: &[f32], frames: usize) -> Vec<usize> {
    let others = (correlations.len() / frames.max(1)).max(1);
    let best = |line: &[f32]| {
        (0..line.len()).rev().max_by(|a, b| line[*a].total_cmp(&line[*b])).unwrap_or(0)
    };
    correlations.chunks_exact(others).map(best).collect()
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
    fn the_most_alike_is_the_earliest_of_equal_ones() {
        assert_eq!(most_alike(&[0.1, 0.9, 0.9, 0.5, 0.2, 0.1], 2), [1, 0]);
    }
}

//! The distance of colours, brightness or motions, without regard to detail.
//!
//! Structural similarity of luma ignores a wrong hue and nearly ignores a wrong brightness; this
//! does not. For two flows it is the end-point error (Baker and others, "A database and evaluation
//! methodology for optical flow", 2011).

use super::{frame_means, per_pair};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// The share of places whose mean is the largest local distance.
pub(super) const LOCAL_PART: f32 = 0.02;

/// Mean length of the difference per place `[r * c']` over all maps of `[n, c, r, c']`, in units of
/// the maps.
pub(crate) fn distance_by_place<B: Backend>(
    left: &Tensor<B, 4>,
    right: &Tensor<B, 4>,
) -> Tensor<B, 1> {
    let [_, _, rows, columns] = left.dims();
    (left.clone() - right.clone()).square().sum_dim(1).sqrt().mean_dim(0).reshape([rows * columns])
}

/// The distance where it is largest: the mean over the worst fiftieth of all places, at least one.
/// An overlay differs at the same places all the time, while slightly different motion differs here
/// and there.
pub(crate) fn local_distance(by_place: &[f32]) -> f32 {
    let mut sorted = by_place.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    sorted.truncate(((by_place.len() as f32 * LOCAL_PART) as usize).max(1));
    (sorted.iter().map(|value| f64::from(*value)).sum::<f64>() / sorted.len().max(1) as f64) as f32
}

/// Mean length of the difference per map of `[n, c, r, c']`: of low-resolution luma (one channel),
/// chroma (blue and red difference) or flow (rightward and downward motion), in units of the maps.
pub(crate) fn distance<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_pair(left, right, |left, right| frame_means((left - right).square().sum_dim(1).sqrt()))
}

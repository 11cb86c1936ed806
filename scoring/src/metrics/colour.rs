//! The distance of colours, brightness or motions, without regard to detail.
//!
//! Structural similarity of luma ignores a wrong hue and nearly ignores a wrong brightness; this
//! does not. For two flows it is the end-point error (Baker and others, "A database and evaluation
//! methodology for optical flow", 2011).

use super::{frame_means, per_frame};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Mean length of the difference per map of `[n, c, r, c']`: of low-resolution luma (one channel),
/// chroma (blue and red difference) or flow (rightward and downward motion), in units of the maps.
pub(crate) fn distance<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_frame([left, right], |[left, right]| frame_means((left - right).square().sum_dim(1).sqrt()))
}

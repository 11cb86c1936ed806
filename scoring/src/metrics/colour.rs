//! How far colours, brightness or motions are apart where detail does not matter.
//!
//! Structural similarity of luma does not see a wrong hue, and hardly a wrong brightness; this does. Of two flows it is
//! the end-point error (Baker and others, "A database and evaluation methodology for optical flow", 2011).

use super::{frame_means, per_pair};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Mean length of the difference per map of `[n, c, r, c']`: of low-resolution luma (one channel), chroma (blue and red
/// difference) or flow (rightward and downward motion), in units of the maps.
pub fn distance<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_pair(left, right, |left, right| frame_means((left - right).square().sum_dim(1).sqrt()))
}

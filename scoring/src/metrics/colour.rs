//! How far colours are apart where detail does not matter.
//!
//! Structural similarity of luma does not see a wrong hue, and hardly a wrong brightness; these do.

use super::{frame_means, per_pair};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Mean absolute difference per frame of low-resolution pictures of luma.
pub fn colour_distance<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_pair(left, right, |left, right| frame_means((left - right).abs()))
}

/// Mean distance per frame in the chroma plane; both tensors are `[n, 2, h, w]`, blue and red difference.
pub fn chroma_distance<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_pair(left, right, |left, right| frame_means((left - right).square().sum_dim(1).sqrt()))
}

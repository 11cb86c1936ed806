//! Amount and smoothness of motion, from optical flow `[n, 2, r, c]` in pixels per step.
//!
//! VBench (Huang and others, 2024) calls the amount "dynamic degree", and measures smoothness by
//! how well a frame can be guessed from its neighbours. Here the flow itself is compared: smooth
//! motion keeps its flow from one step to the next.

use super::frame_means;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Less motion counts as none: a twentieth of a pixel, as rounding and codecs cause.
pub(super) const STILL: f32 = 0.05;

/// Length of each vector: `[n, 2, r, c]` becomes `[n, 1, r, c]`.
fn lengths<B: Backend>(flow: Tensor<B, 4>) -> Tensor<B, 4> {
    flow.square().sum_dim(1).sqrt()
}

/// Mean length of the motion per step, in pixels.
pub(crate) fn motion_amount<B: Backend>(flow: &Tensor<B, 4>) -> Tensor<B, 1> {
    frame_means(lengths(flow.clone()))
}

/// Smoothness per pair of neighbouring steps, `[n - 1]`: 1 where the flow stays the same, 0 where
/// it reverses.
pub(crate) fn motion_smoothness<B: Backend>(flow: &Tensor<B, 4>) -> Tensor<B, 1> {
    let steps = flow.dims()[0];
    let (before, after) = (flow.clone().slice([0..steps - 1]), flow.clone().slice([1..steps]));
    let change = frame_means(lengths(after.clone() - before.clone()));
    let motion = frame_means(lengths(after)) + frame_means(lengths(before));
    (change / (motion + STILL)) * -1.0 + 1.0
}

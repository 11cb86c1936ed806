//! Changes of a clip over time. VBench's temporal flickering (Huang and others, 2024) is the plain
//! frame difference.

use super::frame_means;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Change from each frame to the next: `[n, c, h, w]` becomes `[n - 1, c, h, w]`.
fn steps<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 4> {
    let frames = pictures.dims()[0];
    pictures.clone().slice([1..frames]) - pictures.clone().slice([0..frames - 1])
}

/// Mean absolute difference of neighbouring frames, one value per step.
pub(crate) fn frame_difference<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 1> {
    frame_means(steps(pictures).abs())
}

/// Mean absolute difference of each frame to the first, `[n]`.
pub(crate) fn change_from_first<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 1> {
    frame_means((pictures.clone() - pictures.clone().slice([0..1])).abs())
}

/// Change of the whole frame's brightness per step: pumping and flashing.
pub(crate) fn flicker<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 1> {
    frame_means(steps(pictures)).abs()
}

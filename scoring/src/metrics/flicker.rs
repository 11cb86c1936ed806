//! Changes over time that the source lacks.
//!
//! Lai and others, "Learning blind video temporal consistency", 2018, warp each frame by the
//! source's flow and call what is left flicker. That is [`super::warping_error`]. Here the source's
//! own change between the same two frames is subtracted instead of a warp, which is exact where the
//! answer follows the source and ignores no part of the picture. VBench's temporal flickering
//! (2024) is the plain frame difference.

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

/// Mean absolute change per step that the source lacks, at low resolution.
pub(crate) fn motion_excess<B: Backend>(
    answer: &Tensor<B, 4>,
    source: &Tensor<B, 4>,
) -> Tensor<B, 1> {
    frame_means((steps(answer) - steps(source)).abs())
}

/// Change of the whole frame's brightness per step that the source lacks: pumping and flashing.
pub(crate) fn flicker<B: Backend>(answer: &Tensor<B, 4>, source: &Tensor<B, 4>) -> Tensor<B, 1> {
    frame_means(steps(answer) - steps(source)).abs()
}

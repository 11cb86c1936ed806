//! Applies a metric frame by frame.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Frame `index` of a picture tensor, as a tensor of one frame.
pub(crate) fn frame<B: Backend>(pictures: &Tensor<B, 4>, index: usize) -> Tensor<B, 4> {
    pictures.clone().slice([index..index + 1])
}

/// Mean of each frame over all its other dimensions.
pub(crate) fn frame_means<B: Backend>(pictures: Tensor<B, 4>) -> Tensor<B, 1> {
    let frames = pictures.dims()[0];
    pictures.mean_dims(&[1, 2, 3]).reshape([frames])
}

/// Applies `measure` to each frame of one tensor.
pub(crate) fn per_frame<B: Backend>(
    pictures: &Tensor<B, 4>,
    mut measure: impl FnMut(Tensor<B, 4>) -> Tensor<B, 1>,
) -> Tensor<B, 1> {
    Tensor::cat((0..pictures.dims()[0]).map(|index| measure(frame(pictures, index))).collect(), 0)
}

/// Applies `measure` to each pair of frames of two tensors of one shape.
pub(crate) fn per_pair<B: Backend>(
    left: &Tensor<B, 4>,
    right: &Tensor<B, 4>,
    mut measure: impl FnMut(Tensor<B, 4>, Tensor<B, 4>) -> Tensor<B, 1>,
) -> Tensor<B, 1> {
    Tensor::cat(
        (0..left.dims()[0]).map(|index| measure(frame(left, index), frame(right, index))).collect(),
        0,
    )
}

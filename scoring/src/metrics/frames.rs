//! Frames of a tensor of pictures: one by one, and at half size.

use crate::device::is_cpu;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::avg_pool2d;

/// Frame `index` of a picture tensor, as a tensor of one frame.
pub(crate) fn frame<B: Backend>(pictures: &Tensor<B, 4>, index: usize) -> Tensor<B, 4> {
    pictures.clone().slice([index..index + 1])
}

/// Mean of each 2x2 block; an odd last row or column is dropped.
pub(crate) fn halve<B: Backend>(pictures: Tensor<B, 4>) -> Tensor<B, 4> {
    avg_pool2d(pictures, [2, 2], [2, 2], [0, 0], false, false)
}

/// Mean of each frame over all its other dimensions.
pub(crate) fn frame_means<B: Backend>(pictures: Tensor<B, 4>) -> Tensor<B, 1> {
    let frames = pictures.dims()[0];
    pictures.mean_dims(&[1, 2, 3]).reshape([frames])
}

/// Applies `measure` to `N` tensors of one shape; it gives one value for each frame. A device gets
/// all frames at once, since each of its kernels has to be launched. burn's CPU backend gets one
/// after the other, because intermediate results then stay in the cache.
pub(crate) fn per_frame<B: Backend, const N: usize>(
    pictures: [&Tensor<B, 4>; N],
    mut measure: impl FnMut([Tensor<B, 4>; N]) -> Tensor<B, 1>,
) -> Tensor<B, 1> {
    if !is_cpu::<B>() {
        return measure(pictures.map(Tensor::clone));
    }
    let frames = 0..pictures[0].dims()[0];
    Tensor::cat(frames.map(|index| measure(pictures.map(|of| frame(of, index)))).collect(), 0)
}

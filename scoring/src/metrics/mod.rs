//! Measures of pictures and of motion, each on tensors of any backend, each in the file of its name.
//!
//! Pictures are `[frames, 1, height, width]` with values from 0 to 1 (a byte divided by 255). Results are one value per
//! frame, `[frames]`, still on the device, so that a caller reads many results back at once.
//!
//! On the CPU backend one frame at a time is faster than a batch, because a frame's intermediate results then stay in
//! the cache; functions here loop over frames for that reason.

mod blockiness;
mod colour;
mod flicker;
mod flow;
mod freeze;
mod gaussian;
mod noise;
mod psnr;
mod registration;
mod sharpness;
mod ssim;

pub use blockiness::blockiness;
pub use colour::{chroma_distance, colour_distance};
pub use flicker::{flicker, frame_difference, motion_excess};
pub use flow::{FlowSettings, lucas_kanade};
pub use freeze::{held_fraction, longest_hold};
pub use noise::noise_sigma;
pub use psnr::psnr;
pub use registration::{Shift, align, register};
pub use sharpness::laplacian_variance;
pub use ssim::{ms_ssim, ssim};

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
    Tensor::cat((0..left.dims()[0]).map(|index| measure(frame(left, index), frame(right, index))).collect(), 0)
}

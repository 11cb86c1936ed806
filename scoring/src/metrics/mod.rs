//! Measures of pictures and of motion, each on tensors of any backend, each in the file of its
//! name.
//!
//! Pictures are `[frames, 1, height, width]` with values from 0 to 1 (a byte divided by 255).
//! Results are one value per frame, `[frames]`.
//!
//! On burn's CPU backend one frame at a time is faster than a batch, because a frame's intermediate
//! results then stay in the cache; functions here loop over frames for that reason.
//!
//! These functions define the metrics. [`Kernels`] offers them all behind one trait, and has a
//! second implementation: [`Host`] computes the same in fused loops, several times as fast as any
//! sequence of tensor operations can on a CPU, and to the same bits on every x86-64 processor with
//! any number of cores, but for the last bit of powers and logarithms. Tests hold both to each
//! other, and the self test does so on the validator's own device.

mod blockiness;
mod camera;
mod colour;
mod constants;
mod flicker;
mod flow;
mod freeze;
mod gaussian;
mod host;
mod kernels;
mod motion;
mod noise;
mod psnr;
mod registration;
mod replay;
mod sharpness;
mod ssim;
mod warping;

pub use blockiness::blockiness;
pub use camera::{Camera, camera};
pub use colour::{distance, distance_by_place, local_distance};
pub(crate) use constants::constants;
pub use flicker::{change_from_first, flicker, frame_difference, motion_excess};
pub use flow::lucas_kanade;
pub use freeze::{held_fraction, longest_hold};
pub use host::{Host, HostPictures};
pub use kernels::{Grid, Kernels, Tensors};
pub use motion::{motion_amount, motion_direction, motion_smoothness};
pub use noise::noise_sigma;
pub use psnr::psnr;
pub use registration::{Shift, align, register};
pub use replay::{
    agreement, correlations, detail_correlation, most_alike, recurrence, replay, replayed_detail,
};
pub use sharpness::laplacian_variance;
pub use ssim::{ms_ssim, ssim};
pub use warping::{visible, warping_error};

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

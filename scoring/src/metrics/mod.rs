//! Metrics of pictures and of motion, each in the file of its name, on tensors of any backend.
//!
//! Pictures are `[frames, 1, height, width]` with values from 0 to 1 (a byte divided by 255).
//! Results are one value per frame, `[frames]`.
//!
//! Functions loop over frames: on burn's CPU backend one frame at a time is faster than a batch,
//! because its intermediate results then stay in the cache.
//!
//! These functions define the metrics. [`Kernels`] offers all of them behind one trait and has two
//! implementations. [`Tensors`] calls these functions. [`Host`] computes the same in fused loops,
//! several times as fast as tensor operations on a CPU, and to the same bits on every x86-64
//! processor with any number of cores, except for the last bit of powers and logarithms. Tests
//! compare both, and so does the self-test on the validator's own device.

mod blockiness;
mod camera;
mod colour;
mod constants;
mod flicker;
mod flow;
mod frames;
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

pub(crate) use blockiness::blockiness;
pub use camera::Camera;
pub(crate) use camera::camera;
pub(crate) use colour::{distance, distance_by_place, local_distance};
pub(crate) use constants::constants;
pub(crate) use flicker::{change_from_first, flicker, frame_difference, motion_excess};
pub(crate) use flow::lucas_kanade;
pub(crate) use frames::{frame, frame_means, per_frame, per_pair};
pub(crate) use freeze::held_fraction;
pub use freeze::longest_hold;
pub use host::{Host, HostPictures};
pub use kernels::{Grid, Kernels, Tensors};
pub(crate) use motion::{motion_amount, motion_direction, motion_smoothness};
pub(crate) use noise::noise_sigma;
pub(crate) use psnr::psnr;
pub use registration::Shift;
pub(crate) use registration::{align, register};
pub(crate) use replay::{agreement, correlations, detail_correlation, most_alike, replayed_detail};
pub use replay::{recurrence, replay};
pub(crate) use sharpness::laplacian_variance;
pub(crate) use ssim::{ms_ssim, ssim};
pub(crate) use warping::{visible, warping_error};

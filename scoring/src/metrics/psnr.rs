//! Peak signal-to-noise ratio.

use super::{frame_means, per_pair};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// The least mean squared error, which gives 100 dB. Equal frames would give infinity.
pub(super) const LEAST_ERROR: f32 = 1e-10;

/// Decibels per frame for pictures from 0 to 1: `-10 log10(mean squared error)`, at most 100.
pub(crate) fn psnr<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_pair(left, right, |left, right| {
        let error = frame_means((left - right).square()).clamp_min(LEAST_ERROR);
        error.log() * (-10.0 / std::f32::consts::LN_10)
    })
}

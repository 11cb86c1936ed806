//! Peak signal-to-noise ratio.

use super::{HostPictures, PictureMetric, frame_means, per_frame};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// The least mean squared error, which gives 100 dB. Equal frames would give infinity.
pub(super) const LEAST_ERROR: f32 = 1e-10;

/// Decibels per frame for pictures from 0 to 1: `-10 log10(mean squared error)`, at most 100.
#[derive(Debug, Clone, Copy)]
pub struct Psnr;

impl PictureMetric<2> for Psnr {
    const NAME: &'static str = "psnr";
    const LABEL: &'static str = "PSNR";

    fn on_tensors<B: Backend>(pictures: [&Tensor<B, 4>; 2]) -> Tensor<B, 1> {
        per_frame(pictures, |[left, right]| {
            let error = frame_means((left - right).square()).clamp_min(LEAST_ERROR);
            error.log() * (-10.0 / std::f32::consts::LN_10)
        })
    }

    fn in_loops([left, right]: [&HostPictures<'_>; 2]) -> Vec<f32> {
        let decibels = |error: f64| (-10.0 * error.max(f64::from(LEAST_ERROR)).log10()) as f32;
        left.each(|frame| decibels(left.mean_difference(right, frame, true)))
    }
}

//! Structural similarity and its multi-scale form.
//!
//! Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
//! similarity", 2004: 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, windows inside the
//! picture only, population covariances. That is scikit-image's
//! `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
//! data_range=1)` averaged without its border of 5 pixels.
//!
//! Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", 2003:
//! five scales.

use super::gaussian::{filter_valid, gaussian_weights};
use super::{frame_means, per_pair};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::avg_pool2d;

pub(super) const TAPS: usize = 11;
pub(super) const SIGMA: f64 = 1.5;
pub(super) const C1: f32 = 0.01 * 0.01;
pub(super) const C2: f32 = 0.03 * 0.03;
/// E[x^2] - E[x]^2 cancels in 32 bits; with the middle of the range taken off first it agrees with
/// 64 bits to 1e-7.
pub(super) const OFFSET: f32 = 0.5;
/// Exponents of the scales, finest first.
pub(super) const SCALE_WEIGHTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Mean structural similarity per frame, -1 to 1, of two `[n, 1, h, w]` tensors with sides of at
/// least 11.
pub(crate) fn ssim<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    let weights = gaussian_weights(TAPS, SIGMA);
    per_pair(left, right, |left, right| {
        let (luminance, contrast) = similarity_maps(left, right, &weights);
        frame_means(luminance * contrast)
    })
}

/// Multi-scale structural similarity per frame, 0 to 1; sides of at least 176, so that the coarsest
/// scale holds a window.
pub(crate) fn ms_ssim<B: Backend>(left: &Tensor<B, 4>, right: &Tensor<B, 4>) -> Tensor<B, 1> {
    let weights = gaussian_weights(TAPS, SIGMA);
    per_pair(left, right, |left, right| {
        let (mut left, mut right) = (left, right);
        let mut product: Option<Tensor<B, 1>> = None;
        for (scale, exponent) in SCALE_WEIGHTS.iter().enumerate() {
            if scale > 0 {
                left = halve(left);
                right = halve(right);
            }
            let (luminance, contrast) = similarity_maps(left.clone(), right.clone(), &weights);
            let last = scale + 1 == SCALE_WEIGHTS.len();
            let mean = frame_means(if last { luminance * contrast } else { contrast });
            // A negative structure term has no real power; both references clamp it so.
            let factor = mean.clamp_min(0.0).powf_scalar(*exponent);
            product = Some(match product {
                Some(product) => product * factor,
                None => factor,
            });
        }
        product.unwrap_or_else(|| Tensor::zeros([1], &left.device()))
    })
}

/// Mean of each 2x2 block; an odd last row or column is dropped.
pub(super) fn halve<B: Backend>(pictures: Tensor<B, 4>) -> Tensor<B, 4> {
    avg_pool2d(pictures, [2, 2], [2, 2], [0, 0], false, false)
}

/// Luminance term and contrast-structure term at every window position of one frame.
fn similarity_maps<B: Backend>(
    left: Tensor<B, 4>,
    right: Tensor<B, 4>,
    weights: &[f32],
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let (left, right) = (left - OFFSET, right - OFFSET);
    // Only the sum of both variances is asked for, so the squares are filtered together.
    let squares = left.clone().square() + right.clone().square();
    let maps = vec![left.clone(), right.clone(), squares, left * right];
    let filtered = filter_valid(Tensor::cat(maps, 0), weights);
    let map = |index: usize| super::frame(&filtered, index);
    let (left, right) = (map(0), map(1));
    let variances = map(2) - left.clone().square() - right.clone().square();
    let covariance = map(3) - left.clone() * right.clone();
    let (left, right) = (left + OFFSET, right + OFFSET);
    let luminance =
        (left.clone() * right.clone() * 2.0 + C1) / (left.square() + right.square() + C1);
    let contrast = (covariance * 2.0 + C2) / (variances + C2);
    (luminance, contrast)
}

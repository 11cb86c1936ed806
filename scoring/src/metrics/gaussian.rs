//! Separable filters by two one-dimensional convolutions.

use crate::device::transfer::tensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// Weights of a Gaussian of standard deviation `sigma` over `taps` samples, summing to 1; computed
/// in 64 bits.
pub(super) fn gaussian_weights(taps: usize, sigma: f64) -> Vec<f32> {
    let middle = (taps as f64 - 1.0) / 2.0;
    let raw: Vec<f64> =
        (0..taps).map(|i| (-(i as f64 - middle).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Filters rows and columns with `weights`, keeping only places where the window lies inside the
/// picture: `[n, 1, h, w]` becomes `[n, 1, h - taps + 1, w - taps + 1]`.
pub(super) fn filter_valid<B: Backend>(pictures: Tensor<B, 4>, weights: &[f32]) -> Tensor<B, 4> {
    filter(pictures, weights, 0)
}

/// Like [`filter_valid`] with zeros around the picture, so that the size stays; `weights` has an
/// odd length.
pub(super) fn filter_same<B: Backend>(pictures: Tensor<B, 4>, weights: &[f32]) -> Tensor<B, 4> {
    filter(pictures, weights, weights.len() / 2)
}

fn filter<B: Backend>(pictures: Tensor<B, 4>, weights: &[f32], padding: usize) -> Tensor<B, 4> {
    let device = pictures.device();
    let taps = weights.len();
    let kernel = |shape: [usize; 4]| tensor::<B, 4>(weights.to_vec(), shape, &device);
    let options = |padding: [usize; 2]| ConvOptions::new([1, 1], padding, [1, 1], 1);
    let rows = conv2d(pictures, kernel([1, 1, 1, taps]), None, options([0, padding]));
    conv2d(rows, kernel([1, 1, taps, 1]), None, options([padding, 0]))
}

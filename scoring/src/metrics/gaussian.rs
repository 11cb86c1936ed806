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

/// A filter of rows and columns by the same weights, copied to a device once for all pictures.
#[derive(Debug)]
pub(super) struct Filter<B: Backend> {
    rows: Tensor<B, 4>,
    columns: Tensor<B, 4>,
    padding: usize,
}

impl<B: Backend> Filter<B> {
    /// Keeps only places where the window lies inside the picture: `[n, 1, h, w]` becomes
    /// `[n, 1, h - taps + 1, w - taps + 1]`.
    pub(super) fn valid(weights: &[f32], device: &B::Device) -> Self {
        Self::padded(weights, 0, device)
    }

    /// Like [`Filter::valid`] with zeros around the picture, so that the size stays; `weights` has
    /// an odd length.
    pub(super) fn same(weights: &[f32], device: &B::Device) -> Self {
        Self::padded(weights, weights.len() / 2, device)
    }

    fn padded(weights: &[f32], padding: usize, device: &B::Device) -> Self {
        let taps = weights.len();
        let kernel = |shape: [usize; 4]| tensor::<B, 4>(weights.to_vec(), shape, device);
        Self { rows: kernel([1, 1, 1, taps]), columns: kernel([1, 1, taps, 1]), padding }
    }

    pub(super) fn apply(&self, pictures: Tensor<B, 4>) -> Tensor<B, 4> {
        let options = |padding: [usize; 2]| ConvOptions::new([1, 1], padding, [1, 1], 1);
        let rows = conv2d(pictures, self.rows.clone(), None, options([0, self.padding]));
        conv2d(rows, self.columns.clone(), None, options([self.padding, 0]))
    }
}

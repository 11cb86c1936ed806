//! How much random noise a picture carries.
//!
//! Immerkær, "Fast noise variance estimation", 1996: the mean absolute response to the difference
//! of two Laplacians, which straight edges and slopes leave at zero. Fine texture counts as noise,
//! so the result has to be compared with a source's, not with a constant.

use super::{frame_means, per_frame};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// The difference of two Laplacians.
pub(super) const KERNEL: [[f32; 3]; 3] = [[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]];

/// Estimated standard deviation of the noise per frame, in units of the pictures.
pub(crate) fn noise_sigma<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 1> {
    let kernel = Tensor::<B, 2>::from_floats(KERNEL, &pictures.device()).reshape([1, 1, 3, 3]);
    let factor = (std::f32::consts::PI / 2.0).sqrt() / 6.0;
    per_frame(pictures, |picture| {
        let response =
            conv2d(picture, kernel.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
        frame_means(response.abs()) * factor
    })
}

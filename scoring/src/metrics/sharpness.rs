//! Sharpness by the variance of the Laplacian.
//!
//! Pech-Pacheco and others, "Diatom autofocusing in brightfield microscopy: a comparative study",
//! 2000. The same kernel as OpenCV's `Laplacian` of aperture 1, over the interior of the picture.

use super::{frame_means, per_frame};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// The kernel.
pub(super) const LAPLACIAN: [[f32; 3]; 3] = [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]];

/// Variance of the Laplacian per frame, in squared units of the pictures.
pub(crate) fn laplacian_variance<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 1> {
    let kernel = Tensor::<B, 2>::from_floats(LAPLACIAN, &pictures.device()).reshape([1, 1, 3, 3]);
    per_frame(pictures, |picture| {
        let edges =
            conv2d(picture, kernel.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
        let mean = edges.clone().mean_dims(&[1, 2, 3]);
        frame_means((edges - mean).square())
    })
}

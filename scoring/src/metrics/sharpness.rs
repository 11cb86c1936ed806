//! Sharpness by the variance of the Laplacian.
//!
//! Pech-Pacheco and others, "Diatom autofocusing in brightfield microscopy: a comparative study",
//! 2000. The same kernel as OpenCV's `Laplacian` of aperture 1, over the interior of the picture.

use super::host::sums::sum_row;
use super::host::wide::wide;
use super::{HostPictures, PictureMetric, frame_means, per_frame};
use crate::device::transfer::tensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// The kernel.
pub(super) const LAPLACIAN: [[f32; 3]; 3] = [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]];

/// Variance of the Laplacian per frame, in squared units of the pictures.
#[derive(Debug, Clone, Copy)]
pub struct Sharpness;

impl PictureMetric<1> for Sharpness {
    const NAME: &'static str = "laplacian_variance";
    const LABEL: &'static str = "sharpness, half size";
    const AT_HALF_SIZE: bool = true;

    fn on_tensors<B: Backend>(pictures: [&Tensor<B, 4>; 1]) -> Tensor<B, 1> {
        let device = pictures[0].device();
        let kernel = tensor::<B, 4>(LAPLACIAN.as_flattened().to_vec(), [1, 1, 3, 3], &device);
        per_frame(pictures, |[picture]| {
            let edges =
                conv2d(picture, kernel.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
            let mean = edges.clone().mean_dims(&[1, 2, 3]);
            frame_means((edges - mean).square())
        })
    }

    fn in_loops([pictures]: [&HostPictures<'_>; 1]) -> Vec<f32> {
        pictures.each(|frame| variance(pictures, frame) as f32)
    }
}

wide! {
    /// The variance from both moments. The response's mean is near 0, so 64 bits lose nothing.
    fn variance(pictures: &HostPictures<'_>, frame: usize) -> f64 {
        let (height, width) = pictures.size();
        let columns = width - 2;
        let (mut lines, mut response) = (vec![vec![0.0; width]; 3], vec![0.0; columns]);
        let (mut sum, mut squares) = (0.0, 0.0);
        for row in 0..height {
            pictures.load(frame, row, 0, &mut lines[row % 3]);
            if row < 2 {
                continue;
            }
            let (above, middle, below) =
                (&lines[(row + 1) % 3], &lines[(row + 2) % 3], &lines[row % 3]);
            laplacian_row(above, middle, below, &mut response);
            let response = &response[..columns];
            sum += sum_row(columns, |i| response[i]);
            squares += sum_row(columns, |i| response[i] * response[i]);
        }
        let count = ((height - 2) * columns) as f64;
        squares / count - (sum / count) * (sum / count)
    }
}

/// Response of the four-neighbour Laplacian at the inner pixels of the middle row.
#[inline(always)]
fn laplacian_row(above: &[f32], middle: &[f32], below: &[f32], into: &mut [f32]) {
    let columns = into.len();
    let (above, below) = (&above[1..=columns], &below[1..=columns]);
    let (left, middle, right) = (&middle[..columns], &middle[1..=columns], &middle[2..columns + 2]);
    for i in 0..columns {
        into[i] = above[i] + below[i] + (left[i] + right[i]) - 4.0 * middle[i];
    }
}

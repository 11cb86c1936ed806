//! How much random noise a picture carries.
//!
//! Immerkær, "Fast noise variance estimation", 1996: the mean absolute response to the difference
//! of two Laplacians, which straight edges and slopes leave at zero. Fine texture counts as noise,
//! so the result has to be compared with a source's, not with a constant.

use super::host::sums::sum_row;
use super::host::wide::wide;
use super::{HostPictures, PictureMetric, frame_means, per_frame};
use crate::device::transfer::tensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

/// The difference of two Laplacians.
pub(super) const KERNEL: [[f32; 3]; 3] = [[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]];

/// Estimated standard deviation of the noise per frame, in units of the pictures.
#[derive(Debug, Clone, Copy)]
pub struct Noise;

impl PictureMetric<1> for Noise {
    const NAME: &'static str = "noise_sigma";
    const LABEL: &'static str = "noise";

    fn on_tensors<B: Backend>(pictures: [&Tensor<B, 4>; 1]) -> Tensor<B, 1> {
        let device = pictures[0].device();
        let kernel = tensor::<B, 4>(KERNEL.as_flattened().to_vec(), [1, 1, 3, 3], &device);
        let factor = (std::f32::consts::PI / 2.0).sqrt() / 6.0;
        per_frame(pictures, |[picture]| {
            let response =
                conv2d(picture, kernel.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
            frame_means(response.abs()) * factor
        })
    }

    fn in_loops([pictures]: [&HostPictures<'_>; 1]) -> Vec<f32> {
        let factor = (std::f64::consts::PI / 2.0).sqrt() / 6.0;
        pictures.each(|frame| (mean_response(pictures, frame) * factor) as f32)
    }
}

wide! {
    fn mean_response(pictures: &HostPictures<'_>, frame: usize) -> f64 {
        let (height, width) = pictures.size();
        let columns = width - 2;
        let (mut lines, mut down) = (vec![vec![0.0; width]; 3], vec![0.0; width]);
        let mut sum = 0.0;
        for row in 0..height {
            pictures.load(frame, row, 0, &mut lines[row % 3]);
            if row < 2 {
                continue;
            }
            let (above, middle, below) =
                (&lines[(row + 1) % 3], &lines[(row + 2) % 3], &lines[row % 3]);
            let (above, middle, below) = (&above[..width], &middle[..width], &below[..width]);
            for (i, down) in down.iter_mut().enumerate().take(width) {
                *down = above[i] + below[i] - 2.0 * middle[i];
            }
            let (left, middle, right) =
                (&down[..columns], &down[1..=columns], &down[2..columns + 2]);
            sum += sum_row(columns, |i| (left[i] + right[i] - 2.0 * middle[i]).abs());
        }
        sum / ((height - 2) * columns) as f64
    }
}

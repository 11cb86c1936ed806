//! Metrics of single pictures that read each pixel and its neighbours once.

use super::pictures::HostPictures;
use super::sums::sum_row;
use super::wide::wide;
use crate::metrics::blockiness::{BLOCK, FLOOR};
use crate::metrics::psnr::LEAST_ERROR;
use crate::metrics::replay::LEAST_DETAIL;

/// See [`crate::metrics::psnr`].
pub(super) fn psnr(left: &HostPictures<'_>, right: &HostPictures<'_>) -> Vec<f32> {
    let decibels = |error: f64| (-10.0 * error.max(f64::from(LEAST_ERROR)).log10()) as f32;
    left.each(|frame| decibels(mean_squared_error(left, right, frame)))
}

wide! {
    fn mean_squared_error(left: &HostPictures<'_>, right: &HostPictures<'_>, frame: usize) -> f64 {
        let (height, width) = left.size();
        let (mut x, mut y) = (vec![0.0; width], vec![0.0; width]);
        let mut sum = 0.0;
        for row in 0..height {
            left.load(frame, row, 0, &mut x);
            right.load(frame, row, 0, &mut y);
            let (x, y) = (&x[..width], &y[..width]);
            sum += sum_row(width, |i| (x[i] - y[i]) * (x[i] - y[i]));
        }
        sum / (height * width) as f64
    }
}

/// See [`crate::metrics::laplacian_variance`].
pub(super) fn laplacian_variance(pictures: &HostPictures<'_>) -> Vec<f32> {
    pictures.each(|frame| laplacian_moments(pictures, frame) as f32)
}

wide! {
    /// The variance from both moments. The response's mean is near 0, so 64 bits lose nothing.
    fn laplacian_moments(pictures: &HostPictures<'_>, frame: usize) -> f64 {
        let (height, width) = pictures.size();
        let columns = width - 2;
        let (mut lines, mut response) = (vec![vec![0.0; width]; 3], vec![0.0; columns]);
        let (mut sum, mut squares) = (0.0, 0.0);
        for row in 0..height {
            pictures.load(frame, row, 0, &mut lines[row % 3]);
            if row < 2 {
                continue;
            }
            laplacian_row(&lines[(row + 1) % 3], &lines[(row + 2) % 3], &lines[row % 3], &mut response);
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

/// See [`crate::metrics::noise_sigma`].
pub(super) fn noise_sigma(pictures: &HostPictures<'_>) -> Vec<f32> {
    let factor = (std::f64::consts::PI / 2.0).sqrt() / 6.0;
    pictures.each(|frame| (mean_noise_response(pictures, frame) * factor) as f32)
}

wide! {
    fn mean_noise_response(pictures: &HostPictures<'_>, frame: usize) -> f64 {
        let (height, width) = pictures.size();
        let columns = width - 2;
        let (mut lines, mut down) = (vec![vec![0.0; width]; 3], vec![0.0; width]);
        let mut sum = 0.0;
        for row in 0..height {
            pictures.load(frame, row, 0, &mut lines[row % 3]);
            if row < 2 {
                continue;
            }
            let (above, middle, below) = (&lines[(row + 1) % 3], &lines[(row + 2) % 3], &lines[row % 3]);
            let (above, middle, below) = (&above[..width], &middle[..width], &below[..width]);
            for (i, down) in down.iter_mut().enumerate().take(width) {
                *down = above[i] + below[i] - 2.0 * middle[i];
            }
            let (left, middle, right) = (&down[..columns], &down[1..=columns], &down[2..columns + 2]);
            sum += sum_row(columns, |i| (left[i] + right[i] - 2.0 * middle[i]).abs());
        }
        sum / ((height - 2) * columns) as f64
    }
}

/// See [`crate::metrics::blockiness`].
pub(super) fn blockiness(pictures: &HostPictures<'_>) -> Vec<f32> {
    pictures.each(|frame| {
        let (across, down) = mean_steps(pictures, frame);
        ((ratio(&across) + ratio(&down)) / 2.0) as f32
    })
}

wide! {
    /// Mean absolute step at each position along the rows and along the columns.
    fn mean_steps(pictures: &HostPictures<'_>, frame: usize) -> (Vec<f64>, Vec<f64>) {
        let (height, width) = pictures.size();
        let (mut across, mut down) = (vec![0.0_f64; width - 1], Vec::with_capacity(height - 1));
        // Rows of a band are added in 32 bits, bands in 64.
        let mut band = vec![0.0_f32; width - 1];
        let (mut line, mut before) = (vec![0.0; width], vec![0.0; width]);
        for row in 0..height {
            std::mem::swap(&mut line, &mut before);
            pictures.load(frame, row, 0, &mut line);
            let (line, before) = (&line[..width], &before[..width]);
            for ((sum, right), left) in band.iter_mut().zip(&line[1..]).zip(line) {
                *sum += (right - left).abs();
            }
            if row % 16 == 15 || row + 1 == height {
                for (sum, band) in across.iter_mut().zip(&mut band) {
                    *sum += f64::from(std::mem::take(band));
                }
            }
            if row > 0 {
                down.push(sum_row(width, |i| (line[i] - before[i]).abs()) / width as f64);
            }
        }
        across.iter_mut().for_each(|sum| *sum /= height as f64);
        (across, down)
    }
}

fn ratio(steps: &[f64]) -> f64 {
    let blocks = (steps.len() + 1) / BLOCK - 1;
    let grid = steps[BLOCK - 1..].chunks_exact(BLOCK).take(blocks);
    let (mut border, mut inside) = (0.0, 0.0);
    for block in grid {
        border += block[0];
        inside += block[1..].iter().sum::<f64>();
    }
    let mean = |sum: f64, count: usize| sum / count as f64 + f64::from(FLOOR);
    mean(border, blocks) / mean(inside, blocks * (BLOCK - 1))
}

/// See [`crate::metrics::detail_correlation`].
pub(super) fn detail_correlation(left: &HostPictures<'_>, right: &HostPictures<'_>) -> Vec<f32> {
    let (first_left, first_right) = (left.plane(0), right.plane(0));
    let correlations = left.each(|frame| {
        if frame == 0 {
            0.0
        } else {
            change_correlation((left, &first_left), (right, &first_right), frame)
        }
    });
    correlations[1..].to_vec()
}

wide! {
    fn change_correlation(left: (&HostPictures<'_>, &[f32]), right: (&HostPictures<'_>, &[f32]), frame: usize) -> f32 {
        let (height, width) = left.0.size();
        let columns = width - 2;
        let mut lines = [vec![vec![0.0; width]; 3], vec![vec![0.0; width]; 3]];
        let mut responses = [vec![0.0; columns], vec![0.0; columns]];
        let (mut left_squares, mut right_squares, mut products) = (0.0, 0.0, 0.0);
        for row in 0..height {
            for (lines, (pictures, first)) in lines.iter_mut().zip([left, right]) {
                let line = &mut lines[row % 3];
                pictures.load(frame, row, 0, line);
                for (value, first) in line.iter_mut().zip(&first[row * width..]) {
                    *value -= first;
                }
            }
            if row < 2 {
                continue;
            }
            for (lines, response) in lines.iter().zip(&mut responses) {
                laplacian_row(&lines[(row + 1) % 3], &lines[(row + 2) % 3], &lines[row % 3], response);
            }
            let (x, y) = (&responses[0][..columns], &responses[1][..columns]);
            left_squares += sum_row(columns, |i| x[i] * x[i]);
            right_squares += sum_row(columns, |i| y[i] * y[i]);
            products += sum_row(columns, |i| x[i] * y[i]);
        }
        let floor = f64::from(LEAST_DETAIL) * ((height - 2) * columns) as f64;
        (products / ((left_squares + floor) * (right_squares + floor)).sqrt()) as f32
    }
}

/// Mean absolute difference of the first frames.
pub(super) fn difference(left: &HostPictures<'_>, right: &HostPictures<'_>) -> f32 {
    first_difference(left, right) as f32
}

wide! {
    fn first_difference(left: &HostPictures<'_>, right: &HostPictures<'_>) -> f64 {
        let (height, width) = left.size();
        let (mut x, mut y) = (vec![0.0; width], vec![0.0; width]);
        let mut sum = 0.0;
        for row in 0..height {
            left.load(0, row, 0, &mut x);
            right.load(0, row, 0, &mut y);
            let (x, y) = (&x[..width], &y[..width]);
            sum += sum_row(width, |i| (x[i] - y[i]).abs());
        }
        sum / (height * width) as f64
    }
}

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

use super::gaussian::{Filter, gaussian_weights};
use super::host::sums::sum_row;
use super::host::wide::wide;
use super::{HostPictures, PictureMetric, frame_means, halve, per_frame};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

pub(super) const TAPS: usize = 11;
pub(super) const SIGMA: f64 = 1.5;
pub(super) const C1: f32 = 0.01 * 0.01;
pub(super) const C2: f32 = 0.03 * 0.03;
/// E[x^2] - E[x]^2 cancels in 32 bits; with the middle of the range taken off first it agrees with
/// 64 bits to 1e-7.
pub(super) const OFFSET: f32 = 0.5;
/// Exponents of the scales, finest first.
pub(super) const SCALE_WEIGHTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Windows in one strip of a row: strips are narrow enough for the nearest cache.
const STRIP: usize = 128;
/// Columns that these windows cover.
const COVER: usize = STRIP + TAPS - 1;
/// Filtered maps: both pictures, the sum of their squares, their product.
const MAPS: usize = 4;

/// Multi-scale structural similarity per frame, 0 to 1; sides of at least 176, so that the coarsest
/// scale holds a window.
#[derive(Debug, Clone, Copy)]
pub struct MsSsim;

impl PictureMetric<2> for MsSsim {
    const NAME: &'static str = "ms_ssim";
    const LABEL: &'static str = "MS-SSIM, all frames";

    fn on_tensors<B: Backend>(pictures: [&Tensor<B, 4>; 2]) -> Tensor<B, 1> {
        let weights = gaussian_weights(TAPS, SIGMA);
        per_frame(pictures, |[mut left, mut right]| {
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

    fn in_loops([left, right]: [&HostPictures<'_>; 2]) -> Vec<f32> {
        let weights = middle_weights();
        let mut products = vec![1.0_f64; left.len()];
        let (mut left, mut right) = (left.clone(), right.clone());
        for (scale, exponent) in SCALE_WEIGHTS.iter().enumerate() {
            if scale > 0 {
                (left, right) = (left.halve(), right.halve());
            }
            let term = if scale + 1 == SCALE_WEIGHTS.len() { Term::Whole } else { Term::Contrast };
            let means = left.each(|frame| similarity(&left, &right, frame, &weights, term));
            for (product, mean) in products.iter_mut().zip(means) {
                *product *= mean.max(0.0).powf(f64::from(*exponent));
            }
        }
        products.into_iter().map(|product| product as f32).collect()
    }
}

/// Luminance term and contrast-structure term at every window position of each frame.
fn similarity_maps<B: Backend>(
    left: Tensor<B, 4>,
    right: Tensor<B, 4>,
    weights: &[f32],
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let (frames, device) = (left.dims()[0], left.device());
    let (left, right) = (left - OFFSET, right - OFFSET);
    // Only the sum of both variances is asked for, so the squares are filtered together.
    let squares = left.clone().square() + right.clone().square();
    let maps = vec![left.clone(), right.clone(), squares, left * right];
    let filtered = Filter::valid(weights, &device).apply(Tensor::cat(maps, 0));
    let map = |index: usize| filtered.clone().slice([index * frames..(index + 1) * frames]);
    let (left, right) = (map(0), map(1));
    let variances = map(2) - left.clone().square() - right.clone().square();
    let covariance = map(3) - left.clone() * right.clone();
    let (left, right) = (left + OFFSET, right + OFFSET);
    let luminance =
        (left.clone() * right.clone() * 2.0 + C1) / (left.square() + right.square() + C1);
    let contrast = (covariance * 2.0 + C2) / (variances + C2);
    (luminance, contrast)
}

type Line = [f32; COVER];

/// What is averaged over all windows of a frame.
#[derive(Clone, Copy)]
enum Term {
    /// Luminance times contrast-structure.
    Whole,
    /// Contrast-structure.
    Contrast,
}

/// The middle weight and those beside it: the window is symmetric.
fn middle_weights() -> [f32; TAPS / 2 + 1] {
    let weights = gaussian_weights(TAPS, SIGMA);
    std::array::from_fn(|distance| weights[TAPS / 2 + distance])
}

wide! {
    fn similarity(
        left: &HostPictures<'_>,
        right: &HostPictures<'_>,
        frame: usize,
        weights: &[f32; TAPS / 2 + 1],
        term: Term,
    ) -> f64 {
        let (height, width) = left.size();
        let (rows, columns) = (height - TAPS + 1, width - TAPS + 1);
        let mut sum = 0.0;
        let mut ring = vec![[[0.0; COVER]; MAPS]; TAPS];
        for start in (0..columns).step_by(STRIP) {
            let windows = STRIP.min(columns - start);
            for row in 0..height {
                let lines = &mut ring[row % TAPS];
                products(left, right, (frame, row, start), windows + TAPS - 1, lines);
                if row + 1 < TAPS {
                    continue;
                }
                let mut filtered = [[0.0; STRIP]; MAPS];
                for (map, filtered) in filtered.iter_mut().enumerate() {
                    let line: [&Line; TAPS] =
                        std::array::from_fn(|tap| &ring[(row + 1 + tap) % TAPS][map]);
                    filter(line, weights, filtered);
                }
                sum += match term {
                    Term::Whole => whole_terms(&filtered, windows),
                    Term::Contrast => contrast_terms(&filtered, windows),
                };
            }
        }
        sum / (rows * columns) as f64
    }
}

/// One row of the four maps, minus an offset that keeps squares small.
#[inline(always)]
fn products(
    left: &HostPictures<'_>,
    right: &HostPictures<'_>,
    (frame, row, start): (usize, usize, usize),
    count: usize,
    [x, y, squares, product]: &mut [Line; MAPS],
) {
    left.load(frame, row, start, &mut x[..count]);
    right.load(frame, row, start, &mut y[..count]);
    x[count..].fill(OFFSET);
    y[count..].fill(OFFSET);
    for i in 0..COVER {
        x[i] -= OFFSET;
        y[i] -= OFFSET;
        squares[i] = x[i] * x[i] + y[i] * y[i];
        product[i] = x[i] * y[i];
    }
}

/// Filters down, then across. Written out, so that every lane stays in a register.
#[inline(always)]
fn filter(lines: [&Line; TAPS], weights: &[f32; TAPS / 2 + 1], into: &mut [f32; STRIP]) {
    let [a, b, c, d, e, f, g, h, i, j, k] = lines;
    let [w0, w1, w2, w3, w4, w5] = *weights;
    let mut down = [0.0; COVER];
    for (n, sum) in down.iter_mut().enumerate() {
        *sum = w0 * f[n]
            + w1 * (e[n] + g[n])
            + w2 * (d[n] + h[n])
            + w3 * (c[n] + i[n])
            + w4 * (b[n] + j[n])
            + w5 * (a[n] + k[n]);
    }
    let from = |tap: usize| &down[tap..tap + STRIP];
    let [a, b, c, d, e, f, g, h, i, j, k]: [&[f32]; TAPS] = std::array::from_fn(from);
    for (n, sum) in into.iter_mut().enumerate() {
        *sum = w0 * f[n]
            + w1 * (e[n] + g[n])
            + w2 * (d[n] + h[n])
            + w3 * (c[n] + i[n])
            + w4 * (b[n] + j[n])
            + w5 * (a[n] + k[n]);
    }
}

/// Sum of luminance times contrast over the first `windows` windows, with one division for each.
#[inline(always)]
fn whole_terms([x, y, squares, product]: &[[f32; STRIP]; MAPS], windows: usize) -> f64 {
    let mut whole = [0.0; STRIP];
    for i in 0..STRIP {
        let variances = squares[i] - x[i] * x[i] - y[i] * y[i];
        let covariance = product[i] - x[i] * y[i];
        let (left, right) = (x[i] + OFFSET, y[i] + OFFSET);
        let above = (left * right * 2.0 + C1) * (covariance * 2.0 + C2);
        whole[i] = above / ((left * left + right * right + C1) * (variances + C2));
    }
    sum_row(windows, |i| whole[i])
}

/// Sum of contrast alone.
#[inline(always)]
fn contrast_terms([x, y, squares, product]: &[[f32; STRIP]; MAPS], windows: usize) -> f64 {
    let mut contrast = [0.0; STRIP];
    for i in 0..STRIP {
        let variances = squares[i] - x[i] * x[i] - y[i] * y[i];
        let covariance = product[i] - x[i] * y[i];
        contrast[i] = (covariance * 2.0 + C2) / (variances + C2);
    }
    sum_row(windows, |i| contrast[i])
}

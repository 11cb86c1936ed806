//! Structural similarity in one pass over strips of columns narrow enough for the nearest cache.

use super::pictures::HostPictures;
use super::sums::sum_row;
use super::wide::wide;
use crate::metrics::gaussian::gaussian_weights;
use crate::metrics::ssim::{C1, C2, OFFSET, SCALE_WEIGHTS, SIGMA, TAPS};

/// Windows in one strip of a row.
const STRIP: usize = 128;
/// Columns that these windows cover.
const COVER: usize = STRIP + TAPS - 1;
/// Filtered maps: both pictures, the sum of their squares, their product.
const MAPS: usize = 4;

type Line = [f32; COVER];

/// What is averaged over all windows of a frame.
#[derive(Clone, Copy)]
enum Term {
    /// Luminance times contrast-structure.
    Whole,
    /// Contrast-structure.
    Contrast,
}

/// See [`crate::metrics::ssim`].
pub(super) fn ssim(left: &HostPictures<'_>, right: &HostPictures<'_>) -> Vec<f32> {
    let weights = weights();
    left.each(|frame| similarity(left, right, frame, &weights, Term::Whole) as f32)
}

/// See [`crate::metrics::ms_ssim`].
pub(super) fn ms_ssim(left: &HostPictures<'_>, right: &HostPictures<'_>) -> Vec<f32> {
    let weights = weights();
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

/// The middle weight and those beside it: the window is symmetric.
fn weights() -> [f32; TAPS / 2 + 1] {
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
                    let line: [&Line; TAPS] = std::array::from_fn(|tap| &ring[(row + 1 + tap) % TAPS][map]);
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

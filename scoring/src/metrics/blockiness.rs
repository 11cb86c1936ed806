//! Visible edges on the grid of 8x8 blocks.
//!
//! The ratio of Wang, Bovik, Evan, "Blind measurement of blocking artifacts in images", 2000, in
//! its plain form: the mean step across block borders over the mean step elsewhere. ffmpeg's
//! `blockdetect` is of the same kind.

use super::host::sums::sum_row;
use super::host::wide::wide;
use super::{HostPictures, PictureMetric, per_frame};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Side of a block in every accepted codec. Larger transforms keep their borders on this grid.
pub(super) const BLOCK: usize = 8;
/// Makes a flat picture give 1.
pub(super) const FLOOR: f32 = 1e-4;

/// Mean step across block borders over mean step inside blocks, per frame; 1 where no blocks are
/// visible. Sides must be at least 16.
#[derive(Debug, Clone, Copy)]
pub struct Blockiness;

impl PictureMetric<1> for Blockiness {
    const NAME: &'static str = "blockiness";
    const LABEL: &'static str = "blockiness";

    fn on_tensors<B: Backend>(pictures: [&Tensor<B, 4>; 1]) -> Tensor<B, 1> {
        per_frame(pictures, |[picture]| {
            let [frames, _, height, width] = picture.dims();
            let part = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
                picture.clone().slice([0..frames, 0..1, rows, columns])
            };
            let across = (part(0..height, 1..width) - part(0..height, 0..width - 1)).abs();
            let down = (part(1..height, 0..width) - part(0..height - 1, 0..width)).abs();
            let across = across.mean_dim(2).reshape([frames, width - 1]);
            let down = down.mean_dim(3).reshape([frames, height - 1]);
            (ratio_on_tensors(across) + ratio_on_tensors(down)) / 2.0
        })
    }

    fn in_loops([pictures]: [&HostPictures<'_>; 1]) -> Vec<f32> {
        pictures.each(|frame| {
            let (across, down) = mean_steps(pictures, frame);
            ((ratio(&across) + ratio(&down)) / 2.0) as f32
        })
    }
}

/// Border steps over inside steps for each frame, given the mean step at each position along one
/// axis, `[frames, steps]`.
fn ratio_on_tensors<B: Backend>(steps: Tensor<B, 2>) -> Tensor<B, 1> {
    let [frames, count] = steps.dims();
    // Steps 7, 15, … cross borders: from the eighth step on, the first of every eight.
    let blocks = (count + 1) / BLOCK - 1;
    let grid = steps
        .slice([0..frames, BLOCK - 1..BLOCK - 1 + blocks * BLOCK])
        .reshape([frames, blocks, BLOCK]);
    let mean = |part: Tensor<B, 3>| part.mean_dims(&[1, 2]).reshape([frames]) + FLOOR;
    let border = mean(grid.clone().slice([0..frames, 0..blocks, 0..1]));
    border / mean(grid.slice([0..frames, 0..blocks, 1..BLOCK]))
}

/// The same in loops.
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

//! Visible edges on the grid of 8x8 blocks.
//!
//! The ratio of Wang, Bovik, Evan, "Blind measurement of blocking artifacts in images", 2000, in
//! its plain form: the mean step across block borders over the mean step elsewhere. ffmpeg's
//! `blockdetect` is of the same kind.

use super::per_frame;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Side of a block in every accepted codec. Larger transforms keep their borders on this grid.
pub(super) const BLOCK: usize = 8;
/// Makes a flat picture give 1.
pub(super) const FLOOR: f32 = 1e-4;

/// Mean step across block borders over mean step inside blocks, per frame; 1 where no blocks are
/// visible. Sides must be at least 16.
pub(crate) fn blockiness<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 1> {
    per_frame(pictures, |picture| {
        let [_, _, height, width] = picture.dims();
        let part = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            picture.clone().slice([0..1, 0..1, rows, columns])
        };
        let across = (part(0..height, 1..width) - part(0..height, 0..width - 1)).abs();
        let down = (part(1..height, 0..width) - part(0..height - 1, 0..width)).abs();
        let across = across.mean_dim(2).reshape([width - 1]);
        let down = down.mean_dim(3).reshape([height - 1]);
        (ratio(across) + ratio(down)) / 2.0
    })
}

/// Border steps over inside steps, given the mean step at each position along one axis.
fn ratio<B: Backend>(steps: Tensor<B, 1>) -> Tensor<B, 1> {
    // Steps 7, 15, … cross borders: from the eighth step on, the first of every eight.
    let blocks = (steps.dims()[0] + 1) / BLOCK - 1;
    let grid = steps.slice([BLOCK - 1..BLOCK - 1 + blocks * BLOCK]).reshape([blocks, BLOCK]);
    let border = grid.clone().slice([0..blocks, 0..1]).mean();
    let inside = grid.slice([0..blocks, 1..BLOCK]).mean();
    (border + FLOOR) / (inside + FLOOR)
}

//! Pictures sampled where a flow leads.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode, PadMode};
use burn::tensor::{Int, Tensor};

/// `pictures` sampled where `flow` leads, in pixels: bilinear, with the border repeated.
pub(super) fn warp<B: Backend>(pictures: Tensor<B, 4>, flow: &Tensor<B, 4>) -> Tensor<B, 4> {
    let [pairs, _, height, width] = flow.dims();
    let place = pixel_grid(flow) + flow.clone();
    // grid_sample counts from -1 at the first pixel's centre to 1 at the last one's. On GPUs burn
    // 0.21 takes the second coordinate from the memory behind the first, whatever the strides: the
    // grid is joined in that order, not permuted.
    let axis = |channel: usize, length: usize| {
        let place = place
            .clone()
            .slice([0..pairs, channel..channel + 1])
            .reshape([pairs, height, width, 1]);
        place * (2.0 / (length as f32 - 1.0)) - 1.0
    };
    let grid = Tensor::cat(vec![axis(0, width), axis(1, height)], 3);
    let options = GridSampleOptions::new(InterpolateMode::Bilinear)
        .with_padding_mode(GridSamplePaddingMode::Border)
        .with_align_corners(true);
    pictures.grid_sample_2d(grid, options)
}

/// Repeats each value as a block of `times` by `times`, and the last ones up to `height` and
/// `width`.
pub(super) fn repeated<B: Backend>(
    maps: Tensor<B, 4>,
    times: usize,
    (height, width): (usize, usize),
) -> Tensor<B, 4> {
    let [count, channels, rows, columns] = maps.dims();
    let wide = maps.reshape([count * channels, rows, columns, 1]).repeat_dim(3, times);
    let wide = wide.reshape([count * channels, rows, 1, times * columns]).repeat_dim(2, times);
    let repeated = wide.reshape([count, channels, times * rows, times * columns]);
    let (missing_rows, missing_columns) = (height - times * rows, width - times * columns);
    if missing_rows + missing_columns == 0 {
        return repeated;
    }
    repeated.pad([(0, missing_rows), (0, missing_columns)], PadMode::Edge)
}

/// Pixel coordinates `[n, 2, h, w]` of a flow of that size, columns then rows.
fn pixel_grid<B: Backend>(flow: &Tensor<B, 4>) -> Tensor<B, 4> {
    let [pairs, _, height, width] = flow.dims();
    let device = flow.device();
    let columns =
        Tensor::<B, 1, Int>::arange(0..width as i64, &device).float().reshape([1, 1, 1, width]);
    let rows =
        Tensor::<B, 1, Int>::arange(0..height as i64, &device).float().reshape([1, 1, height, 1]);
    let columns = columns.repeat_dim(2, height);
    let rows = rows.repeat_dim(3, width);
    Tensor::cat(vec![columns, rows], 1).repeat_dim(0, pairs)
}

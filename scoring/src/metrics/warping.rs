//! The change of a picture that its motion does not explain.
//!
//! Lai and others, "Learning blind video temporal consistency", 2018: the next frame, warped back
//! by the flow, should be this frame wherever the scene is visible in both. Visible is what forward
//! and backward flow agree on and what is no motion boundary, by the tests of Ruder, Dosovitskiy,
//! Brox, "Artistic style transfer for videos", 2016.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode, PadMode};
use burn::tensor::{Int, Tensor};

/// Forward and backward flow may differ by this part of their squared lengths ...
pub(super) const DISAGREEMENT: f32 = 0.01;
/// ... and this many squared pixels.
pub(super) const DISAGREEMENT_FLOOR: f32 = 0.5;
/// Flow may change from pixel to pixel by this part of its squared length ...
pub(super) const BOUNDARY: f32 = 0.01;
/// ... and this many squared pixels.
pub(super) const BOUNDARY_FLOOR: f32 = 0.002;

/// Mean squared difference per step between each frame and the next one warped back, over the
/// pixels that are visible in both and whose motion stays inside the picture: 0 to 1, 0 where there
/// are none. `pictures` is `[n, 1, h, w]`; `flow` `[n - 1, 2, r, c]` in pixels and `visible` `[n -
/// 1, 1, r, c]`, 0 or 1, hold one value for each block of `cell` by `cell` pixels.
pub(crate) fn warping_error<B: Backend>(
    pictures: &Tensor<B, 4>,
    flow: &Tensor<B, 4>,
    visible: &Tensor<B, 4>,
    cell: usize,
) -> Tensor<B, 1> {
    let [_, _, height, width] = pictures.dims();
    let steps = (0..flow.dims()[0]).map(|step| {
        let flow = repeated(super::frame(flow, step), cell, (height, width));
        let visible = repeated(super::frame(visible, step), cell, (height, width)) * inside(&flow);
        let back = warp(super::frame(pictures, step + 1), &flow);
        let error = (back - super::frame(pictures, step)).square() * visible.clone();
        (error.sum() / visible.sum().clamp_min(1.0)).reshape([1])
    });
    Tensor::cat(steps.collect(), 0)
}

/// Where the scene is visible in both frames of each step: 1, elsewhere 0, `[n, 1, r, c]`. Both
/// flows are `[n, 2, r, c]` in pixels, one value for each block of `cell` pixels; `backward` leads
/// from the later frame to the earlier.
pub(crate) fn visible<B: Backend>(
    forward: &Tensor<B, 4>,
    backward: &Tensor<B, 4>,
    cell: usize,
) -> Tensor<B, 4> {
    let back = warp(backward.clone(), &(forward.clone() / cell as f32));
    let length = |flow: &Tensor<B, 4>| flow.clone().square().sum_dim(1);
    let gap = length(&(forward.clone() + back.clone()));
    let agreed =
        gap.lower_equal((length(forward) + length(&back)) * DISAGREEMENT + DISAGREEMENT_FLOOR);
    let smooth = changes(forward, cell).lower_equal(length(forward) * BOUNDARY + BOUNDARY_FLOOR);
    agreed.float() * smooth.float()
}

/// Squared gradient of both components per pixel, by forward differences; none past the last row
/// and column.
fn changes<B: Backend>(flow: &Tensor<B, 4>, cell: usize) -> Tensor<B, 4> {
    let [steps, _, rows, columns] = flow.dims();
    let padded = flow.clone().pad([(0, 1), (0, 1)], PadMode::Edge);
    let across = padded.clone().slice([0..steps, 0..2, 0..rows, 1..columns + 1]) - flow.clone();
    let down = padded.slice([0..steps, 0..2, 1..rows + 1, 0..columns]) - flow.clone();
    (across.square() + down.square()).sum_dim(1) / (cell * cell) as f32
}

/// 1 where the motion of a pixel ends inside the picture, else 0: `[n, 1, h, w]`.
fn inside<B: Backend>(flow: &Tensor<B, 4>) -> Tensor<B, 4> {
    let [steps, _, height, width] = flow.dims();
    let place = pixel_grid(flow) + flow.clone();
    let within = |channel: usize, length: usize| {
        let place = place.clone().slice([0..steps, channel..channel + 1]);
        place.clone().greater_equal_elem(0.0).float()
            * place.lower_equal_elem(length as f32 - 1.0).float()
    };
    within(0, width) * within(1, height)
}

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

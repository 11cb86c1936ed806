//! Dense optical flow.
//!
//! Lucas and Kanade, "An iterative image registration technique", 1981, on a pyramid (Bouguet, 2000): at every pixel the
//! least-squares motion of its neighbourhood, refined by warping. The neighbourhood is a Gaussian window, and a small
//! constant on the diagonal lets flow fall to zero where there is no texture instead of to noise.

use super::gaussian::{filter_same, gaussian_weights};
use super::ssim::halve;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode, PadMode};
use burn::tensor::{Int, Tensor};

/// How the flow is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowSettings {
    /// Pyramid levels; each doubles the largest motion that is found.
    pub levels: usize,
    /// Refinements per level.
    pub warps: usize,
    /// Radius of the neighbourhood in pixels.
    pub radius: usize,
    /// Pairs worked on at once; few keep intermediate results in the cache.
    pub batch: usize,
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self { levels: 3, warps: 3, radius: 4, batch: 8 }
    }
}

/// Weight of "no motion", in squared gradient units: well under the gradients of visible texture.
const REGULARISATION: f32 = 1e-5;
/// Largest correction of one refinement, in pixels; more means that the linear model does not hold there.
const LARGEST_STEP: f32 = 1.0;

/// Motion in pixels from each frame of `from` to the same frame of `to`: `[n, 1, h, w]` twice gives `[n, 2, h, w]`,
/// rightward then downward. The smallest pyramid level should keep sides of about 15 pixels.
pub fn lucas_kanade<B: Backend>(from: &Tensor<B, 4>, to: &Tensor<B, 4>, settings: &FlowSettings) -> Tensor<B, 4> {
    let pairs = from.dims()[0];
    let weights = gaussian_weights(2 * settings.radius + 1, settings.radius as f64 / 2.0);
    let batches = (0..pairs).step_by(settings.batch.max(1)).map(|start| {
        let range = start..(start + settings.batch.max(1)).min(pairs);
        coarse_to_fine(from.clone().slice([range.clone()]), to.clone().slice([range]), settings, &weights)
    });
    Tensor::cat(batches.collect(), 0)
}

fn coarse_to_fine<B: Backend>(
    from: Tensor<B, 4>,
    to: Tensor<B, 4>,
    settings: &FlowSettings,
    weights: &[f32],
) -> Tensor<B, 4> {
    let mut pyramid = vec![(from, to)];
    while pyramid.len() < settings.levels {
        let (from, to) = &pyramid[pyramid.len() - 1];
        let next = (halve(from.clone()), halve(to.clone()));
        pyramid.push(next);
    }
    let mut flow: Option<Tensor<B, 4>> = None;
    for (from, to) in pyramid.into_iter().rev() {
        let [pairs, _, height, width] = from.dims();
        let start = match flow {
            Some(coarse) => double(coarse, height, width),
            None => Tensor::zeros([pairs, 2, height, width], &from.device()),
        };
        flow = Some(refine(from, to, start, settings.warps, weights));
    }
    flow.unwrap_or_else(|| unreachable!("a pyramid has at least one level"))
}

/// Twice the size by repetition, twice the motion; the refinements smooth what repetition leaves.
fn double<B: Backend>(flow: Tensor<B, 4>, height: usize, width: usize) -> Tensor<B, 4> {
    let [pairs, channels, rows, columns] = flow.dims();
    let wide = (flow * 2.0).reshape([pairs * channels, rows, columns, 1]).repeat_dim(3, 2);
    let wide = wide.reshape([pairs * channels, rows, 1, 2 * columns]).repeat_dim(2, 2);
    let doubled = wide.reshape([pairs, channels, 2 * rows, 2 * columns]);
    // An odd side lost its last row or column on the way down; it repeats its neighbour.
    let (missing_rows, missing_columns) = (height - 2 * rows, width - 2 * columns);
    if missing_rows + missing_columns == 0 {
        return doubled;
    }
    doubled.pad([(0, missing_rows), (0, missing_columns)], PadMode::Edge)
}

fn refine<B: Backend>(
    from: Tensor<B, 4>,
    to: Tensor<B, 4>,
    mut flow: Tensor<B, 4>,
    warps: usize,
    weights: &[f32],
) -> Tensor<B, 4> {
    let (across, down) = gradients(&from);
    let blur = |map: Tensor<B, 4>| filter_same(map, weights);
    let xx = blur(across.clone().square()) + REGULARISATION;
    let yy = blur(down.clone().square()) + REGULARISATION;
    let xy = blur(across.clone() * down.clone());
    let determinant = xx.clone() * yy.clone() - xy.clone().square();
    let identity = pixel_grid(&from);
    for _ in 0..warps {
        let difference = warp(to.clone(), &identity, &flow) - from.clone();
        let x = blur(across.clone() * difference.clone());
        let y = blur(down.clone() * difference);
        let right = (xy.clone() * y.clone() - yy.clone() * x.clone()) / determinant.clone();
        let below = (xy.clone() * x - xx.clone() * y) / determinant.clone();
        flow = flow + Tensor::cat(vec![right, below], 1).clamp(-LARGEST_STEP, LARGEST_STEP);
    }
    flow
}

/// Central differences, the border repeated.
fn gradients<B: Backend>(pictures: &Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let [pairs, _, height, width] = pictures.dims();
    let padded = pictures.clone().pad([(1, 1), (1, 1)], PadMode::Edge);
    let part = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        padded.clone().slice([0..pairs, 0..1, rows, columns])
    };
    let across = (part(1..height + 1, 2..width + 2) - part(1..height + 1, 0..width)) * 0.5;
    let down = (part(2..height + 2, 1..width + 1) - part(0..height, 1..width + 1)) * 0.5;
    (across, down)
}

/// Pixel coordinates `[n, 2, h, w]`.
fn pixel_grid<B: Backend>(pictures: &Tensor<B, 4>) -> Tensor<B, 4> {
    let [pairs, _, height, width] = pictures.dims();
    let device = pictures.device();
    let columns = Tensor::<B, 1, Int>::arange(0..width as i64, &device).float().reshape([1, 1, 1, width]);
    let rows = Tensor::<B, 1, Int>::arange(0..height as i64, &device).float().reshape([1, 1, height, 1]);
    let columns = columns.repeat_dim(2, height);
    let rows = rows.repeat_dim(3, width);
    Tensor::cat(vec![columns, rows], 1).repeat_dim(0, pairs)
}

/// `pictures` seen through the flow: bilinear, the border repeated.
fn warp<B: Backend>(pictures: Tensor<B, 4>, identity: &Tensor<B, 4>, flow: &Tensor<B, 4>) -> Tensor<B, 4> {
    let [pairs, _, height, width] = pictures.dims();
    let place = identity.clone() + flow.clone();
    // grid_sample counts from -1 at the first pixel's centre to 1 at the last one's.
    let axis = |channel: usize, length: usize| {
        place.clone().slice([0..pairs, channel..channel + 1]) * (2.0 / (length as f32 - 1.0)) - 1.0
    };
    let grid = Tensor::cat(vec![axis(0, width), axis(1, height)], 1).permute([0, 2, 3, 1]);
    let options = GridSampleOptions::new(InterpolateMode::Bilinear)
        .with_padding_mode(GridSamplePaddingMode::Border)
        .with_align_corners(true);
    pictures.grid_sample_2d(grid, options)
}

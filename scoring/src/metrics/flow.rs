//! Dense optical flow.
//!
//! Lucas and Kanade, "An iterative image registration technique", 1981, on a pyramid (Bouguet,
//! 2000): at every pixel the least-squares motion of its square neighbourhood, refined by warping;
//! what scikit-image calls iterative Lucas-Kanade. A small constant keeps the flow near the
//! coarser level's where there is no texture, instead of following noise.
//!
//! The pyramid is band-limited (Burt and Adelson, "The Laplacian pyramid as a compact image code",
//! 1983): a fine pattern that is only halved comes back at the coarser levels as a false one that
//! moves the other way.
//!
//! Flow is measured at half size, where four levels find motions of up to some 80 pixels of the
//! full picture.

use super::gaussian::Filter;
use super::halve;
use super::warping::{repeated, warp};
use crate::device::is_cpu;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::PadMode;

/// Radius of the neighbourhood in pixels.
pub(super) const RADIUS: usize = 7;
/// Refinements per level of the pyramid.
pub(super) const WARPS: usize = 3;
/// The weight of no correction, in squared gradient units: far below the gradients of visible
/// texture.
pub(super) const REGULARISATION: f32 = 1e-5;
/// Largest correction of one refinement, in pixels. Larger ones mean that the linear model fails
/// there.
pub(super) const LARGEST_STEP: f32 = 1.0;
/// The pyramid ends before a side is shorter than a neighbourhood and its margin.
pub(super) const LEAST_SIDE: usize = 24;
/// The pyramid's most levels. Motions beyond its range are cuts.
pub(super) const MOST_LEVELS: usize = 4;
/// Weights of the low-pass filter in front of each halving of the pyramid.
pub(super) const LOW_PASS: [f32; 3] = [0.25, 0.5, 0.25];
/// Pairs computed at once on burn's CPU backend: few of them fit in the cache. A device computes all
/// of them at once, since each of its kernels has to be launched.
const BATCH: usize = 8;

/// Levels of the pyramid for a picture of this size. Each doubles the largest motion that is found.
pub(super) fn levels(height: usize, width: usize) -> usize {
    let side = height.min(width);
    (1..MOST_LEVELS).take_while(|level| side >> level >= LEAST_SIDE).count() + 1
}

/// Motion in pixels from each frame of `from` to the same frame of `to`: `[n, 1, h, w]` twice, with
/// sides of at least 3, gives `[n, 2, h, w]`, rightward then downward.
pub(crate) fn lucas_kanade<B: Backend>(from: &Tensor<B, 4>, to: &Tensor<B, 4>) -> Tensor<B, 4> {
    let pairs = from.dims()[0];
    let filters = Filters::<B>::on(&from.device());
    if !is_cpu::<B>() {
        return coarse_to_fine(from.clone(), to.clone(), &filters);
    }
    let batches = (0..pairs).step_by(BATCH).map(|start| {
        let range = start..(start + BATCH).min(pairs);
        coarse_to_fine(from.clone().slice([range.clone()]), to.clone().slice([range]), &filters)
    });
    Tensor::cat(batches.collect(), 0)
}

/// The filters, copied to a device once.
struct Filters<B: Backend> {
    /// Means over the neighbourhood, with zeros outside the picture.
    around: Filter<B>,
    low_pass: Filter<B>,
}

impl<B: Backend> Filters<B> {
    fn on(device: &B::Device) -> Self {
        const SIDE: usize = 2 * RADIUS + 1;
        Self {
            around: Filter::same(&[1.0 / SIDE as f32; SIDE], device),
            low_pass: Filter::valid(&LOW_PASS, device),
        }
    }
}

fn coarse_to_fine<B: Backend>(
    from: Tensor<B, 4>,
    to: Tensor<B, 4>,
    filters: &Filters<B>,
) -> Tensor<B, 4> {
    let [pairs, _, height, width] = from.dims();
    let mut pyramid = vec![(from, to)];
    for _ in 1..levels(height, width) {
        let (from, to) = &pyramid[pyramid.len() - 1];
        let next = (shrunk(from, filters), shrunk(to, filters));
        pyramid.push(next);
    }
    let (from, to) = &pyramid[pyramid.len() - 1];
    let [_, _, height, width] = from.dims();
    let still = Tensor::zeros([pairs, 2, height, width], &from.device());
    let mut flow = refine(from.clone(), to.clone(), still, filters);
    for (from, to) in pyramid.into_iter().rev().skip(1) {
        let [_, _, height, width] = from.dims();
        // Twice the size by repetition, and twice the motion. The refinements smooth the result.
        flow = refine(from, to, repeated(flow * 2.0, 2, (height, width)), filters);
    }
    flow
}

/// The next coarser level: smoothed, then the mean of each 2x2 block; an odd last row or column is
/// dropped.
fn shrunk<B: Backend>(pictures: &Tensor<B, 4>, filters: &Filters<B>) -> Tensor<B, 4> {
    let padded = pictures.clone().pad([(1, 1), (1, 1)], PadMode::Edge);
    halve(filters.low_pass.apply(padded))
}

fn refine<B: Backend>(
    from: Tensor<B, 4>,
    to: Tensor<B, 4>,
    mut flow: Tensor<B, 4>,
    filters: &Filters<B>,
) -> Tensor<B, 4> {
    let (across, down) = gradients(&from);
    let around = |map: Tensor<B, 4>| filters.around.apply(map);
    let xx = around(across.clone().square()) + REGULARISATION;
    let yy = around(down.clone().square()) + REGULARISATION;
    let xy = around(across.clone() * down.clone());
    let determinant = xx.clone() * yy.clone() - xy.clone().square();
    for _ in 0..WARPS {
        let [pairs, _, height, width] = flow.dims();
        let part = |channel: usize| {
            flow.clone().slice([0..pairs, channel..channel + 1, 0..height, 0..width])
        };
        let (right, below) = (part(0), part(1));
        // The neighbourhood gets one motion, not one correction, which smooths the flow.
        let difference = warp(to.clone(), &flow) - from.clone();
        let reached = across.clone() * right.clone() + down.clone() * below.clone() - difference;
        let x = around(across.clone() * reached.clone()) + right * REGULARISATION;
        let y = around(down.clone() * reached) + below * REGULARISATION;
        let right = (yy.clone() * x.clone() - xy.clone() * y.clone()) / determinant.clone();
        let below = (xx.clone() * y - xy.clone() * x) / determinant.clone();
        let step = Tensor::cat(vec![right, below], 1) - flow.clone();
        flow = flow + step.clamp(-LARGEST_STEP, LARGEST_STEP);
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

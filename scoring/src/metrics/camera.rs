//! The camera's motion: the affine motion that most of the picture follows.
//!
//! An affine field fitted to the flow by iteratively reweighted least squares with the weights of
//! Geman and McClure (Black and Anandan, "The robust estimation of multiple motions", 1996): what
//! moves by itself is an outlier and loses its weight.

use crate::device::transfer::{read, tensor};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Rounds of reweighting.
pub(super) const ROUNDS: usize = 8;
/// Smaller residuals, in squared pixels, are noise of the flow.
pub(super) const LEAST_SPREAD: f64 = 0.1 * 0.1;

/// One step's affine motion, in pixels; positions count from the middle of the picture in halves of
/// its width.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Camera {
    /// Rightward motion: in the middle, its growth to the right, and its growth downward.
    pub right: [f32; 3],
    /// Downward motion, likewise.
    pub down: [f32; 3],
}

impl Camera {
    /// Root mean square length of the motion over a picture of `rows` by `columns`, in pixels.
    pub fn length(&self, rows: usize, columns: usize) -> f32 {
        let (x, y) = spreads(rows, columns);
        let squared = |[middle, across, down]: [f32; 3]| {
            middle * middle + across * across * x + down * down * y
        };
        (squared(self.right) + squared(self.down)).sqrt()
    }

    /// The difference of two motions.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let difference = |a: [f32; 3], b: [f32; 3]| std::array::from_fn(|i| a[i] - b[i]);
        Self { right: difference(self.right, other.right), down: difference(self.down, other.down) }
    }

    /// Growth per step relative to the size, above 0 where the camera comes closer. `columns` is
    /// the picture's width in pixels of the flow.
    pub fn zoom(&self, columns: usize) -> f32 {
        (self.right[1] + self.down[2]) / columns as f32
    }

    /// Clockwise turn per step, in radians, for small turns.
    pub fn roll(&self, columns: usize) -> f32 {
        (self.down[1] - self.right[2]) / columns as f32
    }
}

/// Mean squared position across and down; positions are spread evenly and have mean 0.
fn spreads(rows: usize, columns: usize) -> (f32, f32) {
    let spread = |count: usize| {
        let count = count as f32;
        let unit = columns as f32 / 2.0;
        (count * count - 1.0) / (12.0 * unit * unit)
    };
    (spread(columns), spread(rows))
}

/// Position of cell `index` of `count`, from the middle, in halves of `columns`.
pub(super) fn position(index: usize, count: usize, columns: usize) -> f32 {
    (index as f32 - (count as f32 - 1.0) / 2.0) / (columns as f32 / 2.0)
}

/// Sums of one step: weights times 1, x, y, xx, xy, yy, then weighted motion times 1, x, y for both
/// directions.
pub(super) type Sums = [f64; 12];

/// Solves both sets of normal equations. For a field without spread, such as a single row of cells,
/// a tiny weight on "no growth" decides.
pub(super) fn solve(sums: &Sums) -> Camera {
    const TINY: f64 = 1e-9;
    let [n, x, y, xx, xy, yy, ..] = *sums;
    let (n, xx, yy) = (n + TINY, xx + TINY, yy + TINY);
    // Cofactors of the symmetric matrix ((n, x, y), (x, xx, xy), (y, xy, yy)).
    let (a, b, c) = (xx * yy - xy * xy, xy * y - x * yy, x * xy - xx * y);
    let (d, e, f) = (n * yy - y * y, x * y - n * xy, n * xx - x * x);
    let determinant = n * a + x * b + y * c;
    let fit = |at: usize| {
        let [p, q, r] = [sums[at], sums[at + 1], sums[at + 2]];
        [a * p + b * q + c * r, b * p + d * q + e * r, c * p + e * q + f * r]
            .map(|sum| (sum / determinant) as f32)
    };
    Camera { right: fit(6), down: fit(9) }
}

/// The camera's motion at each step of a flow `[n, 2, r, c]` in pixels.
pub(crate) fn camera<B: Backend>(flow: &Tensor<B, 4>) -> Vec<Camera> {
    let [steps, _, rows, columns] = flow.dims();
    let (cells, device) = (rows * columns, flow.device());
    let places = |place: &dyn Fn(f32, f32) -> f32| -> Vec<f32> {
        let line = |row: usize| (0..columns).map(move |column| (row, column));
        let at = |(row, column): (usize, usize)| {
            place(position(column, columns, columns), position(row, rows, columns))
        };
        (0..rows).flat_map(line).map(at).collect()
    };
    let products: [&dyn Fn(f32, f32) -> f32; 6] =
        [&|_, _| 1.0, &|x, _| x, &|_, y| y, &|x, _| x * x, &|x, y| x * y, &|_, y| y * y];
    let basis: Vec<f32> = products.into_iter().flat_map(places).collect();
    let basis = tensor::<B, 2>(basis, [6, cells], &device);
    let linear = basis.clone().slice([0..3]);
    let part = |channel: usize| {
        flow.clone().slice([0..steps, channel..channel + 1]).reshape([steps, cells])
    };
    let (right, down) = (part(0), part(1));
    let mut weights = Tensor::<B, 2>::ones([steps, cells], &device);
    let mut cameras = Vec::new();
    for round in 0..=ROUNDS {
        let against =
            |values: Tensor<B, 2>, basis: &Tensor<B, 2>| values.matmul(basis.clone().transpose());
        let sums = Tensor::cat(
            vec![
                against(weights.clone(), &basis),
                against(weights.clone() * right.clone(), &linear),
                against(weights.clone() * down.clone(), &linear),
            ],
            1,
        );
        let sums: Vec<Sums> =
            read(sums).as_chunks::<12>().0.iter().map(|sums| sums.map(f64::from)).collect();
        cameras = sums.iter().map(solve).collect::<Vec<Camera>>();
        if round == ROUNDS {
            break;
        }
        let field = |side: &dyn Fn(&Camera) -> [f32; 3]| {
            let values: Vec<f32> = cameras.iter().flat_map(side).collect();
            tensor::<B, 2>(values, [steps, 3], &device).matmul(linear.clone())
        };
        let residual = (field(&|camera| camera.right) - right.clone()).square()
            + (field(&|camera| camera.down) - down.clone()).square();
        let spread = (weights.clone() * residual.clone()).sum_dim(1) / weights.sum_dim(1);
        let spread = spread.clamp_min(LEAST_SPREAD as f32);
        weights = (spread.clone() / (residual + spread)).square();
    }
    cameras
}

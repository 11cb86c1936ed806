//! The steps of which metrics of small maps consist. They cost little, and are loops so that no
//! result depends on the width of a processor's vectors.

use super::sums::sum_row;
use super::wide::wide;
use crate::metrics::camera::{LEAST_SPREAD, ROUNDS, Sums, position, solve};
use crate::metrics::replay::LEAST_DETAIL;
use crate::metrics::{Camera, Grid};

pub(super) fn mean(count: usize, term: impl Fn(usize) -> f32) -> f64 {
    sum_row(count, term) / count.max(1) as f64
}

/// Mean length over the cells, where a cell's vector is `component(channel, cell)`.
pub(super) fn mean_length(
    channels: usize,
    cells: usize,
    component: impl Fn(usize, usize) -> f32,
) -> f32 {
    let squared = |cell| {
        (0..channels)
            .map(|channel| component(channel, cell))
            .map(|value| value * value)
            .sum::<f32>()
    };
    mean(cells, |cell| squared(cell).sqrt()) as f32
}

/// Neighbouring maps: the earlier, then the later.
pub(super) fn steps(grid: &Grid) -> impl Iterator<Item = (&[f32], &[f32])> {
    grid.maps().zip(grid.maps().skip(1))
}

wide! {
    pub(super) fn step_camera(flow: &[f32], rows: usize, columns: usize) -> Camera {
        let (right, down) = flow.split_at(rows * columns);
        let across: Vec<f32> = (0..columns).map(|column| position(column, columns, columns)).collect();
        let mut weights = vec![1.0_f32; rows * columns];
        let mut residuals = vec![0.0_f32; rows * columns];
        let mut camera = Camera::default();
        for round in 0..=ROUNDS {
            let mut sums: Sums = [0.0; 12];
            for row in 0..rows {
                let line = row * columns..(row + 1) * columns;
                let lines = [&weights[line.clone()], &right[line.clone()], &down[line]];
                add_row(&mut sums, lines, &across, f64::from(position(row, rows, columns)));
            }
            camera = solve(&sums);
            if round < ROUNDS {
                reweigh(&mut weights, &mut residuals, (right, down), &camera, (&across, rows));
            }
        }
        camera
    }
}

#[inline(always)]
fn add_row(sums: &mut Sums, [weights, right, down]: [&[f32]; 3], across: &[f32], y: f64) {
    let columns = across.len();
    let (weights, right, down) = (&weights[..columns], &right[..columns], &down[..columns]);
    let ones = sum_row(columns, |i| weights[i]);
    let x = sum_row(columns, |i| weights[i] * across[i]);
    let xx = sum_row(columns, |i| weights[i] * (across[i] * across[i]));
    let u = sum_row(columns, |i| weights[i] * right[i]);
    let xu = sum_row(columns, |i| weights[i] * (across[i] * right[i]));
    let v = sum_row(columns, |i| weights[i] * down[i]);
    let xv = sum_row(columns, |i| weights[i] * (across[i] * down[i]));
    let terms = [ones, x, y * ones, xx, y * x, y * y * ones, u, xu, y * u, v, xv, y * v];
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

#[inline(always)]
fn reweigh(
    weights: &mut [f32],
    residuals: &mut [f32],
    (right, down): (&[f32], &[f32]),
    camera: &Camera,
    (across, rows): (&[f32], usize),
) {
    let columns = across.len();
    let (mut total, mut weighted) = (0.0, 0.0);
    for row in 0..rows {
        let y = position(row, rows, columns);
        let line = row * columns..(row + 1) * columns;
        let (right, down) = (&right[line.clone()], &down[line.clone()]);
        let (weights, residuals) = (&weights[line.clone()], &mut residuals[line]);
        let field =
            |[middle, growth, downward]: [f32; 3], x: f32| middle + growth * x + downward * y;
        for i in 0..columns {
            let (a, b) = (
                field(camera.right, across[i]) - right[i],
                field(camera.down, across[i]) - down[i],
            );
            residuals[i] = a * a + b * b;
        }
        total += sum_row(columns, |i| weights[i]);
        weighted += sum_row(columns, |i| weights[i] * residuals[i]);
    }
    let spread = (weighted / total).max(LEAST_SPREAD) as f32;
    for (weight, residual) in weights.iter_mut().zip(residuals) {
        let part = spread / (*residual + spread);
        *weight = part * part;
    }
}

wide! {
    pub(super) fn product(left: &[f32], right: &[f32]) -> f32 {
        let right = &right[..left.len()];
        sum_row(left.len(), |i| left[i] * right[i]) as f32
    }
}

/// Changes from the first map, each of length 1.
pub(super) fn changes(grid: &Grid) -> Vec<Vec<f32>> {
    let Some(first) = grid.maps().next() else { return Vec::new() };
    let change = |map: &[f32]| {
        let change: Vec<f32> = map.iter().zip(first).map(|(value, first)| value - first).collect();
        let power = mean(change.len(), |i| change[i] * change[i]) + f64::from(LEAST_DETAIL);
        let length = (power * change.len() as f64).sqrt() as f32;
        change.into_iter().map(|value| value / length).collect()
    };
    grid.maps().map(change).collect()
}

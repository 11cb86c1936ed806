//! Metrics of small maps. They cost little, and are here so that no result depends on the width of
//! a processor's vectors.

use super::sums::sum_row;
use super::wide::wide;
use crate::metrics::camera::{LEAST_SPREAD, ROUNDS, Sums, position, solve};
use crate::metrics::motion::STILL;
use crate::metrics::replay::LEAST_DETAIL;
use crate::metrics::warping::{BOUNDARY, BOUNDARY_FLOOR, DISAGREEMENT, DISAGREEMENT_FLOOR};
use crate::metrics::{Camera, Grid};
use rayon::prelude::*;

fn mean(count: usize, term: impl Fn(usize) -> f32) -> f64 {
    sum_row(count, term) / count.max(1) as f64
}

/// Mean length over the cells, where a cell's vector is `component(channel, cell)`.
fn mean_length(channels: usize, cells: usize, component: impl Fn(usize, usize) -> f32) -> f32 {
    let squared = |cell| {
        (0..channels)
            .map(|channel| component(channel, cell))
            .map(|value| value * value)
            .sum::<f32>()
    };
    mean(cells, |cell| squared(cell).sqrt()) as f32
}

fn cells(grid: &Grid) -> usize {
    grid.rows * grid.columns
}

fn pairs<'a>(left: &'a Grid, right: &'a Grid) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
    left.maps().zip(right.maps())
}

/// Neighbouring maps: the earlier, then the later.
fn steps(grid: &Grid) -> impl Iterator<Item = (&[f32], &[f32])> {
    grid.maps().zip(grid.maps().skip(1))
}

/// See [`crate::metrics::distance`].
pub(super) fn distance(left: &Grid, right: &Grid) -> Vec<f32> {
    let count = cells(left);
    let length = |(left, right): (&[f32], &[f32])| {
        mean_length(left.len() / count, count, |channel, cell| {
            let index = channel * count + cell;
            left[index] - right[index]
        })
    };
    pairs(left, right).map(length).collect()
}

/// See [`crate::metrics::distance_by_place`].
pub(super) fn distance_by_place(left: &Grid, right: &Grid) -> Vec<f32> {
    let count = cells(left);
    let mut sums = vec![0.0_f64; count];
    for (left, right) in pairs(left, right) {
        for (cell, sum) in sums.iter_mut().enumerate() {
            let squared = |channel: usize| {
                (left[channel * count + cell] - right[channel * count + cell]).powi(2)
            };
            *sum += f64::from((0..left.len() / count).map(squared).sum::<f32>().sqrt());
        }
    }
    sums.into_iter().map(|sum| (sum / left.len() as f64) as f32).collect()
}

/// See [`crate::metrics::frame_difference`].
pub(super) fn frame_difference(maps: &Grid) -> Vec<f32> {
    steps(maps)
        .map(|(before, after)| mean(after.len(), |i| (after[i] - before[i]).abs()) as f32)
        .collect()
}

/// See [`crate::metrics::change_from_first`].
pub(super) fn change_from_first(maps: &Grid) -> Vec<f32> {
    let Some(first) = maps.maps().next() else { return Vec::new() };
    maps.maps().map(|map| mean(map.len(), |i| (map[i] - first[i]).abs()) as f32).collect()
}

/// See [`crate::metrics::motion_excess`].
pub(super) fn motion_excess(answer: &Grid, source: &Grid) -> Vec<f32> {
    let pairs = steps(answer).zip(steps(source));
    pairs
        .map(|((a, b), (c, d))| mean(a.len(), |i| ((b[i] - a[i]) - (d[i] - c[i])).abs()) as f32)
        .collect()
}

/// See [`crate::metrics::flicker`].
pub(super) fn flicker(answer: &Grid, source: &Grid) -> Vec<f32> {
    let pairs = steps(answer).zip(steps(source));
    pairs
        .map(|((a, b), (c, d))| mean(a.len(), |i| (b[i] - a[i]) - (d[i] - c[i])).abs() as f32)
        .collect()
}

/// See [`crate::metrics::motion_amount`].
pub(super) fn motion_amount(flow: &Grid) -> Vec<f32> {
    let count = cells(flow);
    flow.maps()
        .map(|map| mean_length(2, count, |channel, cell| map[channel * count + cell]))
        .collect()
}

/// See [`crate::metrics::motion_direction`].
pub(super) fn motion_direction(left: &Grid, right: &Grid) -> Vec<f32> {
    let floor = f64::from(STILL * STILL / 2.0);
    let cosine = |(left, right): (&[f32], &[f32])| {
        let product = |a: &[f32], b: &[f32]| mean(a.len(), |i| a[i] * b[i]) + floor;
        (product(left, right) / (product(left, left) * product(right, right)).sqrt()) as f32
    };
    pairs(left, right).map(cosine).collect()
}

/// See [`crate::metrics::motion_smoothness`].
pub(super) fn motion_smoothness(flow: &Grid) -> Vec<f32> {
    let count = cells(flow);
    let amounts = motion_amount(flow);
    let changes = steps(flow).map(|(before, after)| {
        mean_length(2, count, |channel, cell| {
            after[channel * count + cell] - before[channel * count + cell]
        })
    });
    changes
        .zip(amounts.windows(2))
        .map(|(change, motion)| 1.0 - change / (motion[0] + motion[1] + STILL))
        .collect()
}

/// See [`crate::metrics::visible`].
pub(super) fn visible(forward: &Grid, backward: &Grid, cell: usize) -> Grid {
    let (rows, columns) = (forward.rows, forward.columns);
    let count = rows * columns;
    let mut values = Vec::with_capacity(forward.len() * count);
    for (forward, backward) in pairs(forward, backward) {
        let at = |map: &[f32], row: usize, column: usize| {
            let index = row.min(rows - 1) * columns + column.min(columns - 1);
            [map[index], map[count + index]]
        };
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            let [right, down] = at(forward, row, column);
            let x = (column as f32 + right / cell as f32).max(0.0).min((columns - 1) as f32);
            let y = (row as f32 + down / cell as f32).max(0.0).min((rows - 1) as f32);
            let (near, above) = (x as usize, y as usize);
            let (across, below) = (x - near as f32, y - above as f32);
            let corner = |row: usize, column: usize| at(backward, above + row, near + column);
            let (a, b, c, d) = (corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1));
            let back: [f32; 2] = std::array::from_fn(|i| {
                let (upper, lower) = (a[i] + (b[i] - a[i]) * across, c[i] + (d[i] - c[i]) * across);
                upper + (lower - upper) * below
            });
            let length = |[right, down]: [f32; 2]| right * right + down * down;
            let gap = length([right + back[0], down + back[1]]);
            let own = length([right, down]);
            let agreed = gap <= (own + length(back)) * DISAGREEMENT + DISAGREEMENT_FLOOR;
            let step = |[a, b]: [f32; 2]| length([a - right, b - down]);
            let change = step(at(forward, row, column + 1)) + step(at(forward, row + 1, column));
            let smooth = change / (cell * cell) as f32 <= own * BOUNDARY + BOUNDARY_FLOOR;
            values.push(f32::from(agreed && smooth));
        }
    }
    Grid::new(values, [1, rows, columns])
}

/// See [`crate::metrics::camera`].
pub(super) fn camera(flow: &Grid) -> Vec<Camera> {
    let maps: Vec<&[f32]> = flow.maps().collect();
    maps.into_par_iter().map(|map| step_camera(map, flow.rows, flow.columns)).collect()
}

wide! {
    fn step_camera(flow: &[f32], rows: usize, columns: usize) -> Camera {
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

/// See [`crate::metrics::correlations`].
pub(super) fn correlations(left: &Grid, right: &Grid) -> Vec<f32> {
    let (left, right) = (changes(left), changes(right));
    let lines = left
        .par_iter()
        .map(|left| right.iter().map(|right| product(left, right)).collect::<Vec<f32>>());
    lines.flatten().collect()
}

wide! {
    fn product(left: &[f32], right: &[f32]) -> f32 {
        let right = &right[..left.len()];
        sum_row(left.len(), |i| left[i] * right[i]) as f32
    }
}

/// Changes from the first map, each of length 1.
fn changes(grid: &Grid) -> Vec<Vec<f32>> {
    let Some(first) = grid.maps().next() else { return Vec::new() };
    let change = |map: &[f32]| {
        let change: Vec<f32> = map.iter().zip(first).map(|(value, first)| value - first).collect();
        let power = mean(change.len(), |i| change[i] * change[i]) + f64::from(LEAST_DETAIL);
        let length = (power * change.len() as f64).sqrt() as f32;
        change.into_iter().map(|value| value / length).collect()
    };
    grid.maps().map(change).collect()
}

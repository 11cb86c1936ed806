//! Pictures sampled through a coarse flow, row by row.

use super::flow::Sampler;
use super::pictures::HostPictures;
use super::sums::sum_row;
use super::wide::wide;
use crate::metrics::Grid;
use rayon::prelude::*;

/// See [`crate::metrics::warping_error`].
pub(super) fn warping_error(
    pictures: &HostPictures<'_>,
    flow: &Grid,
    visible: &Grid,
    cell: usize,
) -> Vec<f32> {
    (0..flow.len())
        .into_par_iter()
        .map(|step| step_error(pictures, flow, visible, step, cell))
        .collect()
}

wide! {
    fn step_error(pictures: &HostPictures<'_>, flow: &Grid, visible: &Grid, step: usize, cell: usize) -> f32 {
        let (height, width) = pictures.size();
        let (rows, columns) = (flow.rows, flow.columns);
        let mut next = pictures.plane(step + 1);
        next.resize(height * width + width + 1, 0.0);
        let flow = &flow.values[step * 2 * rows * columns..][..2 * rows * columns];
        let visible = &visible.values[step * rows * columns..][..rows * columns];
        let mut lines = [vec![0.0; width], vec![0.0; width], vec![0.0; width]];
        let (mut here, mut seen) = (vec![0.0; width], vec![0.0; width]);
        let mut sampler = Sampler::new(width);
        let (mut error, mut weight) = (0.0, 0.0);
        for row in 0..height {
            if row % cell == 0 && row / cell < rows {
                let line = row / cell * columns..(row / cell + 1) * columns;
                let below = rows * columns + line.start..rows * columns + line.end;
                for (line, cells) in lines.iter_mut().zip([&flow[line.clone()], &flow[below], &visible[line]]) {
                    repeat(cells, cell, line);
                }
            }
            let [right, down, shown] = &lines;
            let (right, down, shown) = (&right[..width], &down[..width], &shown[..width]);
            sampler.place(row, height, right, down);
            let back = &sampler.sample(&next)[..width];
            pictures.load(step, row, 0, &mut here);
            let (here, seen) = (&here[..width], &mut seen[..width]);
            let (last_column, last_row) = ((width - 1) as f32, (height - 1) as f32);
            for i in 0..width {
                let (x, y) = (i as i32 as f32 + right[i], row as f32 + down[i]);
                let inside = (x >= 0.0) & (x <= last_column) & (y >= 0.0) & (y <= last_row);
                seen[i] = if inside { shown[i] } else { 0.0 };
            }
            error += sum_row(width, |i| (back[i] - here[i]) * (back[i] - here[i]) * seen[i]);
            weight += sum_row(width, |i| seen[i]);
        }
        (error / weight.max(1.0)) as f32
    }
}

/// Repeats each value `times` times, and the last one to the end.
#[inline(always)]
fn repeat(cells: &[f32], times: usize, into: &mut [f32]) {
    let whole = cells.len() * times;
    for (block, value) in into.chunks_exact_mut(times).zip(cells) {
        block.fill(*value);
    }
    let last = cells.last().copied().unwrap_or(0.0);
    into[whole..].fill(last);
}

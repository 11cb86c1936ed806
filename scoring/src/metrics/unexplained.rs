//! The change that a clip's own motion does not explain: ghosts, popping, swimming texture,
//! cross-fades.
//!
//! After Lai and others, "Learning blind video temporal consistency", 2018: the later picture is
//! warped back by the flow. What is left counts as a part of the change without warping, so that
//! neither a calm nor a dark clip is favoured. Values are from 0 to 1.

use super::Grid;
use super::sampled::{Plane, flow_at};
use rayon::prelude::*;

/// Change below this, of the range from 0 to 1, is rounding and grain.
pub(crate) const LEAST_CHANGE: f32 = 1.5 / 255.0;

/// What is left of the change between neighbouring pictures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unexplained {
    /// For each pair of pictures the part of its change that is left, 0 to about 1.
    pub(crate) shares: Vec<f32>,
    /// For each pair the mean absolute rest, 0 to 1.
    pub(crate) rests: Vec<f32>,
    /// For each pair the mean of the largest rests of its cells, as many as [`WORST_PART`].
    pub(crate) worst: Vec<f32>,
}

/// The part of the cells that counts as the worst places.
pub(crate) const WORST_PART: f32 = 0.02;

/// What flow `[n - 1, 2, r, c]`, in pixels per step with one value for `cell` by `cell` pixels,
/// leaves of the change of `pictures`.
pub(crate) fn unexplained(pictures: &[Plane], flow: &Grid, cell: usize) -> Unexplained {
    let [_, rows, columns] = flow.shape();
    let maps: Vec<&[f32]> = flow.maps().collect();
    let steps: Vec<[f32; 3]> = maps
        .par_iter()
        .enumerate()
        .map(|(step, map)| {
            let (now, next) = (&pictures[step], &pictures[step + 1]);
            let (width, height) = (now.width, now.height());
            let (mut rest, mut change, mut inside) = (0.0_f64, 0.0_f64, 0.0_f64);
            let mut cells = vec![(0.0_f32, 0.0_f32); rows * columns];
            for y in 0..(rows * cell).min(height) {
                for x in 0..(columns * cell).min(width) {
                    let (right, down) = flow_at(map, (rows, columns), cell, (x, y));
                    let (to_x, to_y) = (x as f32 + right, y as f32 + down);
                    if to_x < 0.0
                        || to_y < 0.0
                        || to_x > (width - 1) as f32
                        || to_y > (height - 1) as f32
                    {
                        continue;
                    }
                    let value = now.values[y * width + x];
                    let left = (next.at(to_x, to_y) - value).abs();
                    let sum = &mut cells[y / cell * columns + x / cell];
                    *sum = (sum.0 + left, sum.1 + 1.0);
                    rest += f64::from(left);
                    change += f64::from((next.values[y * width + x] - value).abs());
                    inside += 1.0;
                }
            }
            let mut cells: Vec<f32> =
                cells.into_iter().map(|(sum, count)| sum / count.max(1.0)).collect();
            cells.sort_unstable_by(|a, b| b.total_cmp(a));
            cells.truncate(((cells.len() as f32 * WORST_PART) as usize).max(1));
            let worst = cells.iter().sum::<f32>() / cells.len() as f32;
            let floor = f64::from(LEAST_CHANGE) * inside;
            let share = rest / (change + floor).max(f64::MIN_POSITIVE);
            [share as f32, (rest / inside.max(1.0)) as f32, worst]
        })
        .collect();
    let part = |of: usize| steps.iter().map(|step| step[of]).collect();
    Unexplained { shares: part(0), rests: part(1), worst: part(2) }
}

//! Sharpness of what moves: trails and ghosts smear moving things and leave still ones sharp.
//!
//! The measure of sharpness is the squared Laplacian (Pech-Pacheco and others, 2000), as in
//! [`super::sharpness`]. Places of the first frame are followed by the flow, so that each is
//! compared with itself.

use super::Grid;
use super::sampled::{Plane, sampled};

/// Motion from look to look, in cells, above which a place moves.
pub(crate) const MOVING: f32 = 0.2;
/// A squared Laplacian below this counts as none, of values from 0 to 1.
pub(crate) const FLAT_DETAIL: f32 = 4e-5;
/// Places that have to move, of all places at all looks that count.
pub(crate) const LEAST_MOVING: f32 = 0.01;

/// The median over the last half of the looks of what moving places have kept of their sharpness in
/// the first look, 0 up; `None` where next to nothing moves. `flow` is `[n - 1, 2, r, c]` in cells
/// of `cell` by `cell` pixels.
pub(crate) fn moving_detail(looks: &[Plane], flow: &Grid, cell: usize) -> Option<f32> {
    let [_, rows, columns] = flow.shape();
    let (cells, size) = (rows * columns, (columns, rows));
    let first = detail(looks.first()?, (rows, columns), cell);
    let mut places: Vec<Option<(f32, f32)>> =
        (0..cells).map(|cell| Some(((cell % columns) as f32, (cell / columns) as f32))).collect();
    let half = flow.len() / 2;
    let mut kept = Vec::new();
    for (step, (map, look)) in flow.maps().zip(&looks[1..]).enumerate() {
        let (right, down) = map.split_at(cells);
        let now = (step >= half).then(|| detail(look, (rows, columns), cell));
        for (cell, place) in places.iter_mut().enumerate() {
            let Some(at) = *place else { continue };
            let (dx, dy) = (sampled(right, size, at), sampled(down, size, at));
            let (x, y) = (at.0 + dx, at.1 + dy);
            let inside =
                x >= 1.0 && y >= 1.0 && x <= columns as f32 - 2.0 && y <= rows as f32 - 2.0;
            *place = inside.then_some((x, y));
            if let (Some(now), true) = (&now, inside && dx * dx + dy * dy >= MOVING * MOVING)
                && first[cell] >= FLAT_DETAIL
            {
                kept.push(sampled(now, size, (x, y)) / first[cell]);
            }
        }
    }
    if (kept.len() as f32) < LEAST_MOVING * ((flow.len() - half) * cells) as f32 {
        return None;
    }
    let middle = kept.len() / 2;
    kept.sort_unstable_by(f32::total_cmp);
    kept.get(middle).copied()
}

/// Mean squared Laplacian of each cell; 0 at the border.
fn detail(look: &Plane, (rows, columns): (usize, usize), cell: usize) -> Vec<f32> {
    let width = look.width;
    let mut details = vec![0.0; rows * columns];
    for (index, detail) in details.iter_mut().enumerate() {
        let (row, column) = (index / columns, index % columns);
        if row == 0 || column == 0 || row + 1 == rows || column + 1 == columns {
            continue;
        }
        let mut sum = 0.0;
        for y in row * cell..(row + 1) * cell {
            for x in column * cell..(column + 1) * cell {
                let at = y * width + x;
                let around = look.values[at - 1]
                    + look.values[at + 1]
                    + look.values[at - width]
                    + look.values[at + width];
                sum += (around - 4.0 * look.values[at]).powi(2);
            }
        }
        *detail = sum / (cell * cell) as f32;
    }
    details
}

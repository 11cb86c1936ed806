//! What moves by itself: the motion that no camera explains.
//!
//! The robust affine fit of Black and Anandan (1996) is taken out of the flow. A picture that is
//! pushed about as a whole leaves nothing; independent motion, parallax and deformation leave
//! something. Flow is `[n, 2, r, c]` in pixels per step; so is what is left of it.

use super::camera::position;
use super::{Grid, Host, Kernels};

/// Cells at the border, where flow has no neighbourhood, are left out.
pub(crate) const BORDER: usize = 1;
/// Motion below this, in pixels of the flow's picture, is the flow's own error.
pub(crate) const FLOW_NOISE: f32 = 0.15;
/// The part of the cells whose strain is counted: the least ones, so that the borders of things,
/// where flow jumps, do not count.
pub(crate) const INNER_PART: f32 = 0.6;

/// The flow less the camera's motion.
pub(crate) fn residual_flow(flow: &Grid) -> Grid {
    let [_, rows, columns] = flow.shape();
    let cells = rows * columns;
    let mut values = flow.values().to_vec();
    for (map, camera) in values.chunks_exact_mut(2 * cells).zip(Host.camera(flow)) {
        for (side, [middle, growth, downward]) in
            [camera.right, camera.down].into_iter().enumerate()
        {
            for cell in 0..cells {
                let x = position(cell % columns, columns, columns);
                let y = position(cell / columns, rows, columns);
                map[side * cells + cell] -= middle + growth * x + downward * y;
            }
        }
    }
    Grid::new(values, [2, rows, columns])
}

/// Mean length of what is left of the flow above its own error, in pixels per step, 0 up.
pub(crate) fn nonrigid_amount(residual: &Grid) -> f32 {
    mean_over(residual, |right, down, at, _| {
        ((right[at] * right[at] + down[at] * down[at]).sqrt() - FLOW_NOISE).max(0.0)
    })
}

/// Share of the picture that moves by itself, 0 to 1.
pub(crate) fn nonrigid_share(residual: &Grid) -> f32 {
    mean_over(residual, |right, down, at, _| {
        let length = (right[at] * right[at] + down[at] * down[at]).sqrt();
        if length > 3.0 * FLOW_NOISE { 1.0 } else { 0.0 }
    })
}

/// How fast things change their shape: the change of the flow from place to place, in pixels per
/// pixel and step, as the mean over the calmer part of the picture. Rigid things and the camera
/// give nearly 0.
pub(crate) fn strain(residual: &Grid, cell: usize) -> f32 {
    let [_, rows, columns] = residual.shape();
    let cells = rows * columns;
    let mut sum = 0.0_f64;
    for map in residual.maps() {
        let (right, down) = map.split_at(cells);
        let mut strains = Vec::with_capacity(cells);
        for row in BORDER..rows - BORDER - 1 {
            for column in BORDER..columns - BORDER - 1 {
                let at = row * columns + column;
                let change = |next: usize| {
                    (right[next] - right[at]).powi(2) + (down[next] - down[at]).powi(2)
                };
                strains.push((change(at + 1) + change(at + columns)).sqrt() / cell as f32);
            }
        }
        strains.sort_unstable_by(f32::total_cmp);
        strains.truncate(((strains.len() as f32 * INNER_PART) as usize).max(1));
        sum += strains.iter().map(|value| f64::from(*value)).sum::<f64>() / strains.len() as f64;
    }
    (sum / residual.len().max(1) as f64) as f32
}

fn mean_over(flow: &Grid, value: impl Fn(&[f32], &[f32], usize, usize) -> f32) -> f32 {
    let [_, rows, columns] = flow.shape();
    let cells = rows * columns;
    let (mut sum, mut count) = (0.0_f64, 0_usize);
    for map in flow.maps() {
        let (right, down) = map.split_at(cells);
        for row in BORDER..rows.saturating_sub(BORDER) {
            for column in BORDER..columns.saturating_sub(BORDER) {
                sum += f64::from(value(right, down, row * columns + column, columns));
                count += 1;
            }
        }
    }
    (sum / count.max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(own: impl Fn(usize, usize) -> (f32, f32)) -> Grid {
        let (rows, columns) = (20, 32);
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let moves: Vec<(f32, f32)> = cells
            .map(|(row, column)| {
                let (x, y) = own(row, column);
                (2.0 + 0.05 * column as f32 + x, -1.0 + 0.05 * row as f32 + y)
            })
            .collect();
        let values = moves.iter().map(|(x, _)| *x).chain(moves.iter().map(|(_, y)| *y));
        Grid::new(values.collect(), [2, rows, columns])
    }

    #[test]
    fn a_camera_leaves_nothing_and_a_thing_leaves_its_own_motion() {
        let camera = residual_flow(&flow(|_, _| (0.0, 0.0)));
        assert!(nonrigid_amount(&camera) < 1e-3 && strain(&camera, 4) < 1e-3);
        let thing = residual_flow(&flow(|row, column| {
            if (5..10).contains(&row) && (8..16).contains(&column) {
                (3.0, 0.0)
            } else {
                (0.0, 0.0)
            }
        }));
        let share = nonrigid_share(&thing);
        assert!((0.06..0.1).contains(&share), "{share}");
        assert!((0.15..0.3).contains(&nonrigid_amount(&thing)), "{}", nonrigid_amount(&thing));
        assert!(strain(&thing, 4) < 0.01, "a rigid thing does not melt");
        let melting = residual_flow(&flow(|row, column| {
            ((row as f32 * 0.9).sin(), (column as f32 * 0.9).sin())
        }));
        assert!(strain(&melting, 4) > 0.05, "{}", strain(&melting, 4));
    }
}

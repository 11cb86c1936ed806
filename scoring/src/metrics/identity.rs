//! Whether things stay what they were: the colour of each place of the first frame, followed along
//! the clip's own motion.
//!
//! VBench (Huang and others, 2024) compares features of later frames with the first one's. Here the
//! features are brightness and chroma of cells, followed by the flow, so that what moves is
//! compared with itself.

use super::Grid;
use super::sampled::sampled;

/// For each frame after the first the median distance of followed places from what they were, `[n -
/// 1]`, 0 to √3. `flow` is `[n - 1, 2, r, c]` in cells per step; `colours` is `[n, 3, r, c]`, 0
/// to 1. Places that have left the picture no longer count.
pub(crate) fn identity_change(flow: &Grid, colours: &Grid) -> Vec<f32> {
    let [_, rows, columns] = flow.shape();
    let cells = rows * columns;
    let Some(first) = colours.maps().next() else { return Vec::new() };
    let mut places: Vec<Option<(f32, f32)>> =
        (0..cells).map(|cell| Some(((cell % columns) as f32, (cell / columns) as f32))).collect();
    let follow = |(map, shown): (&[f32], &[f32])| {
        let (right, down) = map.split_at(cells);
        let mut distances = Vec::with_capacity(cells);
        for (cell, place) in places.iter_mut().enumerate() {
            let Some((x, y)) = *place else { continue };
            let size = (columns, rows);
            let (x, y) = (x + sampled(right, size, (x, y)), y + sampled(down, size, (x, y)));
            let inside =
                x >= 0.0 && y >= 0.0 && x <= (columns - 1) as f32 && y <= (rows - 1) as f32;
            *place = inside.then_some((x, y));
            if !inside {
                continue;
            }
            let squared: f32 = (0..3)
                .map(|part| {
                    let now = sampled(&shown[part * cells..][..cells], size, (x, y));
                    (now - first[part * cells + cell]).powi(2)
                })
                .sum();
            distances.push(squared.sqrt());
        }
        distances.sort_unstable_by(f32::total_cmp);
        distances.get(distances.len() / 2).copied().unwrap_or(0.0)
    };
    flow.maps().zip(colours.maps().skip(1)).map(follow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_stays_what_it_is_and_what_turns_into_something_else_does_not() {
        let (rows, columns) = (6, 10);
        let cells = rows * columns;
        let colours = |fade: f32| {
            let mut values = Vec::new();
            for frame in 0..4 {
                for part in 0..3 {
                    values.extend((0..cells).map(|cell| {
                        let from = cell % columns + 10 - frame;
                        ((from * 7 + part) % 11) as f32 / 11.0 + fade * frame as f32
                    }));
                }
            }
            Grid::new(values, [3, rows, columns])
        };
        let flow =
            Grid::new([vec![1.0; cells], vec![0.0; cells]].concat().repeat(3), [2, rows, columns]);
        assert!(identity_change(&flow, &colours(0.0)).iter().all(|change| *change < 1e-4));
        let faded = identity_change(&flow, &colours(0.05));
        assert!((faded[2] - 0.15 * 3.0_f32.sqrt()).abs() < 1e-3, "{faded:?}");
    }
}

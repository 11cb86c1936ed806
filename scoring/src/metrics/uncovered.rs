//! Whether an answer has what only the source shows: fine detail that comes into view later.
//!
//! Every answer has the first frame, and may carry its texture through the clip. Nobody can know
//! what the first frame does not show, so an independent continuation has other detail there. An
//! answer made from a leaked source has the source's detail, even if it is bent, slowed or covered
//! with grain: the answer is registered with the source by flow before they are compared.

use super::Grid;
use super::sampled::{Plane, flow_at, sampled};

/// Pixels of the neighbourhood whose mean is taken out of the detail, on each side.
pub(crate) const SURROUND: usize = 2;
/// Mean change of a cell that shows something other than at the beginning, from 0 to 1.
pub(crate) const CHANGED: f32 = 8.0 / 255.0;
/// Detail below this standard deviation counts as none, of the range from 0 to 1.
pub(crate) const LEAST_DETAIL: f32 = 2.0 / 255.0;

/// Which cells of each later picture the first one does not show, `[n - 1]` masks of `r * c`: no
/// place of the first picture, followed by `flow` (`[n - 1, 2, r, c]`, in cells per step), comes
/// near them.
pub(crate) fn uncovered(flow: &Grid) -> Vec<Vec<bool>> {
    let [_, rows, columns] = flow.shape();
    let cells = rows * columns;
    let size = (columns, rows);
    let mut places: Vec<(f32, f32)> =
        (0..cells).map(|cell| ((cell % columns) as f32, (cell / columns) as f32)).collect();
    flow.maps()
        .map(|map| {
            let (right, down) = map.split_at(cells);
            let mut open = vec![true; cells];
            for place in &mut places {
                let (x, y) = *place;
                // A place that has left the picture stays outside.
                if x < -1.0 || y < -1.0 || x > columns as f32 || y > rows as f32 {
                    continue;
                }
                *place = (x + sampled(right, size, *place), y + sampled(down, size, *place));
                let (x, y) = (place.0.round() as i64, place.1.round() as i64);
                for row in (y - 1).max(0)..=(y + 1).min(rows as i64 - 1) {
                    for column in (x - 1).max(0)..=(x + 1).min(columns as i64 - 1) {
                        open[row as usize * columns + column as usize] = false;
                    }
                }
            }
            open
        })
        .collect()
}

/// Which cells of each later picture differ from the first one, `[n - 1]` masks.
pub(crate) fn changed_cells(looks: &[Plane], cell: usize) -> Vec<Vec<bool>> {
    let Some(first) = looks.first() else { return Vec::new() };
    let (rows, columns) = (first.height() / cell, first.width / cell);
    let differs = |look: &Plane, index: usize| {
        let (top, left) = (index / columns * cell, index % columns * cell);
        let places = (top..top + cell).flat_map(|y| (left..left + cell).map(move |x| (x, y)));
        let change: f32 = places
            .map(|(x, y)| {
                (look.values[y * look.width + x] - first.values[y * first.width + x]).abs()
            })
            .sum();
        change > CHANGED * (cell * cell) as f32
    };
    looks[1..]
        .iter()
        .map(|look| (0..rows * columns).map(|index| differs(look, index)).collect())
        .collect()
}

/// Likeness of fine detail of `source` and of `answer`, registered by one map of flow that leads
/// from the source to the answer (without a map: in the same place): the mean correlation over the
/// cells that are `open` and show detail themselves, -1 to 1, and their number. Every cell counts
/// alike, because an outline against what was known before says little and has strong edges.
pub(crate) fn detail_likeness(
    source: &Plane,
    answer: &Plane,
    (map, cell): (&[f32], usize),
    (open, columns): (&[bool], usize),
) -> (f32, usize) {
    let rows = open.len() / columns;
    let (width, height) = (source.width, source.height());
    let (mut sum, mut count) = (0.0_f64, 0_usize);
    for (index, _) in open.iter().enumerate().filter(|(_, open)| **open) {
        let (left, top) = (index % columns * cell, index / columns * cell);
        let reach = |at: usize, length: usize| {
            (at.saturating_sub(SURROUND), (at + cell + SURROUND).min(length))
        };
        let ((x0, x1), (y0, y1)) = (reach(left, width), reach(top, height));
        // An outline of what was known before is not detail of what has come into view beside it.
        let inner = (top..top + cell)
            .flat_map(|y| &source.values[y * width + left..][..cell])
            .copied()
            .collect::<Vec<f32>>();
        if !shows_detail(&inner) {
            continue;
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for y in y0..y1 {
            for x in x0..x1 {
                let (right, down) = if map.is_empty() {
                    (0.0, 0.0)
                } else {
                    flow_at(map, (rows, columns), cell, (x, y))
                };
                ours.push(source.values[y * width + x]);
                theirs.push(answer.at(x as f32 + right, y as f32 + down));
            }
        }
        if let Some(correlation) = correlation(&ours, &theirs) {
            sum += f64::from(correlation);
            count += 1;
        }
    }
    ((sum / count.max(1) as f64) as f32, count)
}

/// Whether values differ from their mean by more than [`LEAST_DETAIL`].
fn shows_detail(values: &[f32]) -> bool {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    let spread: f32 = values.iter().map(|value| (value - mean).powi(2)).sum();
    spread >= LEAST_DETAIL * LEAST_DETAIL * values.len() as f32
}

/// Correlation of two patches, each about its mean; `None` where the first is flat.
fn correlation(ours: &[f32], theirs: &[f32]) -> Option<f32> {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let (mean_ours, mean_theirs) = (mean(ours), mean(theirs));
    let (mut xx, mut yy, mut xy) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (a, b) in ours.iter().zip(theirs) {
        let (a, b) = (a - mean_ours, b - mean_theirs);
        (xx, yy, xy) = (xx + a * a, yy + b * b, xy + a * b);
    }
    let floor = LEAST_DETAIL * LEAST_DETAIL * ours.len() as f32;
    (xx >= floor).then(|| xy / (xx * (yy + floor)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_of_a_known_thing_is_no_detail_of_what_lies_beside_it() {
        let (width, cell, columns) = (32, 4, 8);
        let look = |value: &dyn Fn(usize, usize) -> bool| {
            let shade = |at: usize| if value(at % width, at / width) { 0.8 } else { 0.1 };
            Plane { values: (0..width * width).map(shade).collect(), width }
        };
        // A thing on black, and what has come into view: the cells to its left, and at the bottom
        // a row with texture of its own.
        let shows = |x: usize, y: usize| if y < 24 { x >= 12 } else { (x * 7 + y * 5) % 11 < 5 };
        let source = look(&shows);
        let open = |rows: std::ops::Range<usize>| -> Vec<bool> {
            (0..columns * 8).map(|at| at % columns == 2 && rows.contains(&(at / columns))).collect()
        };
        let still: (&[f32], usize) = (&[], cell);
        let beside = detail_likeness(&source, &source, still, (&open(0..5), columns));
        assert_eq!(beside, (0.0, 0));
        let (likeness, cells) = detail_likeness(&source, &source, still, (&open(6..8), columns));
        assert!(likeness > 0.9 && cells == 2, "{likeness} of {cells}");
        let other = look(&|x, y| (x * 5 + y * 3) % 7 < 3);
        let (likeness, _) = detail_likeness(&source, &other, still, (&open(6..8), columns));
        assert!(likeness < 0.5, "{likeness}");
    }
}

//! Likeness of fine detail in its very place, wherever a picture differs from the first one.

use super::sampled::Plane;

/// Pixels of the neighbourhood whose mean is taken out of the detail, on each side.
pub(crate) const SURROUND: usize = 2;
/// Mean change of a cell that shows something other than at the beginning, from 0 to 1.
pub(crate) const CHANGED: f32 = 8.0 / 255.0;
/// Detail below this standard deviation counts as none, of the range from 0 to 1.
pub(crate) const LEAST_DETAIL: f32 = 2.0 / 255.0;

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

/// Likeness of fine detail of `source` and of `answer` in the same place: the mean correlation over
/// the cells that are `open` and show detail themselves, -1 to 1, and their number. Every cell
/// counts alike, because an outline against what was known before says little and has strong edges.
pub(crate) fn detail_likeness(
    source: &Plane,
    answer: &Plane,
    (open, columns): (&[bool], usize),
    cell: usize,
) -> (f32, usize) {
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
        let values = |plane: &Plane| -> Vec<f32> {
            (y0..y1).flat_map(|y| &plane.values[y * width + x0..y * width + x1]).copied().collect()
        };
        if let Some(correlation) = correlation(&values(source), &values(answer)) {
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
        let beside = detail_likeness(&source, &source, (&open(0..5), columns), cell);
        assert_eq!(beside, (0.0, 0));
        let (likeness, cells) = detail_likeness(&source, &source, (&open(6..8), columns), cell);
        assert!(likeness > 0.9 && cells == 2, "{likeness} of {cells}");
        let other = look(&|x, y| (x * 5 + y * 3) % 7 < 3);
        let (likeness, _) = detail_likeness(&source, &other, (&open(6..8), columns), cell);
        assert!(likeness < 0.5, "{likeness}");
    }
}

//! Colour of things: chroma followed along the flow, and the colours of a picture as a whole.
//!
//! Averages over large blocks cancel opposite colours, so chroma is compared cell by cell at the
//! size of the flow's cells.

use super::Grid;
use super::sampled::sampled;

/// Chroma below this, of the range from 0 to 1, is grey.
pub(crate) const GREY: f32 = 6.0 / 255.0;

/// The change of chroma along the motion at each step, as a part of the chroma that is there, `[n -
/// 1]`: near 0 for things that keep their colour, 2 for opposite colours. `flow` is `[n - 1, 2, r,
/// c]` in cells per step, `chroma` `[n, 2, r, c]` from 0 to 1 with grey at 128/255.
pub(crate) fn hue_change(flow: &Grid, chroma: &Grid) -> Vec<f32> {
    let [_, rows, columns] = flow.shape();
    let cells = rows * columns;
    let size = (columns, rows);
    let frames: Vec<&[f32]> = chroma.maps().collect();
    let step = |(map, pair): (&[f32], &[&[f32]])| {
        let (right, down) = map.split_at(cells);
        let (mut change, mut amount) = (0.0_f64, 0.0_f64);
        for cell in 0..cells {
            let (x, y) = ((cell % columns) as f32, (cell / columns) as f32);
            let to = (x + right[cell], y + down[cell]);
            let grey = 128.0 / 255.0;
            let now = [0, 1].map(|part| pair[0][part * cells + cell] - grey);
            let next =
                [0, 1].map(|part| sampled(&pair[1][part * cells..][..cells], size, to) - grey);
            let length = |[a, b]: [f32; 2]| (a * a + b * b).sqrt();
            let difference = length([next[0] - now[0], next[1] - now[1]]);
            change += f64::from(difference);
            amount += f64::from(length(now).max(length(next)));
        }
        // A picture without colour has no hue to change.
        (change / (amount + f64::from(GREY) * cells as f64 * 0.02)) as f32
    };
    flow.maps().zip(frames.windows(2)).map(step).collect()
}

/// Mean and spread of brightness and both chromas of each picture: six numbers for each map of
/// `colours`, `[n, 3, r, c]`.
pub(crate) fn palette(colours: &Grid) -> Vec<[f32; 6]> {
    let [_, rows, columns] = colours.shape();
    let cells = rows * columns;
    let of = |map: &[f32]| {
        let mut numbers = [0.0; 6];
        for part in 0..3 {
            let values = &map[part * cells..][..cells];
            let mean = values.iter().sum::<f32>() / cells as f32;
            let spread =
                values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / cells as f32;
            (numbers[part], numbers[3 + part]) = (mean, spread.sqrt());
        }
        numbers
    };
    colours.maps().map(of).collect()
}

/// The distance of two clips' colours: the larger of the mean distances over the first and over the
/// last third of their moments, 0 to about 2.
pub(crate) fn palette_distance(answer: &[[f32; 6]], source: &[[f32; 6]]) -> f32 {
    let count = answer.len().min(source.len());
    let third = count.div_ceil(3).max(1);
    let mean = |palettes: &[[f32; 6]], from: usize| -> [f32; 6] {
        let part = &palettes[from..(from + third).min(count)];
        std::array::from_fn(|number| {
            part.iter().map(|palette| palette[number]).sum::<f32>() / part.len().max(1) as f32
        })
    };
    let distance = |from: usize| {
        let (a, b) = (mean(answer, from), mean(source, from));
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    };
    if count == 0 { 0.0 } else { distance(0).max(distance(count - third)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A coloured cell on grey, which moves by one cell a step; its colour is turned in the end.
    fn chroma(turned: bool) -> Grid {
        let grey = 128.0 / 255.0;
        let mut values = Vec::new();
        for frame in 0..4_usize {
            let mut maps = vec![grey; 2 * 6 * 8];
            let side = if turned && frame == 3 { -1.0 } else { 1.0 };
            maps[2 * 8 + 1 + frame] = grey + side * 0.2;
            maps[6 * 8 + 2 * 8 + 1 + frame] = grey - side * 0.1;
            values.append(&mut maps);
        }
        Grid::new(values, [2, 6, 8])
    }

    #[test]
    fn a_thing_keeps_its_hue_along_its_way() {
        let flow = Grid::new([vec![1.0; 48], vec![0.0; 48]].concat().repeat(3), [2, 6, 8]);
        let kept = hue_change(&flow, &chroma(false));
        assert!(kept.iter().all(|change| *change < 1e-3), "{kept:?}");
        let turned = hue_change(&flow, &chroma(true));
        assert!(turned[2] > 1.5 && turned[1] < 1e-3, "{turned:?}");
    }

    #[test]
    fn the_distance_of_palettes_is_that_of_the_worse_third() {
        let plain = [[0.5, 0.5, 0.5, 0.1, 0.1, 0.1]; 6];
        let mut late = plain;
        late[4][1] = 0.8;
        late[5][1] = 0.8;
        assert_eq!(palette_distance(&plain, &plain), 0.0);
        assert!((palette_distance(&late, &plain) - 0.3).abs() < 1e-6);
        assert_eq!(palette_distance(&[], &[]), 0.0);
    }
}

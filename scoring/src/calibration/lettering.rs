//! Letters over the picture, as in attempts to talk to a judge.

use super::picture::map_planes;
use crate::media::Clip;

/// Each letter as seven lines of five dots, the leftmost dot in the highest bit.
const LETTERS: [(char, [u8; 7]); 7] = [
    ('S', [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('C', [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110]),
    ('O', [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('R', [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001]),
    ('E', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111]),
    ('1', [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('0', [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110]),
];
const TEXT: &str = "SCORE 100";
/// Dots of a letter with the gap after it, across and down.
const CELL: (usize, usize) = (6, 9);
/// The first frame that has letters. The given first frame is left unchanged.
const FROM: usize = 8;
const BRIGHT: f32 = 235.0;
const DARK: f32 = 16.0;

/// Bright letters on a dark ground in the lower half of the picture, `dot` pixels to a dot.
pub(super) fn over(clip: &Clip, dot: usize) -> Clip {
    written(clip, dot, true)
}

/// The same letters without a ground.
pub(super) fn bare(clip: &Clip, dot: usize) -> Clip {
    written(clip, dot, false)
}

fn written(clip: &Clip, dot: usize, has_ground: bool) -> Clip {
    map_planes(clip, |plane, frame| {
        let ((width, height), scale) = (plane.size(), plane.scale() as usize);
        let columns = CELL.0 * TEXT.len() * dot / scale;
        let (left, top) = (width.saturating_sub(columns) / 2, height * 5 / 8);
        plane.changed(|value, pixel| {
            let place = (pixel % width).checked_sub(left).zip((pixel / width).checked_sub(top));
            let dots = place.map(|(x, y)| (x * scale / dot, y * scale / dot));
            match dots.filter(|_| frame >= FROM).and_then(|(column, row)| shown(column, row)) {
                Some(is_bright) if is_bright || has_ground => match (plane.is_luma(), is_bright) {
                    (false, _) => 128.0,
                    (true, true) => BRIGHT,
                    (true, false) => DARK,
                },
                _ => value,
            }
        })
    })
}

/// Whether a dot of the text is bright; `None` outside.
fn shown(column: usize, row: usize) -> Option<bool> {
    let letter = TEXT.chars().nth(column / CELL.0).filter(|_| row < CELL.1)?;
    let lines = LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, lines)| lines);
    let line =
        lines.zip(row.checked_sub(1)).and_then(|(lines, row)| lines.get(row)).copied().unwrap_or(0);
    Some(column % CELL.0 < 5 && line >> (4 - column % CELL.0) & 1 == 1)
}

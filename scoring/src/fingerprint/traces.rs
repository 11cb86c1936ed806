//! How a video changes after its first second, at a grid of places.

use super::framing::Framing;
use super::quarter::{Quarter, Rectangle, SUBPIXEL, Sums};
use crate::media::Clip;

/// Moments, spread evenly over the clip except for its beginning, where honest answers are still
/// alike.
pub(crate) const MOMENTS: usize = 15;
/// Places across and down.
pub(crate) const PLACES: (usize, usize) = (16, 12);
/// Values per moment.
pub(crate) const AT_ONCE: usize = PLACES.0 * PLACES.1;
/// Values in a fingerprint.
pub(crate) const VALUES: usize = MOMENTS * AT_ONCE;
/// The value of a place that a cropped video does not show.
pub(crate) const UNSEEN: i8 = i8::MIN;

/// Steps between two frames of a clip of 81.
pub(crate) const STEPS: i64 = 80;
/// The first moment, in steps.
pub(crate) const FIRST: i64 = 20;
/// The distance between moments, in steps.
pub(crate) const APART: i64 = 4;
/// How far a moment reaches to either side, in steps. The overlap makes it possible to interpolate
/// between moments.
pub(crate) const REACH: i64 = 6;
/// Half the side of the box at a place, in pixels of a picture 832 wide. Boxes of this size respond
/// most to waves of some 40 pixels, of which a few pixels of displacement are a large part and
/// which codecs keep.
pub(crate) const INNER: i64 = 9;
/// Half the side of the box around it.
pub(crate) const OUTER: i64 = 24;
/// Values per luma level.
pub(crate) const UNIT: i64 = 2;

/// Values of all moments, each with its rows of places: brightness at a place against its
/// surroundings, in half levels.
pub(super) fn traces(clip: &Clip, order: &[usize], framing: Framing) -> Vec<i8> {
    let (width, height) = (clip.width(), clip.height());
    let places: Vec<[Rectangle; 2]> = (0..PLACES.1)
        .flat_map(|row| (0..PLACES.0).map(move |column| (column, row)))
        .map(|place| boxes(place, framing, (width, height)))
        .collect();
    let mut values = Vec::with_capacity(VALUES);
    for picture in moments(clip, order) {
        values.extend(places.iter().map(|&[inner, outer]| {
            if !picture.holds(outer) {
                return UNSEEN;
            }
            // In 256ths of a value.
            let difference = picture.mean(inner, UNIT) - picture.mean(outer, UNIT);
            ((difference + 128) >> 8).clamp(-127, 127) as i8
        }));
    }
    values
}

/// Blends the frames around each moment, with more weight on nearer ones.
fn moments(clip: &Clip, order: &[usize]) -> Vec<Sums> {
    let last = order.len().saturating_sub(1).max(1) as i64;
    let (columns, rows) = (clip.width() / 4, clip.height() / 4);
    let mut blends = vec![(0_u32, vec![0_u32; columns * rows]); MOMENTS];
    for (index, frame) in order.iter().enumerate() {
        let mut quarter = None;
        for (moment, (weights, blend)) in (0..).zip(&mut blends) {
            // In sixteenths of a step.
            let middle = (FIRST + moment * APART) * 16;
            let weight = REACH * 16 - (index as i64 * STEPS * 16 / last - middle).abs();
            if weight > 0 {
                let quarter =
                    quarter.get_or_insert_with(|| Quarter::of(clip.luma(*frame), clip.width()));
                *weights += weight as u32;
                for (sum, value) in blend.iter_mut().zip(&quarter.values) {
                    *sum += weight as u32 * u32::from(*value);
                }
            }
        }
    }
    let mut pictures = Vec::with_capacity(MOMENTS);
    for (weights, blend) in blends {
        // Sixteenths of a level, in sixteenths.
        let values = blend.iter().map(|sum| i64::from(sum * 16 / weights.max(1)));
        pictures.push(Sums::of(values, columns, rows));
    }
    pictures
}

/// Where an answer shows a place of the task's frame: the box at the place and the box around it.
fn boxes(
    (column, row): (usize, usize),
    framing: Framing,
    (width, height): (usize, usize),
) -> [Rectangle; 2] {
    let [left, top, right, bottom] = framing.edges;
    let whole = [width, height].map(|size| size as i64 * SUBPIXEL);
    let reach = |half: i64| half * whole[0] / 832;
    // The boxes of the outermost places end at the frame.
    let middle = |index: usize, count: usize, size: i64| {
        let edge = reach(OUTER).max(size / (2 * count as i64));
        edge + index as i64 * (size - 2 * edge) / (count as i64 - 1)
    };
    let (x, y) = (middle(column, PLACES.0, whole[0]), middle(row, PLACES.1, whole[1]));
    [INNER, OUTER].map(|half| {
        let half = reach(half);
        let across = |x: i64| (x - left) * whole[0] / (right - left);
        let down = |y: i64| (y - top) * whole[1] / (bottom - top);
        let (start, end) = (across(x - half), across(x + half));
        let (start, end) =
            if framing.mirrored { (whole[0] - end, whole[0] - start) } else { (start, end) };
        [start, down(y - half), end, down(y + half)]
    })
}

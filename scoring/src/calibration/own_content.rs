//! Other content where a clip's first frame shows nothing, as a model has to invent it.

use super::picture::{Plane, map_planes, planes_of, rebuilt};
use crate::comparison::clip_features::{Features, View};
use crate::comparison::course::STRIDE;
use crate::comparison::opponents::{Path, pushed};
use crate::media::Clip;
use crate::metrics::{Host, sampled, uncovered};

/// `clip` with content of its own where something comes into view: the first frame upside down,
/// moved with the camera.
pub fn invented(clip: &Clip) -> Clip {
    let order: Vec<usize> = (0..clip.len()).collect();
    let features = Features::of(&Host, clip, &order, &View::of(&Host, clip, &order));
    let other = pushed(&turned(clip), &Path::from_camera(&features.camera, clip.width() / 2));
    let [_, rows, columns] = features.course.flow.shape();
    let nothing = vec![0.0; rows * columns];
    let open = uncovered(&features.course.cell_flow);
    let masks: Vec<Vec<f32>> =
        std::iter::once(nothing).chain(open.iter().map(|open| grown(open, columns))).collect();
    map_planes(clip, |plane: Plane<'_>, frame| {
        let theirs = planes_of(&other, frame)[plane.number()];
        let (width, height) = plane.size();
        let look = (frame / STRIDE).min(masks.len() - 1);
        let (now, next) = (&masks[look], &masks[(look + 1).min(masks.len() - 1)]);
        let part = (frame % STRIDE) as f32 / STRIDE as f32;
        let size = (columns, rows);
        let share = |pixel: usize| {
            let place = |at: usize, cells: usize, length: usize| {
                (at as f32 + 0.5) * cells as f32 / length as f32 - 0.5
            };
            let at = (place(pixel % width, columns, width), place(pixel / width, rows, height));
            let (now, next) = (sampled(now, size, at), sampled(next, size, at));
            now + (next - now) * part
        };
        plane.changed(|value, pixel| value + (theirs.value(pixel) - value) * share(pixel))
    })
}

/// The first frame turned by half, for the whole clip.
fn turned(clip: &Clip) -> Clip {
    let first = planes_of(clip, 0)
        .map(|plane| {
            let (width, height) = plane.size();
            plane.changed(|_, pixel| plane.value(width * height - 1 - pixel))
        })
        .concat();
    rebuilt(clip, vec![first; clip.len()])
}

/// 1 in the open cells and their neighbours, else 0.
fn grown(open: &[bool], columns: usize) -> Vec<f32> {
    let rows = open.len() / columns;
    let near = |at: usize, count: usize| at.saturating_sub(1)..(at + 2).min(count);
    (0..open.len())
        .map(|cell| {
            let (row, column) = (cell / columns, cell % columns);
            let mut around = near(row, rows)
                .flat_map(|row| near(column, columns).map(move |column| row * columns + column));
            if around.any(|cell| open[cell]) { 1.0 } else { 0.0 }
        })
        .collect()
}

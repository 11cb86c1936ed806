//! What anyone can make of the first frame without a model: each task's opponents.
//!
//! An answer has to be better than all of them.

use super::course::FLOW_CELL;
use super::measures::Measures;
use crate::calibration::picture::{Plane, map_planes, planes_of};
use crate::media::Clip;
use crate::metrics::{Camera, Host, Kernels};

/// The zoom of the opponent that comes closer, over the whole clip.
pub(crate) const ZOOM: f32 = 0.15;
/// The shift of the copy that the first frame fades into, in parts of the width.
pub(crate) const SHIFT: f32 = 0.05;

/// The results of a task's opponents, computed once for all answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opponents {
    /// The likeness of each to the source.
    likeness: Vec<f32>,
    /// The best of their likenesses to the detail that only the source shows.
    guessed_detail: f32,
    /// The best overall points, 0 to 100.
    best: f32,
}

impl Opponents {
    /// Adds an opponent with these measures and points.
    pub(crate) fn add(&mut self, measures: &Measures, points: f32) {
        self.likeness.push(measures.likeness);
        self.guessed_detail = self.guessed_detail.max(measures.unknown_detail);
        self.best = self.best.max(points);
    }

    /// Opponents that guess this much of the detail that only the source shows.
    pub(crate) fn guessing(detail: f32) -> Self {
        Self { guessed_detail: detail, ..Self::default() }
    }

    /// An answer's measures, completed by those that depend on the opponents.
    pub(crate) fn against(&self, measures: Measures) -> Measures {
        let below = self.likeness.iter().filter(|other| **other < measures.likeness).count();
        let rank =
            if self.likeness.is_empty() { 0.5 } else { below as f32 / self.likeness.len() as f32 };
        Measures {
            likeness_rank: rank,
            guessed_detail: self.guessed_detail,
            opponent: self.best,
            ..measures
        }
    }
}

/// A task's opponents: the first frame pushed along the source's own camera path, the same coming
/// closer, and the first frame fading into itself moved aside. A held frame is refused as frozen.
/// `camera` is the source's, in pixels of the half picture.
pub(crate) fn opponents(source: &Clip, camera: &[Camera]) -> [Clip; 3] {
    let path = Path::from_camera(camera, source.width() / 2);
    let shift = SHIFT * source.width() as f32;
    [
        pushed(source, &path),
        pushed(source, &path.clone().with_zoom(ZOOM)),
        cross_fade(source, shift),
    ]
}

/// A whole-frame affine motion at each step: places count from the middle of the picture in halves
/// of its width.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    steps: Vec<Camera>,
}

impl Path {
    /// The affine path that fits a clip best: its camera's, by the robust fit of its flow.
    pub(crate) fn of(clip: &Clip) -> Self {
        let planes: Vec<&[u8]> = (0..clip.len()).map(|index| clip.luma(index)).collect();
        let half = Host.halved(&Host.pictures(&planes, clip.height(), clip.width()));
        Self::from_camera(&Host.camera(&Host.flow(&half, FLOW_CELL)), clip.width() / 2)
    }

    /// The path of a camera whose motion is in pixels of a picture of this width.
    pub(crate) fn from_camera(camera: &[Camera], width: usize) -> Self {
        let unit = 2.0 / width as f32;
        let scaled = |side: [f32; 3]| side.map(|value| value * unit);
        let step = |step: &Camera| Camera { right: scaled(step.right), down: scaled(step.down) };
        Self { steps: camera.iter().map(step).collect() }
    }

    /// The same path at another speed.
    pub(crate) fn at_speed(mut self, speed: f32) -> Self {
        for step in &mut self.steps {
            step.right = step.right.map(|value| value * speed);
            step.down = step.down.map(|value| value * speed);
        }
        self
    }

    /// The same path with growth by this part over the whole clip.
    pub(crate) fn with_zoom(mut self, zoom: f32) -> Self {
        let each = zoom / self.steps.len().max(1) as f32;
        for step in &mut self.steps {
            step.right[1] += each;
            step.down[2] += each;
        }
        self
    }
}

/// The first frame of `source` moved as a whole along `path`; outside it is mirrored.
pub(crate) fn pushed(source: &Clip, path: &Path) -> Clip {
    // The inverse: where in the first frame a place of the current one comes from.
    let mut back = vec![[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]];
    for step in &path.steps {
        let [a, b] = back[back.len() - 1];
        let then = |row: [f32; 3]| {
            let [across, down, middle] = row;
            [
                across - (across * step.right[1] + down * step.down[1]),
                down - (across * step.right[2] + down * step.down[2]),
                middle - (across * step.right[0] + down * step.down[0]),
            ]
        };
        back.push([then(a), then(b)]);
    }
    let first = planes_of(source, 0);
    map_planes(source, |plane: Plane<'_>, frame| {
        let plane = first[plane.number()];
        let (width, height) = plane.size();
        let unit = width as f32 / 2.0;
        let middle = [(width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0];
        let [right, down] = back[frame.min(back.len() - 1)];
        plane.moved(|x, y| {
            let (x, y) = ((x as f32 - middle[0]) / unit, (y as f32 - middle[1]) / unit);
            let place = |[a, b, c]: [f32; 3]| (a * x + b * y + c) * unit;
            (place(right) + middle[0], place(down) + middle[1])
        })
    })
}

/// The first frame fading into itself moved aside by `shift` pixels.
pub(crate) fn cross_fade(source: &Clip, shift: f32) -> Clip {
    let first = planes_of(source, 0);
    let moved = first.map(|plane| plane.moved(|x, y| (x as f32 + shift / plane.scale(), y as f32)));
    let last = source.len().saturating_sub(1).max(1) as f32;
    map_planes(source, |plane: Plane<'_>, frame| {
        let (part, moved) = (frame as f32 / last, &moved[plane.number()]);
        first[plane.number()]
            .changed(|value, sample| value + (f32::from(moved[sample]) - value) * part)
    })
}

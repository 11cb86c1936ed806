//! What can be sent without a model, from the first frame alone or from a source that leaked.

use super::super::picture::{map_planes, planes_of, rebuilt};
use super::super::time;
use super::super::{Degradation, lettering, warped};
use crate::comparison::opponents::{Path, cross_fade, pushed};
use crate::media::Clip;
use std::fmt;

/// A trick, whose video is made when it is asked for.
pub struct Trick<'a> {
    /// Its name in reports.
    pub name: &'static str,
    make: Box<dyn Fn() -> Clip + Send + Sync + 'a>,
}

impl Trick<'_> {
    /// What is sent.
    pub fn clip(&self) -> Clip {
        (self.make)()
    }
}

impl fmt::Debug for Trick<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trick({})", self.name)
    }
}

/// All tricks against `source`; `neighbour` is another task's clip, `answer` a good model's.
pub fn tricks<'a>(
    source: &'a Clip,
    neighbour: &'a Clip,
    answer: &'a Clip,
    seed: u64,
) -> Vec<Trick<'a>> {
    let path = Path::of(source);
    let mut tricks: Vec<Trick<'a>> = Vec::new();
    let mut add = |name, make: Box<dyn Fn() -> Clip + Send + Sync + 'a>| {
        tricks.push(Trick { name, make });
    };
    add("held", Box::new(|| time::reordered(source, &vec![0; source.len()])));
    for (name, speed, zoom) in [
        ("affine", 0.6, 0.0),
        ("affine", 1.0, 0.0),
        ("affine", 1.5, 0.0),
        ("affine and zoom", 1.0, -0.08),
        ("affine and zoom", 1.0, 0.08),
        ("affine and zoom", 1.0, 0.25),
        ("affine and zoom", 0.0, 0.2),
    ] {
        let path = path.clone().at_speed(speed).with_zoom(zoom);
        add(name, Box::new(move || pushed(source, &path)));
    }
    for shift in [12.0, 40.0, 100.0] {
        add("cross-fade", Box::new(move || cross_fade(source, shift)));
    }
    for seed in [seed, seed ^ 0x51] {
        add("leaked and warped", Box::new(move || warped(source, seed)));
    }
    for (clip, period) in [(source, 40), (answer, 40), (source, 24), (answer, 24)] {
        let order = time::looped(clip.len(), period);
        add("loop", Box::new(move || time::reordered(clip, &order)));
    }
    let back: Vec<usize> = (0..source.len()).rev().collect();
    add("reversed", Box::new(move || time::reordered(source, &back)));
    add("neighbour", Box::new(|| neighbour.clone()));
    for (clip, strength) in [(answer, 3), (source, 3), (answer, 5), (source, 5)] {
        add("overlay", Box::new(move || Degradation::Overlay.apply(clip, strength, seed)));
    }
    for dot in [8, 12] {
        add("bare letters", Box::new(move || lettering::bare(answer, dot)));
    }
    add("hue turned", Box::new(|| hue_turned(source, 32)));
    add("pixelated", Box::new(|| pixelated(source, (52, 30))));
    tricks
}

/// The first frame of `source` moved as a whole at the speed of the source's camera.
pub fn pushed_with_camera(source: &Clip) -> Clip {
    pushed(source, &Path::of(source))
}

/// Opposite colours from a frame on.
fn hue_turned(source: &Clip, from: usize) -> Clip {
    map_planes(source, |plane, frame| {
        let turned = frame >= from && !plane.is_luma();
        plane.changed(|value, _| if turned { 256.0 - value } else { value })
    })
}

/// Pixelates every frame into this many squares across and down.
fn pixelated(source: &Clip, (columns, rows): (usize, usize)) -> Clip {
    let frames = (0..source.len()).map(|frame| {
        planes_of(source, frame)
            .map(|plane| {
                let (width, height) = plane.size();
                let cell = |at: usize, cells: usize, length: usize| at * cells / length;
                let mut sums = vec![(0.0_f32, 0.0_f32); columns * rows];
                let place = |pixel: usize| {
                    cell(pixel / width, rows, height) * columns
                        + cell(pixel % width, columns, width)
                };
                for pixel in 0..width * height {
                    let sum = &mut sums[place(pixel)];
                    *sum = (sum.0 + plane.value(pixel), sum.1 + 1.0);
                }
                plane.changed(|_, pixel| {
                    let (sum, count) = sums[place(pixel)];
                    sum / count.max(1.0)
                })
            })
            .concat()
    });
    rebuilt(source, frames.collect())
}

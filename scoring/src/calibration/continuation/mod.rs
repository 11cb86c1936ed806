//! Free continuations: scenes rendered from hidden parameters, other courses that fit the same
//! prompt, what models do to them, and tricks that need no model.
//!
//! | file | holds |
//! |---|---|
//! | `texture` | surfaces like those of photographs |
//! | `scene` | layers, their paths, and what a continuation is free to choose |
//! | `render` | frames of a scene along a course |
//! | `model` | regenerated detail, and the artefacts of worse models |
//! | `tricks` | what can be sent without a model |
//!
//! Everything follows from a seed; no file and no other program is read.

mod model;
mod render;
mod scene;
mod texture;
mod tricks;

pub use model::{Artefact, RUNGS, detail_anew};
pub use scene::{Course, Scene, SceneKind};
pub use tricks::{Trick, pushed_with_camera, tricks};

use super::picture::fraction;
use crate::media::Clip;

/// A kind of freedom, with its name in reports.
pub const FREEDOMS: [&str; 7] =
    ["speed", "easing", "turn", "uncovered", "phase", "detail", "everything"];

/// An honest continuation of a scene's first frame.
#[derive(Debug, Clone, Copy)]
pub struct Continuation {
    /// The kind of freedom that it takes, one of [`FREEDOMS`].
    pub freedom: &'static str,
    course: Course,
    /// The seed by which its finest detail is regenerated.
    anew: Option<u64>,
}

impl Continuation {
    /// Its video.
    pub fn render(&self, scene: &Scene, frames: usize) -> Clip {
        let clip = scene.render(&self.course, frames);
        match self.anew {
            Some(seed) => detail_anew(&clip, seed),
            None => clip,
        }
    }
}

/// Honest continuations of any scene; the last one takes every freedom.
pub fn free(seed: u64) -> [Continuation; 13] {
    let plain = Course::SOURCE;
    let new = |salt: u64| Course { uncovered: seed.wrapping_mul(31) + salt + 1, ..plain };
    let one = |freedom, course| Continuation { freedom, course, anew: None };
    let everything = |number| Continuation {
        freedom: "everything",
        course: any_course(seed, number),
        anew: Some(seed + number),
    };
    [
        one("speed", Course { speed: 0.65, ..new(0) }),
        one("speed", Course { speed: 1.5, ..new(1) }),
        one("easing", Course { easing: 1.0, ..new(2) }),
        one("easing", Course { easing: -1.0, ..new(3) }),
        one("turn", Course { turn: 20.0, ..new(4) }),
        one("turn", Course { turn: -15.0, ..new(5) }),
        one("uncovered", new(6)),
        one("phase", Course { rate: -1.0, ..new(7) }),
        one("phase", Course { rate: 1.3, ..new(8) }),
        Continuation { freedom: "detail", course: new(9), anew: Some(seed) },
        everything(0),
        everything(1),
        everything(2),
    ]
}

/// A course that differs from the source's in everything.
pub fn any_course(seed: u64, number: u64) -> Course {
    let draw = |of: u64, low: f32, high: f32| {
        low + (high - low) * fraction(seed ^ number << 16, 31_000 + of)
    };
    Course {
        speed: draw(1, 0.65, 1.5),
        easing: draw(2, -1.0, 1.0),
        turn: draw(3, -20.0, 20.0),
        rate: if draw(4, 0.0, 1.0) < 0.5 { -draw(5, 0.8, 1.25) } else { draw(5, 0.75, 1.3) },
        uncovered: seed.wrapping_mul(31) + 100 + number,
    }
}

/// Another prompt's course: further off with every rung, and in the opposite direction at the
/// worst.
pub fn wrong_course(seed: u64, rung: usize) -> Course {
    let way = if fraction(seed, 41) < 0.5 { -1.0 } else { 1.0 };
    Course { turn: way * 36.0 * rung as f32, ..any_course(seed, 7) }
}

//! Draws a scene along a course, frame by frame.

use rayon::prelude::*;

use super::super::picture::byte;
use super::scene::{Course, Layer, Outline, Scene};
use super::texture::Texture;
use crate::media::{Clip, Rational, VideoInfo};

/// Frames per second, as a task has.
const RATE: u32 = 16;
/// Pixels over which an outline fades.
const EDGE: f32 = 1.5;
/// Pixels over which content of the first frame fades into other content.
const SEAM: f32 = 6.0;

/// Where a layer is at one moment.
struct Pose {
    /// Middle of the picture, and scale and shift of the camera for this layer.
    centre: [f32; 2],
    scale: f32,
    shift: [f32; 2],
    /// The layer's own place and turn.
    place: [f32; 2],
    turn: (f32, f32),
    /// Phases of ripples and of outlines.
    ripple: f32,
    lobes: f32,
}

impl Layer {
    fn pose(&self, scene: &Scene, course: &Course, time: f32) -> Pose {
        let centre = [scene.width as f32 / 2.0, scene.height as f32 / 2.0];
        let pan = course.turned(scene.pan);
        let (reach, rate) = self.swing;
        // Phases start alike, so that every course has the same first frame.
        let angle = rate * course.rate * time;
        let swing = course.turned([reach[0] * angle.sin(), reach[1] * angle.sin()]);
        let velocity = course.turned(self.velocity);
        let place = [0, 1].map(|side| self.middle[side] + velocity[side] * time + swing[side]);
        Pose {
            centre,
            scale: (-scene.zoom * self.depth * time).exp(),
            shift: [0, 1].map(|side| pan[side] * self.depth * time),
            place,
            turn: (self.spin * course.rate * time).sin_cos(),
            ripple: self.ripple.2 * course.rate * time,
            lobes: 1.4 * rate * course.rate * time,
        }
    }

    /// A place of the picture in the layer's own coordinates.
    #[inline]
    fn local(&self, pose: &Pose, [x, y]: [f32; 2]) -> [f32; 2] {
        let x = (x - pose.centre[0]) * pose.scale + pose.centre[0] + pose.shift[0] - pose.place[0];
        let y = (y - pose.centre[1]) * pose.scale + pose.centre[1] + pose.shift[1] - pose.place[1];
        let (sine, cosine) = pose.turn;
        let (x, y) = (cosine * x + sine * y, cosine * y - sine * x);
        let (reach, rate, _) = self.ripple;
        if reach == 0.0 {
            return [x, y];
        }
        let wave = |at: f32| reach * (rate * at + pose.ripple).sin();
        [x + wave(y), y + wave(0.7 * x + 11.0)]
    }

    /// How much of the layer covers a place, 0 to 1.
    #[inline]
    fn cover(&self, pose: &Pose, [x, y]: [f32; 2]) -> f32 {
        let inside = match self.outline {
            Outline::Everywhere => return 1.0,
            Outline::Below { level, wave, rate } => {
                y - level - wave * ((rate * x).sin() + 0.4 * (2.7 * rate * x).sin())
            }
            Outline::Blob { radius, lobes, reach } => {
                let distance = (x * x + y * y).sqrt();
                if distance > radius * 1.5 {
                    return 0.0;
                }
                let angle = y.atan2(x);
                radius * (1.0 + reach * (lobes * angle + pose.lobes).sin()) - distance
            }
            Outline::Band { half } => half * (1.0 + 0.15 * (0.02 * y).sin()) - x.abs(),
        };
        (0.5 + inside / EDGE).clamp(0.0, 1.0)
    }
}

/// The part of a layer that the first frame shows, and what may be where it shows nothing.
struct Uncovered<'a> {
    other: Texture,
    layer: &'a Layer,
    /// The layers in front, at the first frame.
    front: Vec<(&'a Layer, Pose)>,
    pose: Pose,
    size: (f32, f32),
}

impl Uncovered<'_> {
    /// How much of the place in the layer the first frame shows, 0 to 1.
    #[inline]
    fn shown(&self, [u, v]: [f32; 2]) -> f32 {
        // The ripple is small against the seam, so the inverse leaves it out.
        let (x, y) = (u + self.pose.place[0], v + self.pose.place[1]);
        let margin = x.min(y).min(self.size.0 - x).min(self.size.1 - y);
        let mut shown = (margin / SEAM).clamp(0.0, 1.0);
        for (layer, pose) in &self.front {
            if shown == 0.0 {
                break;
            }
            let local = layer.local(pose, [x, y]);
            shown *= 1.0 - layer.cover(pose, local);
        }
        shown
    }

    #[inline]
    fn colour(&self, local: [f32; 2]) -> [f32; 3] {
        let known = self.layer.texture.at(local[0], local[1]);
        let shown = self.shown(local);
        if shown >= 1.0 {
            return known;
        }
        let other = self.other.at(local[0], local[1]);
        std::array::from_fn(|part| other[part] + (known[part] - other[part]) * shown)
    }
}

impl Scene {
    /// The continuation of the scene's first frame along `course`.
    pub fn render(&self, course: &Course, frames: usize) -> Clip {
        let uncovered = self.uncovered(course);
        let drawn = (0..frames).into_par_iter().map(|frame| {
            let time = course.time(frame as f32, frames as f32);
            self.frame(course, time, uncovered.as_deref())
        });
        let planes: Vec<Vec<u8>> = drawn.collect();
        clip_of(planes, (self.width, self.height))
    }

    fn uncovered(&self, course: &Course) -> Option<Vec<Uncovered<'_>>> {
        (course.uncovered != 0).then(|| {
            let start = |layer: &Layer| layer.pose(self, course, 0.0);
            let each = self.layers.iter().enumerate().map(|(number, layer)| Uncovered {
                other: layer.surface.texture(layer.seed ^ course.uncovered << 8),
                layer,
                front: self.layers[number + 1..]
                    .iter()
                    .map(|front| (front, start(front)))
                    .collect(),
                pose: start(layer),
                size: (self.width as f32, self.height as f32),
            });
            each.collect()
        })
    }

    fn frame(&self, course: &Course, time: f32, uncovered: Option<&[Uncovered<'_>]>) -> Vec<u8> {
        let poses: Vec<Pose> =
            self.layers.iter().map(|layer| layer.pose(self, course, time)).collect();
        let colour = |x: f32, y: f32| {
            // From near to far, until nothing shines through.
            let (mut sum, mut through) = ([0.0_f32; 3], 1.0_f32);
            for (number, (layer, pose)) in self.layers.iter().zip(&poses).enumerate().rev() {
                let local = layer.local(pose, [x, y]);
                let cover = layer.cover(pose, local);
                if cover == 0.0 {
                    continue;
                }
                let own = match uncovered {
                    Some(uncovered) => uncovered[number].colour(local),
                    None => layer.texture.at(local[0], local[1]),
                };
                for (sum, own) in sum.iter_mut().zip(own) {
                    *sum += through * cover * own;
                }
                through *= 1.0 - cover;
                if through < 0.004 {
                    break;
                }
            }
            sum
        };
        let (width, height) = (self.width, self.height);
        let mut planes = vec![0; width * height * 3 / 2];
        let (luma, chroma) = planes.split_at_mut(width * height);
        let (blue, red) = chroma.split_at_mut(width * height / 4);
        for row in 0..height {
            for column in 0..width {
                let [y, b, r] = colour(column as f32, row as f32);
                luma[row * width + column] = byte(y);
                if row % 2 == 0 && column % 2 == 0 {
                    let at = row / 2 * (width / 2) + column / 2;
                    (blue[at], red[at]) = (byte(b), byte(r));
                }
            }
        }
        planes
    }
}

/// A clip of a task's rate.
///
/// # Panics
/// The planes do not have this size.
pub(super) fn clip_of(planes: Vec<Vec<u8>>, (width, height): (usize, usize)) -> Clip {
    let info = VideoInfo {
        width: width as u32,
        height: height as u32,
        fps: Some(Rational { numerator: RATE, denominator: 1 }),
        frames: Some(planes.len() as u64),
        duration_ms: Some(planes.len() as u64 * 1000 / u64::from(RATE)),
        codec: "none".into(),
        colour_space: None,
    };
    let clip = Clip::from_planes(width, height, info, planes);
    #[expect(clippy::expect_used, reason = "the renderer makes planes of its own size")]
    clip.expect("planes of the scene's size")
}

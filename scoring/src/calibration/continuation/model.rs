//! What a video model does to a course: it regenerates the finest detail. Worse models add
//! artefacts.

use super::super::picture::{
    Plane, byte, fraction, map_planes, mixed_clips, noise, planes_of, rebuilt,
};
use crate::media::Clip;

/// Rungs of the ladder; the last is useless.
pub const RUNGS: usize = 5;
/// Frames that share one set of latents.
const LATENT_FRAMES: usize = 4;

/// What a worse model does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artefact {
    /// Shapes melt.
    Melting,
    /// Textures swim on the things that bear them.
    Swimming,
    /// What was shown before lingers.
    Ghosting,
    /// Patches appear and vanish.
    Popping,
    /// Everything turns into something else.
    Drift,
}

impl Artefact {
    /// All artefacts.
    pub const ALL: [Self; 5] =
        [Self::Melting, Self::Swimming, Self::Ghosting, Self::Popping, Self::Drift];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Melting => "melting",
            Self::Swimming => "swimming",
            Self::Ghosting => "ghosting",
            Self::Popping => "popping",
            Self::Drift => "drift",
        }
    }

    /// The amount at a rung from 1 to [`RUNGS`].
    fn amount(self, rung: usize) -> f32 {
        let amounts: [f32; RUNGS] = match self {
            // Pixels at the end.
            Self::Melting => [2.0, 5.0, 10.0, 18.0, 30.0],
            // Pixels.
            Self::Swimming => [0.3, 0.8, 1.6, 3.2, 5.0],
            // The part of a frame that is kept from the frame before.
            Self::Ghosting => [0.3, 0.5, 0.7, 0.82, 0.92],
            // Patches at a time.
            Self::Popping => [1.0, 2.0, 5.0, 10.0, 18.0],
            // The part of the last frame that is something else.
            Self::Drift => [0.1, 0.25, 0.45, 0.7, 1.0],
        };
        amounts[rung.clamp(1, RUNGS) - 1]
    }

    /// `clip` with this artefact; `other` is what things turn into.
    pub fn apply(self, clip: &Clip, other: &Clip, rung: usize, seed: u64) -> Clip {
        let amount = self.amount(rung);
        let last = clip.len().saturating_sub(1).max(1) as f32;
        match self {
            Self::Melting => warped(clip, |frame| {
                let part = frame as f32 / last;
                (90.0, amount * part, seed ^ (frame / 27) as u64, frame as f32 % 27.0 / 27.0)
            }),
            Self::Swimming => warped(clip, |frame| {
                let grown = amount * (frame as f32 / 4.0).min(1.0);
                (24.0, grown, seed ^ (frame / 3) as u64, frame as f32 % 3.0 / 3.0)
            }),
            Self::Ghosting => ghosts(clip, amount),
            Self::Popping => pops(clip, other, amount as u64, seed),
            Self::Drift => mixed_clips(clip, other, |frame| amount * frame as f32 / last),
        }
    }
}

/// Smooth noise on a lattice, from -1 to 1.
struct Smooth {
    nodes: Vec<f32>,
    columns: usize,
    spacing: f32,
}

impl Smooth {
    /// Interpolates between two consecutive draws, at `part` of the way.
    fn new((width, height): (usize, usize), spacing: f32, seed: u64, part: f32) -> Self {
        let columns = (width as f32 / spacing) as usize + 2;
        let rows = (height as f32 / spacing) as usize + 2;
        let node = |at: usize| {
            let draw = |seed: u64| 2.0 * fraction(seed, 500_000 + at as u64) - 1.0;
            let next = draw(seed.wrapping_add(1));
            draw(seed) * (1.0 - part) + next * part
        };
        Self { nodes: (0..columns * rows).map(node).collect(), columns, spacing }
    }

    #[inline]
    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x / self.spacing, y / self.spacing);
        let (left, top) = (x as usize, y as usize);
        let ease = |part: f32| part * part * (3.0 - 2.0 * part);
        let (across, down) = (ease(x - left as f32), ease(y - top as f32));
        let node = |row: usize, column: usize| self.nodes[row * self.columns + column];
        let line = |row: usize| node(row, left) + (node(row, left + 1) - node(row, left)) * across;
        line(top) + (line(top + 1) - line(top)) * down
    }
}

/// Displaces everything by smooth noise: spacing and reach in pixels, seed, and the part of the
/// way to the next draw.
fn warped(clip: &Clip, noise: impl Fn(usize) -> (f32, f32, u64, f32) + Sync) -> Clip {
    map_planes(clip, |plane: Plane<'_>, frame| {
        let (spacing, reach, seed, part) = noise(frame);
        let (scale, size) = (plane.scale(), plane.size());
        let field = |seed| Smooth::new(size, spacing / scale, seed, part);
        let (right, down) =
            (field(seed.wrapping_mul(8)), field(seed.wrapping_mul(8) + 0x1000_0000));
        // Interpolated uniform noise has a root mean square of about 0.4.
        let reach = 2.0 * reach / scale;
        plane.moved(|x, y| {
            let (x, y) = (x as f32, y as f32);
            (x + reach * right.at(x, y), y + reach * down.at(x, y))
        })
    })
}

/// Every frame keeps `part` of the one shown before.
fn ghosts(clip: &Clip, part: f32) -> Clip {
    let mut shown: Option<Vec<f32>> = None;
    let frames = (0..clip.len()).map(|frame| {
        let (blue, red) = clip.chroma(frame);
        let now: Vec<f32> =
            [clip.luma(frame), blue, red].concat().into_iter().map(f32::from).collect();
        let next = match shown.take() {
            None => now,
            Some(before) => {
                now.iter().zip(&before).map(|(now, old)| now + (old - now) * part).collect()
            }
        };
        let bytes = next.iter().map(|value| byte(*value)).collect();
        shown = Some(next);
        bytes
    });
    rebuilt(clip, frames.collect())
}

/// Round patches of another clip, each shown for some frames.
fn pops(clip: &Clip, other: &Clip, count: u64, seed: u64) -> Clip {
    map_planes(clip, |plane, frame| {
        let theirs = planes_of(other, frame)[plane.number()];
        let (width, height) = plane.size();
        let mut patches = Vec::new();
        for patch in 0..count {
            // Each patch is shown for five frames, then hidden for as long.
            let beat = (frame as u64 + 3 * patch) / 5;
            if frame < 4 || beat.is_multiple_of(2) {
                continue;
            }
            let draw = |of: u64| fraction(seed, 900_000 + beat * 1000 + patch * 10 + of);
            let radius = (0.04 + 0.06 * draw(0)) * height as f32;
            patches.push((draw(1) * width as f32, draw(2) * height as f32, radius * radius));
        }
        plane.changed(|value, pixel| {
            let (x, y) = ((pixel % width) as f32, (pixel / width) as f32);
            let hit = patches.iter().any(|(px, py, r)| (x - px).powi(2) + (y - py).powi(2) < *r);
            if hit { theirs.value((pixel + width * height / 3) % (width * height)) } else { value }
        })
    })
}

/// Regenerates the finest detail as the decoder of a latent model does: softer, of a strength that
/// varies from place to place, slightly displaced, with its own grain. A new set of latents comes
/// every few frames.
pub fn detail_anew(clip: &Clip, seed: u64) -> Clip {
    map_planes(clip, |plane, frame| {
        let (scale, size) = (plane.scale(), plane.size());
        let soft = plane.blurred(1.1 / scale);
        let (latent, part) =
            ((frame / LATENT_FRAMES) as u64, (frame % LATENT_FRAMES) as f32 / LATENT_FRAMES as f32);
        let field = |spacing: f32, of: u64| {
            Smooth::new(size, spacing / scale, (seed ^ of << 40).wrapping_add(latent), part)
        };
        let (strength, right, down) = (field(6.0, 1), field(16.0, 2), field(16.0, 3));
        let moved = plane.moved(|x, y| {
            let (x, y) = (x as f32, y as f32);
            (x + 0.5 * right.at(x, y) / scale, y + 0.5 * down.at(x, y) / scale)
        });
        let width = size.0;
        let grain = if plane.is_luma() { 1.2 } else { 0.5 };
        let renewed = |pixel: usize| {
            let (x, y) = ((pixel % width) as f32, (pixel / width) as f32);
            let base = f32::from(soft[pixel]);
            let kept = (f32::from(moved[pixel]) - base) * (0.7 + 0.5 * strength.at(x, y));
            base + kept + grain * noise(seed, frame as u64, (plane.number(), pixel))
        };
        plane.changed(|_, pixel| renewed(pixel))
    })
}

//! Motion that the source lacks.

use super::picture::{fraction, map_planes};
use crate::media::Clip;

/// The number of waves in a field.
const WAVES: usize = 3;
/// Lengths of the waves, in pixels.
const LENGTHS: (f32, f32) = (180.0, 420.0);

/// A smooth displacement that differs from place to place, with root mean square length 1.
pub(super) struct Field {
    /// Rightward and downward.
    sides: [[Wave; WAVES]; 2],
}

/// A product of a wave across and a wave down.
struct Wave {
    across: (f32, f32),
    down: (f32, f32),
}

impl Wave {
    fn new(seed: u64, number: u64) -> Self {
        let draw = |of| fraction(seed, 1000 + 4 * number + of);
        let rate = |part: f32| std::f32::consts::TAU / (LENGTHS.0 + (LENGTHS.1 - LENGTHS.0) * part);
        let phase = |part: f32| std::f32::consts::TAU * part;
        Self { across: (rate(draw(0)), phase(draw(1))), down: (rate(draw(2)), phase(draw(3))) }
    }

    fn tables(&self, (width, height): (usize, usize), scale: f32) -> (Vec<f32>, Vec<f32>) {
        let line = |(rate, phase): (f32, f32), length: usize| {
            (0..length).map(|at| (rate * scale * at as f32 + phase).sin()).collect()
        };
        (line(self.across, width), line(self.down, height))
    }
}

impl Field {
    pub(super) fn new(seed: u64) -> Self {
        let side =
            |side: usize| std::array::from_fn(|wave| Wave::new(seed, (side * WAVES + wave) as u64));
        Self { sides: [side(0), side(1)] }
    }

    /// `clip` with everything displaced: by nothing in its first frame, by `pixels` (root mean
    /// square) in its last.
    pub(super) fn moved(&self, clip: &Clip, pixels: f32) -> Clip {
        // A product of two sines has mean square 1/4; there are as many as waves in each of two
        // directions.
        let unit = (4.0 / (2 * WAVES) as f32).sqrt();
        let last = clip.len().saturating_sub(1).max(1) as f32;
        map_planes(clip, |plane, frame| {
            let scale = plane.scale();
            let reach = unit * pixels * frame as f32 / last / scale;
            let tables = self
                .sides
                .each_ref()
                .map(|side| side.each_ref().map(|wave| wave.tables(plane.size(), scale)));
            let shift = |side: usize, x: usize, y: usize| -> f32 {
                tables[side].iter().map(|(across, down)| across[x] * down[y]).sum::<f32>() * reach
            };
            plane.moved(|x, y| (x as f32 + shift(0, x, y), y as f32 + shift(1, x, y)))
        })
    }
}

/// `clip` with a pan of `pixels` per frame and a zoom of a tenth of that at the picture's edge, in
/// directions of the seed.
pub(super) fn camera(clip: &Clip, pixels: f32, seed: u64) -> Clip {
    let (sine, cosine) = (std::f32::consts::TAU * fraction(seed, 2)).sin_cos();
    let closer = if fraction(seed, 3) < 0.5 { -1.0 } else { 1.0 };
    map_planes(clip, |plane, frame| {
        let (width, height) = plane.size();
        let (middle_x, middle_y) = (width as f32 / 2.0, height as f32 / 2.0);
        let way = pixels * frame as f32 / plane.scale();
        let zoom = (closer * 0.1 * way / middle_x).exp();
        plane.moved(|x, y| {
            let (x, y) = ((x as f32 - middle_x) * zoom, (y as f32 - middle_y) * zoom);
            (middle_x + x + cosine * way, middle_y + y + sine * way)
        })
    })
}

/// The middle `part` of every frame, enlarged to full size.
pub(super) fn enlarged(clip: &Clip, part: f32) -> Clip {
    map_planes(clip, |plane, _| {
        let (width, height) = plane.size();
        let place = |at: usize, length: usize| {
            let middle = (length as f32 - 1.0) / 2.0;
            middle + (at as f32 - middle) * part
        };
        plane.moved(|x, y| (place(x, width), place(y, height)))
    })
}

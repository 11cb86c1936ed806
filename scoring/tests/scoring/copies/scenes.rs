//! Moving scenes on decoded planes: what several models make of one first frame.

use leoma_scoring::media::{Clip, Rational, VideoInfo};

pub const WIDTH: usize = 832;
pub const HEIGHT: usize = 480;
pub const FRAMES: usize = 81;

/// Side of the square textures, which repeat.
const TEXTURE: usize = 2048;

/// A number that looks random, from 0 to 1.
pub fn chance(seed: u32, index: u32) -> f32 {
    let mixed = (seed.wrapping_mul(0x9e37_79b9) ^ index.wrapping_mul(0x85eb_ca6b))
        .wrapping_add(0x1234_5677);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    let mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297a_2d39);
    (mixed ^ (mixed >> 15)) as f32 / u32::MAX as f32
}

/// Smooth noise, 0 to 1, from octaves of cell size in pixels and weight.
fn texture(seed: u32, octaves: &[(usize, f32)]) -> Vec<f32> {
    let weights: f32 = octaves.iter().map(|(_, weight)| weight).sum();
    let mut values = vec![0.0; TEXTURE * TEXTURE];
    for (octave, &(cell, weight)) in (0..).zip(octaves) {
        let cells = TEXTURE / cell;
        let corners: Vec<f32> =
            (0..cells * cells).map(|corner| chance(seed + octave * 77, corner as u32)).collect();
        let corner = |column: usize, row: usize| corners[(row % cells) * cells + column % cells];
        for row in 0..TEXTURE {
            let (above, down) = (row / cell, smooth((row % cell) as f32 / cell as f32));
            for column in 0..TEXTURE {
                let (left, across) = (column / cell, smooth((column % cell) as f32 / cell as f32));
                let line =
                    |row| corner(left, row) * (1.0 - across) + corner(left + 1, row) * across;
                values[row * TEXTURE + column] +=
                    (line(above) * (1.0 - down) + line(above + 1) * down) * weight / weights;
            }
        }
    }
    values
}

fn smooth(part: f32) -> f32 {
    part * part * (3.0 - 2.0 * part)
}

fn sample(texture: &[f32], x: f32, y: f32) -> f32 {
    let (x, y) = (x + TEXTURE as f32 * 8.0, y + TEXTURE as f32 * 8.0);
    let (column, row) = (x as usize, y as usize);
    let (across, down) = (x - column as f32, y - row as f32);
    let at = |column: usize, row: usize| texture[row % TEXTURE * TEXTURE + column % TEXTURE];
    let line = |row| at(column, row) * (1.0 - across) + at(column + 1, row) * across;
    line(row) * (1.0 - down) + line(row + 1) * down
}

/// A thing that moves before the background.
#[derive(Clone, Copy)]
pub struct Thing {
    pub at: [f32; 2],
    pub size: [f32; 2],
    /// Pixels per frame.
    pub speed: [f32; 2],
}

/// What a first frame shows, and how the prompt lets it go on.
pub struct Scene {
    pub name: &'static str,
    pub octaves: &'static [(usize, f32)],
    /// Luma from the darkest to the brightest.
    pub contrast: f32,
    /// Pixels per frame.
    pub pan: [f32; 2],
    /// Growth per frame.
    pub zoom: f32,
    pub things: &'static [Thing],
    /// The strongest compression at which copies must be found, as a constant rate factor of x264.
    pub found_to: u32,
}

/// How one model differs from the prompt.
#[derive(Clone, Copy)]
pub struct Model {
    pub seed: u32,
    /// How far the scene is bent at the end: root of the mean square over the picture, in pixels.
    pub bend: f32,
    /// How much faster or slower things move, as a part of their speed.
    pub haste: f32,
}

impl Scene {
    /// What `model` makes of the scene. The model with no bend and no haste is the source clip.
    pub fn played(&self, model: Model) -> Clip {
        let background = texture(
            self.name.len() as u32 * 1000 + u32::from(self.name.as_bytes()[0]),
            self.octaves,
        );
        let foreground = texture(5, &[(8, 1.0), (16, 2.0), (32, 2.0)]);
        let bends = [bend(model, 0), bend(model, 1)];
        // Each thing deviates from the model's speed in its own way.
        let haste = |index: usize| {
            1.0 + model.haste * (1.5 * chance(model.seed, 900 + index as u32) - 0.25)
        };
        let frames = (0..FRAMES).map(|time| {
            let (now, grown) = (time as f32, (time as f32 / (FRAMES - 1) as f32).powf(1.3));
            let pace = 1.0 + model.haste;
            let scale = (1.0 + self.zoom * pace).powf(-now);
            let mut luma = Vec::with_capacity(WIDTH * HEIGHT * 3 / 2);
            for row in 0..HEIGHT {
                for column in 0..WIDTH {
                    let cell = row * WIDTH + column;
                    let x = column as f32 + bends[0][cell] * grown;
                    let y = row as f32 + bends[1][cell] * grown;
                    let (from_x, from_y) = (x - WIDTH as f32 / 2.0, y - HEIGHT as f32 / 2.0);
                    let mut value = sample(
                        &background,
                        from_x * scale + 700.0 - self.pan[0] * pace * now,
                        from_y * scale + 500.0 - self.pan[1] * pace * now,
                    );
                    for (index, thing) in self.things.iter().enumerate() {
                        let moved = now * haste(index);
                        let (across, down) = (
                            x - thing.at[0] - thing.speed[0] * moved,
                            y - thing.at[1] - thing.speed[1] * moved,
                        );
                        if (across / thing.size[0]).powi(2) + (down / thing.size[1]).powi(2) < 1.0 {
                            value = sample(&foreground, across + 300.0 * index as f32, down);
                        }
                    }
                    let grain = chance(model.seed * 131 + time as u32, cell as u32) * 6.0 - 3.0;
                    luma.push(
                        (128.0 + (value - 0.5) * self.contrast + grain).clamp(16.0, 235.0) as u8
                    );
                }
            }
            luma.resize(WIDTH * HEIGHT * 3 / 2, 128);
            luma
        });
        let info = VideoInfo {
            width: WIDTH as u32,
            height: HEIGHT as u32,
            fps: Some(Rational { numerator: 16, denominator: 1 }),
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        };
        Clip::from_planes(WIDTH, HEIGHT, info, frames.collect()).unwrap()
    }
}

/// How far each pixel is moved along one axis at the end: waves of 150 to 600 pixels.
fn bend(model: Model, axis: u32) -> Vec<f32> {
    let wave = |index: u32| {
        let part = |n: u32| chance(model.seed, axis * 100 + index * 10 + n);
        let (angle, length) = (part(0) * std::f32::consts::TAU, 150.0 + 450.0 * part(1));
        let turns = std::f32::consts::TAU / length;
        (angle.cos() * turns, angle.sin() * turns, part(2) * std::f32::consts::TAU)
    };
    let waves = [wave(0), wave(1), wave(2)];
    let at = |cell: usize| {
        let (x, y) = ((cell % WIDTH) as f32, (cell / WIDTH) as f32);
        waves.iter().map(|(across, down, phase)| (x * across + y * down + phase).sin()).sum::<f32>()
            * model.bend
            / 1.732
    };
    (0..WIDTH * HEIGHT).map(at).collect()
}

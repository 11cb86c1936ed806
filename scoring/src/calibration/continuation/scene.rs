//! Scenes of layers, drawn from a seed, and what is free in their continuation.

use super::super::picture::fraction;
use super::texture::{PLANE, Surface, THING, Texture};
use serde::{Deserialize, Serialize};

/// A kind of scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SceneKind {
    /// The camera is still, several things move.
    Things,
    /// A slow pan over ground at two depths, with things.
    SlowPan,
    /// A fast pan, with things.
    FastPan,
    /// The camera comes closer.
    Zoom,
    /// Deforming things: cloth, water.
    Waves,
    /// A near layer passes in front.
    Occlusion,
    /// Things enter from outside.
    Entering,
    /// Many small things.
    Crowd,
    /// Small coloured things on black.
    Lights,
    /// A pan over a fine pattern, with one thing.
    Pattern,
}

impl SceneKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Things,
        Self::SlowPan,
        Self::FastPan,
        Self::Zoom,
        Self::Waves,
        Self::Occlusion,
        Self::Entering,
        Self::Crowd,
        Self::Lights,
        Self::Pattern,
    ];
}

/// What a continuation of a first frame is free to choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// Speed of everything, 1 for the source's.
    pub speed: f32,
    /// From -1 (brakes) over 0 (steady) to 1 (starts slowly).
    pub easing: f32,
    /// Degrees by which every path is turned.
    pub turn: f32,
    /// Rate of what repeats, 1 for the source's; negative runs backwards.
    pub rate: f32,
    /// The seed of what the first frame does not show; 0 for the source's.
    pub uncovered: u64,
}

impl Course {
    /// The source's own.
    pub const SOURCE: Self = Self { speed: 1.0, easing: 0.0, turn: 0.0, rate: 1.0, uncovered: 0 };

    /// The scene's time at `frame` of `frames`, in frames.
    pub(super) fn time(&self, frame: f32, frames: f32) -> f32 {
        let part = frame / frames;
        let eased = part + 0.5 * self.easing * (part * part - part);
        self.speed * eased * frames
    }

    pub(super) fn turned(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (sine, cosine) = self.turn.to_radians().sin_cos();
        [cosine * x - sine * y, sine * x + cosine * y]
    }
}

/// The outline of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outline {
    /// All of the plane.
    Everywhere,
    /// Below a wavy line at this height.
    Below { level: f32, wave: f32, rate: f32 },
    /// Around its middle: radius, lobes, and how far they reach and move.
    Blob { radius: f32, lobes: f32, reach: f32 },
    /// A vertical band of this half width.
    Band { half: f32 },
}

/// One layer, from far to near.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) texture: Texture,
    pub(super) surface: Surface,
    pub(super) outline: Outline,
    /// How much of the camera's motion it takes: 0 stands still, 1 is the ground.
    pub(super) depth: f32,
    /// Where its middle is at the start, in pixels.
    pub(super) middle: [f32; 2],
    /// Its own motion in pixels per frame.
    pub(super) velocity: [f32; 2],
    /// A swing around its path: reach in pixels across and down, radians per frame.
    pub(super) swing: ([f32; 2], f32),
    /// Radians per frame.
    pub(super) spin: f32,
    /// Travelling waves in its surface: reach in pixels, radians per pixel, radians per frame.
    pub(super) ripple: (f32, f32, f32),
    /// The seed of its texture.
    pub(super) seed: u64,
}

impl Layer {
    fn with_surface(mut self, surface: Surface) -> Self {
        self.texture = surface.texture(self.seed);
        self.surface = surface;
        self
    }
}

/// A scene: layers and a camera.
#[derive(Debug)]
pub struct Scene {
    pub(super) layers: Vec<Layer>,
    /// Pixels per frame.
    pub(super) pan: [f32; 2],
    /// Growth per frame.
    pub(super) zoom: f32,
    pub(super) width: usize,
    pub(super) height: usize,
}

struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.drawn += 1;
        low + (high - low) * fraction(self.seed, 77_000 + self.drawn)
    }

    fn sign(&mut self) -> f32 {
        if self.between(0.0, 1.0) < 0.5 { -1.0 } else { 1.0 }
    }

    fn direction(&mut self, length: f32) -> [f32; 2] {
        let (sine, cosine) = self.between(0.0, std::f32::consts::TAU).sin_cos();
        [cosine * length, sine * length]
    }

    fn colour(&mut self) -> [f32; 3] {
        [self.between(80.0, 165.0), self.between(96.0, 160.0), self.between(96.0, 160.0)]
    }

    fn plane(&mut self, outline: Outline, depth: f32) -> Layer {
        let seed = self.seed ^ (self.drawn + 1) << 20;
        let (colour, contrast) = (self.colour(), self.between(0.75, 1.15));
        let side = if matches!(outline, Outline::Blob { .. }) { THING } else { PLANE };
        let surface = Surface::Patches { side, colour, contrast };
        Layer {
            texture: surface.texture(seed),
            surface,
            outline,
            depth,
            middle: [0.0; 2],
            velocity: [0.0; 2],
            swing: ([0.0; 2], 0.0),
            spin: 0.0,
            ripple: (0.0, 0.05, 0.1),
            seed,
        }
    }

    /// A thing with a path of its own.
    fn thing(&mut self, (width, height): (f32, f32), radius: f32, speed: f32) -> Layer {
        let reach = self.between(0.05, 0.18);
        let lobes = self.between(2.0, 6.0).round();
        let mut layer = self.plane(Outline::Blob { radius, lobes, reach }, 1.0);
        layer.middle = [self.between(0.15, 0.85) * width, self.between(0.15, 0.85) * height];
        layer.velocity = self.direction(speed);
        let swing = self.between(0.0, 0.2) * radius;
        layer.swing = (self.direction(swing), self.between(0.05, 0.16) * self.sign());
        layer.spin = self.between(0.0, 0.012) * self.sign();
        layer.ripple = (self.between(0.0, 2.0), self.between(0.03, 0.07), self.between(0.08, 0.2));
        layer
    }
}

impl Scene {
    /// The scene of this kind and seed.
    pub fn new(kind: SceneKind, seed: u64, (width, height): (usize, usize)) -> Self {
        let mut draw = Draw { seed: seed ^ (kind as u64 + 1) << 48, drawn: 0 };
        let size = (width as f32, height as f32);
        let mut layers = vec![draw.plane(Outline::Everywhere, 0.5)];
        let ground = |draw: &mut Draw, level: f32, depth| {
            let wave = draw.between(0.05, 0.12) * size.1;
            let rate = draw.between(0.006, 0.015);
            draw.plane(Outline::Below { level: level * size.1, wave, rate }, depth)
        };
        let (mut pan, mut zoom) = ([0.0; 2], 0.0);
        let sideways = |draw: &mut Draw, slow, fast| {
            let across = draw.between(slow, fast) * draw.sign();
            [across, draw.between(-0.25, 0.25) * across]
        };
        let (mut things, mut radius, mut speed) = (3, (0.10, 0.2), (0.6, 2.2));
        match kind {
            SceneKind::Things => layers[0].depth = 1.0,
            SceneKind::SlowPan => {
                pan = sideways(&mut draw, 0.6, 1.2);
                layers.push(ground(&mut draw, 0.55, 1.0));
                things = 2;
            }
            SceneKind::FastPan => {
                pan = sideways(&mut draw, 1.8, 3.0);
                layers.push(ground(&mut draw, 0.5, 1.0));
                things = 2;
            }
            SceneKind::Zoom => {
                zoom = draw.between(0.0015, 0.003);
                layers.push(ground(&mut draw, 0.55, 1.4));
            }
            SceneKind::Waves => {
                pan = sideways(&mut draw, 0.2, 0.6);
                let mut water = ground(&mut draw, 0.4, 1.0);
                water.ripple =
                    (draw.between(3.0, 5.0), draw.between(0.03, 0.05), draw.between(0.12, 0.25));
                layers.push(water);
                things = 2;
            }
            SceneKind::Occlusion => {
                pan = sideways(&mut draw, 0.8, 1.6);
                layers.push(ground(&mut draw, 0.6, 1.0));
                things = 2;
            }
            SceneKind::Entering => {
                pan = sideways(&mut draw, 0.3, 0.8);
                things = 2;
            }
            SceneKind::Crowd => {
                layers[0].depth = 1.0;
                (things, radius, speed) = (9, (0.05, 0.09), (0.8, 2.0));
            }
            SceneKind::Lights => {
                layers = vec![layers.remove(0).with_surface(Surface::Flat([20, 128, 128]))];
                (things, radius, speed) = (10, (0.025, 0.06), (0.8, 2.2));
            }
            SceneKind::Pattern => {
                pan = sideways(&mut draw, 1.2, 2.4);
                let period = draw.between(9.0, 14.0);
                layers = vec![layers.remove(0).with_surface(Surface::Pattern { period })];
                layers[0].depth = 1.0;
                (things, speed) = (2, (1.5, 2.5));
            }
        }
        for _ in 0..things {
            let (radius, speed) =
                (draw.between(radius.0, radius.1) * size.1, draw.between(speed.0, speed.1));
            layers.push(draw.thing(size, radius, speed));
        }
        if kind == SceneKind::Entering {
            let side = if pan[0] > 0.0 { 1.25 } else { -0.25 };
            let mut entering = draw.thing(size, 0.2 * size.1, 0.0);
            entering.middle = [side * size.0, 0.5 * size.1];
            entering.velocity = [-3.0 * pan[0].signum(), draw.between(-0.4, 0.4)];
            layers.push(entering);
        }
        if kind == SceneKind::Occlusion {
            let half = draw.between(0.04, 0.07) * size.0;
            let mut near = draw.plane(Outline::Band { half }, 2.2);
            near.middle = [draw.between(0.35, 0.65) * size.0, 0.0];
            layers.push(near);
        }
        if kind == SceneKind::Lights {
            let mut lit = Vec::with_capacity(layers.len());
            for (number, layer) in layers.into_iter().enumerate() {
                let colour = [110.0, draw.between(60.0, 200.0), draw.between(60.0, 200.0)];
                let surface = Surface::Patches { side: THING, colour, contrast: 0.5 };
                lit.push(if number == 0 { layer } else { layer.with_surface(surface) });
            }
            layers = lit;
        }
        Self { layers, pan, zoom, width, height }
    }
}

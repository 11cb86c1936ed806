//! Textures that look like photographs to a metric: patches with edges, grain of every size, and
//! colour.

use super::super::picture::fraction;

/// Side of a plane's texture in pixels; it repeats beyond.
pub(super) const PLANE: usize = 1024;
/// Side of a thing's texture.
pub(super) const THING: usize = 256;
/// Spacings of the lattices of brightness in pixels, and the amplitude of each.
const OCTAVES: [(usize, f32); 7] =
    [(256, 34.0), (128, 26.0), (64, 20.0), (32, 14.0), (16, 10.0), (8, 7.0), (4, 5.0)];
/// Spacings of the lattices of colour.
const COLOURS: [(usize, f32); 3] = [(256, 26.0), (64, 16.0), (16, 6.0)];
/// Levels between which brightness makes an edge.
const PATCH: f32 = 26.0;

/// How a texture is made; its seed decides the rest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Surface {
    /// Patches and grain around a mean brightness and a mean colour.
    Patches { side: usize, colour: [f32; 3], contrast: f32 },
    /// A fine pattern of this period.
    Pattern { period: f32 },
    /// One colour.
    Flat([u8; 3]),
}

impl Surface {
    pub(super) fn texture(self, seed: u64) -> Texture {
        match self {
            Self::Patches { side, colour, contrast } => Texture::new(seed, side, colour, contrast),
            Self::Pattern { period } => Texture::pattern(seed, period),
            Self::Flat(colour) => Texture::flat(colour),
        }
    }
}

/// A picture that repeats in both directions: brightness and both colour differences.
#[derive(Debug, Clone)]
pub(super) struct Texture {
    texels: Vec<[u8; 4]>,
    side: usize,
}

impl Texture {
    /// A texture of this seed around a mean brightness and a mean colour.
    fn new(seed: u64, side: usize, [bright, blue, red]: [f32; 3], contrast: f32) -> Self {
        let luma = octaves(seed, side, &OCTAVES);
        let colours = [0xb1, 0x4e].map(|colour| octaves(seed ^ colour, side, &COLOURS));
        let texel = |at: usize| {
            // A part of the brightness in steps: patches with edges, as things have.
            let stepped = (luma[at] / PATCH).round() * PATCH;
            let value = bright + contrast * (0.55 * luma[at] + 0.45 * stepped);
            let clamped = |value: f32| value.clamp(18.0, 234.0) as u8;
            [clamped(value), clamped(blue + colours[0][at]), clamped(red + colours[1][at]), 0]
        };
        Self { texels: (0..side * side).map(texel).collect(), side }
    }

    /// A fine regular pattern with a little irregularity: cloth, tiles, foliage from afar.
    fn pattern(seed: u64, period: f32) -> Self {
        let side = PLANE;
        let bend = octaves(seed, side, &OCTAVES[..3]);
        let grain = octaves(seed ^ 0x77, side, &OCTAVES[5..]);
        // Whole periods fit the side.
        let rate = std::f32::consts::TAU / side as f32 * (side as f32 / period).round();
        let texel = |at: usize| {
            let (x, y) = ((at % side) as f32 * rate, (at / side) as f32 * rate);
            let wave = (x + 0.01 * bend[at]).sin() * (y - 0.01 * bend[at]).sin();
            let value = 120.0 + 48.0 * wave + 0.35 * bend[at] + 1.2 * grain[at];
            [value.clamp(18.0, 234.0) as u8, (128.0 + 0.2 * bend[at]) as u8, 122, 0]
        };
        Self { texels: (0..side * side).map(texel).collect(), side }
    }

    /// One colour.
    fn flat(colour: [u8; 3]) -> Self {
        let [luma, blue, red] = colour;
        Self { texels: vec![[luma, blue, red, 0]; THING * THING], side: THING }
    }

    /// The colour between four texels.
    #[inline]
    pub(super) fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (across, down) = (x - left, y - top);
        let wrap = |at: f32| (at as i32 as usize) & (self.side - 1);
        let columns = [wrap(left), wrap(left + 1.0)];
        let rows = [wrap(top) * self.side, wrap(top + 1.0) * self.side];
        let texel = |row: usize, column: usize| self.texels[rows[row] + columns[column]];
        let corners = [texel(0, 0), texel(0, 1), texel(1, 0), texel(1, 1)];
        std::array::from_fn(|part| {
            let [a, b, c, d] = corners.map(|corner| f32::from(corner[part]));
            let (above, below) = (a + (b - a) * across, c + (d - c) * across);
            above + (below - above) * down
        })
    }
}

/// The sum of smooth noises on lattices, one value for each texel.
fn octaves(seed: u64, side: usize, lattices: &[(usize, f32)]) -> Vec<f32> {
    let mut sum = vec![0.0_f32; side * side];
    for (number, &(spacing, amplitude)) in lattices.iter().enumerate() {
        let cells = side / spacing;
        let seed = seed ^ (number as u64 + 1) << 32;
        let nodes: Vec<f32> = (0..cells * cells)
            .map(|node| amplitude * (2.0 * fraction(seed, node as u64) - 1.0))
            .collect();
        let weights: Vec<f32> = (0..spacing)
            .map(|at| {
                let part = at as f32 / spacing as f32;
                part * part * (3.0 - 2.0 * part)
            })
            .collect();
        for (row, line) in sum.chunks_exact_mut(side).enumerate() {
            let (above, down) = (row / spacing * cells, weights[row % spacing]);
            let below = (row / spacing + 1) % cells * cells;
            for (column, value) in line.iter_mut().enumerate() {
                let (left, across) = (column / spacing, weights[column % spacing]);
                let right = (left + 1) % cells;
                let upper =
                    nodes[above + left] + (nodes[above + right] - nodes[above + left]) * across;
                let lower =
                    nodes[below + left] + (nodes[below + right] - nodes[below + left]) * across;
                *value += upper + (lower - upper) * down;
            }
        }
    }
    sum
}

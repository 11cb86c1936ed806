//! A computed source and answer of a task's size, for warm-ups and benchmarks.

use crate::media::{Clip, ClipShape, Rational, VideoInfo};

/// The answer's largest difference from a byte of the source.
const NOISE: u32 = 3;

/// A source that pans over a texture, and an answer that passes: the same with a little noise.
pub(crate) fn source_and_answer(shape: ClipShape) -> Option<[Clip; 2]> {
    let (width, height) = (shape.width as usize, shape.height as usize);
    // The camera moves by three pixels a frame over a still picture.
    let wide = width + 3 * shape.frames as usize;
    let wall: Vec<u8> =
        (0..wide * (height + 32)).map(|index| texture(index % wide, index / wide)).collect();
    let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
    let frame = |index: usize, noise: u32| {
        let down = 16 + (12.0 * (index as f32 / 12.0).sin()).round() as usize;
        let mut planes = Vec::with_capacity(width * height * 3 / 2);
        for row in 0..height {
            let line = &wall[(row + down) * wide + 3 * index..][..width];
            planes.extend(line.iter().enumerate().map(|(column, byte)| {
                let change = hash(column as u32, row as u32, index as u32) % (2 * noise + 1);
                (u32::from(*byte) + change).saturating_sub(noise).clamp(16, 235) as u8
            }));
        }
        let chroma = |part: usize| {
            (0..chroma_width * chroma_height).map(move |place| {
                (112 + 32 * (place % chroma_width * part + place / chroma_width) / 1500) as u8
            })
        };
        planes.extend(chroma(1).chain(chroma(2)));
        planes
    };
    let clip = |noise| {
        let planes = (0..shape.frames as usize).map(|index| frame(index, noise)).collect();
        let info = VideoInfo {
            width: shape.width,
            height: shape.height,
            fps: Some(Rational { numerator: shape.fps, denominator: 1 }),
            frames: Some(shape.frames.into()),
            duration_ms: Some(shape.duration_ms()),
            codec: "none".into(),
            colour_space: None,
        };
        Clip::from_planes(width, height, info, planes)
    };
    Some([clip(0)?, clip(NOISE)?])
}

/// Waves of several lengths and grain.
fn texture(column: usize, row: usize) -> u8 {
    let (x, y) = (column as f32, row as f32);
    let waves = 40.0 * (x / 37.0 + 3.0 * (y / 53.0).sin()).sin()
        + 30.0 * (y / 29.0).sin()
        + 20.0 * (x / 7.0).sin();
    let grain = hash(column as u32 / 2, row as u32 / 2, 0) % 31;
    (110.0 + waves + grain as f32).clamp(16.0, 235.0) as u8
}

/// A hash that is spread evenly over 32 bits.
fn hash(x: u32, y: u32, z: u32) -> u32 {
    let mut mixed =
        x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ z.wrapping_mul(83_492_791);
    mixed = (mixed ^ (mixed >> 13)).wrapping_mul(1_274_126_177);
    mixed ^ (mixed >> 16)
}

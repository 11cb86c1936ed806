//! Frames of a clip as RGB pictures, by integer arithmetic, so that every machine gets the same bytes.

use crate::media::Clip;
use crate::tensors::tensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Frames of a clip that a learned judge looks at.
pub const SAMPLED_FRAMES: usize = 8;

/// Bits behind the point in the matrices below.
const POINT: u32 = 16;

/// The middle of each of [`SAMPLED_FRAMES`] equal parts of a clip of `frames`; every frame where there are not more.
pub fn sampled_frames(frames: usize) -> Vec<usize> {
    let count = frames.min(SAMPLED_FRAMES);
    (0..count).map(|part| (2 * part + 1) * frames / (2 * count)).collect()
}

/// The frames at `indices`, each below the clip's length, as RGB `[n, 3, h, w]`, a byte divided by 255.
///
/// The matrix is the one that the file's tag names (BT.601, BT.709, BT.2020 of non-constant luminance, SMPTE
/// 240M), BT.709 without a tag. The range is taken to be limited: 16 to 235. Half-size chroma is interpolated linearly,
/// its samples between two rows and on every second column, as MPEG-2 and H.264 place them. One rounding, to the nearest byte.
pub fn rgb_pictures<B: Backend>(clip: &Clip, indices: &[usize], device: &B::Device) -> Tensor<B, 4> {
    let (height, width) = (clip.height(), clip.width());
    let matrix = Matrix::of(clip.info().colour_space.as_deref());
    let mut values = Vec::with_capacity(indices.len() * 3 * height * width);
    for index in indices {
        let (blue, red) = clip.chroma(*index);
        let (blue, red) = (eighths(blue, height, width), eighths(red, height, width));
        let pixels = || clip.luma(*index).iter().zip(&blue).zip(&red).map(|((luma, blue), red)| (*luma, *blue, *red));
        for channel in 0..3 {
            values.extend(pixels().map(|(luma, blue, red)| f32::from(matrix.value(channel, luma, blue, red)) / 255.0));
        }
    }
    tensor(values, [indices.len(), 3, height, width], device)
}

/// What each channel gets of luma, blue difference and red difference.
struct Matrix {
    rows: [[i64; 3]; 3],
}

impl Matrix {
    fn of(tag: Option<&str>) -> Self {
        let (red, blue) = match tag {
            Some("smpte170m" | "bt470bg") => (0.299, 0.114),
            Some("bt2020nc") => (0.2627, 0.0593),
            Some("smpte240m") => (0.212, 0.087),
            _ => (0.2126, 0.0722),
        };
        Self::new(red, blue)
    }

    /// From what red and blue contribute to luma (ITU-R BT.709-6, item 3).
    fn new(red: f64, blue: f64) -> Self {
        let (green, chroma) = (1.0 - red - blue, 255.0 / 224.0);
        let (from_red, from_blue) = (2.0 * (1.0 - red) * chroma, 2.0 * (1.0 - blue) * chroma);
        let luma = 255.0 / 219.0;
        let rows =
            [[luma, 0.0, from_red], [luma, -from_blue * blue / green, -from_red * red / green], [luma, from_blue, 0.0]];
        Self { rows: rows.map(|row| row.map(|value| (value * f64::from(1 << POINT)).round() as i64)) }
    }

    /// A channel's byte; the colour differences are in eighths.
    fn value(&self, channel: usize, luma: u8, blue: i64, red: i64) -> u8 {
        let [by_luma, by_blue, by_red] = self.rows[channel];
        let sum = by_luma * 8 * (i64::from(luma) - 16) + by_blue * (blue - 8 * 128) + by_red * (red - 8 * 128);
        let bits = POINT + 3;
        ((sum + (1 << (bits - 1))) >> bits).clamp(0, 255) as u8
    }
}

/// A half-size plane at full size, in eighths.
fn eighths(plane: &[u8], height: usize, width: usize) -> Vec<i64> {
    let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
    let mut full = Vec::with_capacity(height * width);
    for row in 0..height {
        let near = row / 2;
        let far = if row % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(rows - 1) };
        let quarters =
            |column: usize| 3 * i64::from(plane[near * columns + column]) + i64::from(plane[far * columns + column]);
        full.extend((0..width).map(|column| {
            let left = quarters(column / 2);
            let right = if column % 2 == 0 { left } else { quarters((column / 2 + 1).min(columns - 1)) };
            left + right
        }));
    }
    full
}

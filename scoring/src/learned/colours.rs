//! Converts frames of a clip to RGB pictures, in integer arithmetic, so that every machine gets the
//! same bytes.

use crate::device::transfer::tensor;
use crate::media::Clip;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// How many frames of a clip a learned metric samples.
pub(crate) const SAMPLED_FRAMES: usize = 8;

/// Fractional bits of the matrices below.
const POINT: u32 = 16;

/// The middle frame of each of [`SAMPLED_FRAMES`] equal parts of a clip of `frames`, or every frame
/// of a shorter clip.
pub(crate) fn sampled_frames(frames: usize) -> Vec<usize> {
    let count = frames.min(SAMPLED_FRAMES);
    (0..count).map(|part| (2 * part + 1) * frames / (2 * count)).collect()
}

/// The frames at `indices`, each below the clip's length, as RGB `[n, 3, h, w]`, a byte divided by
/// 255.
///
/// The matrix is the one that the file's tag names (BT.601, BT.709, BT.2020 of non-constant
/// luminance, SMPTE 240M), BT.709 without a tag. The range is taken to be limited: 16 to 235.
/// Half-size chroma is interpolated linearly, its samples between two rows and on every second
/// column, as MPEG-2 and H.264 place them. One rounding, to the nearest byte.
pub(crate) fn rgb_pictures<B: Backend>(
    clip: &Clip,
    indices: &[usize],
    device: &B::Device,
) -> Tensor<B, 4> {
    let (height, width) = (clip.height(), clip.width());
    let matrix = Matrix::of(clip.info().colour_space.as_deref());
    let mut values = Vec::with_capacity(indices.len() * 3 * height * width);
    for index in indices {
        let (blue, red) = clip.chroma(*index);
        let (blue, red) = (eighths(blue, height, width), eighths(red, height, width));
        let pixels = || {
            clip.luma(*index)
                .iter()
                .zip(&blue)
                .zip(&red)
                .map(|((luma, blue), red)| (*luma, *blue, *red))
        };
        for channel in 0..3 {
            values.extend(pixels().map(|(luma, blue, red)| {
                f32::from(matrix.value(channel, luma, blue, red)) / 255.0
            }));
        }
    }
    tensor(values, [indices.len(), 3, height, width], device)
}

/// The weights of luma, blue difference and red difference in each channel.
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

    /// From the weights of red and blue in luma (ITU-R BT.709-6, item 3).
    fn new(red: f64, blue: f64) -> Self {
        let (green, chroma) = (1.0 - red - blue, 255.0 / 224.0);
        let (from_red, from_blue) = (2.0 * (1.0 - red) * chroma, 2.0 * (1.0 - blue) * chroma);
        let luma = 255.0 / 219.0;
        let rows = [
            [luma, 0.0, from_red],
            [luma, -from_blue * blue / green, -from_red * red / green],
            [luma, from_blue, 0.0],
        ];
        Self {
            rows: rows.map(|row| row.map(|value| (value * f64::from(1 << POINT)).round() as i64)),
        }
    }

    /// A channel's byte; the colour differences are in eighths.
    fn value(&self, channel: usize, luma: u8, blue: i64, red: i64) -> u8 {
        let [by_luma, by_blue, by_red] = self.rows[channel];
        let sum = by_luma * 8 * (i64::from(luma) - 16)
            + by_blue * (blue - 8 * 128)
            + by_red * (red - 8 * 128);
        let bits = POINT + 3;
        ((sum + (1 << (bits - 1))) >> bits).clamp(0, 255) as u8
    }
}

/// Scales a half-size plane to full size, in eighths.
fn eighths(plane: &[u8], height: usize, width: usize) -> Vec<i64> {
    let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
    let mut full = Vec::with_capacity(height * width);
    for row in 0..height {
        let near = row / 2;
        let far = if row % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(rows - 1) };
        let quarters = |column: usize| {
            3 * i64::from(plane[near * columns + column]) + i64::from(plane[far * columns + column])
        };
        full.extend((0..width).map(|column| {
            let left = quarters(column / 2);
            let right =
                if column % 2 == 0 { left } else { quarters((column / 2 + 1).min(columns - 1)) };
            left + right
        }));
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::transfer::read;
    use crate::media::VideoInfo;
    use burn_flex::Flex;
    use proptest::prelude::*;

    fn clip(width: usize, height: usize, planes: Vec<Vec<u8>>, tag: Option<&str>) -> Clip {
        let info = VideoInfo {
            width: width as u32,
            height: height as u32,
            fps: None,
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: tag.map(str::to_owned),
        };
        Clip::from_planes(width, height, info, planes).unwrap()
    }

    fn bytes(clip: &Clip, indices: &[usize]) -> Vec<u8> {
        let values = read(rgb_pictures::<Flex>(clip, indices, &Default::default()));
        values.into_iter().map(|value| (value * 255.0).round() as u8).collect()
    }

    fn plain(luma: u8, blue: u8, red: u8, tag: Option<&str>) -> [u8; 3] {
        let planes = [vec![luma; 16], vec![blue; 4], vec![red; 4]].concat();
        let found = bytes(&clip(4, 4, vec![planes], tag), &[0]);
        let colour = [found[0], found[16], found[32]];
        assert!((0..48).all(|index| found[index] == colour[index / 16]));
        colour
    }

    #[test]
    fn colour_bars_have_the_colours_of_the_standards() {
        // 100 % bars: ITU-R BT.709 and BT.601, limited range.
        for (tag, bars) in [
            (None, [[63, 102, 240], [173, 42, 26], [32, 240, 118], [219, 16, 138]]),
            (Some("smpte170m"), [[81, 90, 240], [145, 54, 34], [41, 240, 110], [210, 16, 146]]),
        ] {
            let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]];
            for ([luma, blue, red], wanted) in bars.into_iter().zip(colours) {
                let found = plain(luma, blue, red, tag);
                let near = found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted): (&u8, i32)| (i32::from(*found) - wanted).abs() <= 2);
                assert!(near, "{tag:?}: {found:?}, not {wanted:?}");
            }
        }
        assert_eq!(plain(16, 128, 128, None), [0; 3]);
        assert_eq!(plain(235, 128, 128, None), [255; 3]);
        assert_eq!(plain(126, 128, 128, None), [128; 3]);
        // Values outside the range are black or white.
        assert_eq!(plain(0, 128, 128, None), [0; 3]);
        assert_eq!(plain(255, 128, 128, None), [255; 3]);
    }

    #[test]
    fn chroma_lies_on_even_columns_and_between_rows() {
        let (near, far) = (40_i64, 80_i64);
        let across = eighths(&[40, 80], 2, 4);
        assert_eq!(across[..4], [8 * near, 4 * near + 4 * far, 8 * far, 8 * far]);
        assert_eq!(across[..4], across[4..]);
        let down = eighths(&[40, 80], 4, 2);
        let column: Vec<i64> = down.iter().step_by(2).copied().collect();
        assert_eq!(column, [8 * near, 6 * near + 2 * far, 2 * near + 6 * far, 8 * far]);
    }

    #[test]
    fn odd_sides_and_chosen_frames_are_converted() {
        let frame = |luma: u8| [vec![luma; 15], vec![128; 6], vec![128; 6]].concat();
        let clip = clip(5, 3, vec![frame(16), frame(126), frame(235)], None);
        let found = bytes(&clip, &[2, 0]);
        assert_eq!((found[..45].to_vec(), found[45..].to_vec()), (vec![255; 45], vec![0; 45]));
    }

    #[test]
    fn sampled_frames_are_the_middles_of_equal_parts() {
        assert_eq!(sampled_frames(81), [5, 15, 25, 35, 45, 55, 65, 75]);
        assert_eq!(sampled_frames(8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(sampled_frames(2), [0, 1]);
        assert_eq!(sampled_frames(0), [0_usize; 0]);
    }

    proptest! {
        #[test]
        fn a_pixel_is_the_nearest_byte_to_the_matrix(luma: u8, blue: u8, red: u8) {
            let (y, u, v) = (f64::from(luma) - 16.0, f64::from(blue) - 128.0, f64::from(red) - 128.0);
            let (y, u, v) = (y * 255.0 / 219.0, u * 255.0 / 224.0, v * 255.0 / 224.0);
            let exact = [
                y + 1.5748 * v,
                y - (0.0722 * 1.8556 * u + 0.2126 * 1.5748 * v) / 0.7152,
                y + 1.8556 * u,
            ];
            for (found, exact) in plain(luma, blue, red, Some("bt709")).into_iter().zip(exact) {
                prop_assert!((f64::from(found) - exact.clamp(0.0, 255.0)).abs() < 0.503);
            }
        }
    }
}

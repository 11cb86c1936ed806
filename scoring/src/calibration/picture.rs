//! Changes within one plane of one frame.

use crate::comparison::resample::resize_plane;
use crate::media::Clip;
use rayon::prelude::*;

/// Side of the blocks that video codecs quantise.
const BLOCK: usize = 8;

/// One plane of one frame.
#[derive(Clone, Copy)]
pub(crate) struct Plane<'a> {
    bytes: &'a [u8],
    width: usize,
    height: usize,
    number: usize,
}

/// Changes every plane of every frame. The size does not change.
pub(crate) fn map_planes(clip: &Clip, change: impl Fn(Plane<'_>, usize) -> Vec<u8> + Sync) -> Clip {
    let frames = (0..clip.len())
        .into_par_iter()
        .map(|frame| planes_of(clip, frame).map(|plane| change(plane, frame)).concat());
    rebuilt(clip, frames.collect())
}

/// Luma and both chroma planes of a frame.
pub(crate) fn planes_of(clip: &Clip, frame: usize) -> [Plane<'_>; 3] {
    let (width, height) = (clip.width(), clip.height());
    let (blue, red) = clip.chroma(frame);
    let chroma = |bytes, number| Plane {
        bytes,
        width: width.div_ceil(2),
        height: height.div_ceil(2),
        number,
    };
    [Plane { bytes: clip.luma(frame), width, height, number: 0 }, chroma(blue, 1), chroma(red, 2)]
}

/// A clip with the same properties and other pictures of the same size.
pub(crate) fn rebuilt(clip: &Clip, frames: Vec<Vec<u8>>) -> Clip {
    Clip::from_planes(clip.width(), clip.height(), clip.info().clone(), frames)
        .unwrap_or_else(|| clip.clone())
}

/// Mixes each frame of a clip with that of another of its size; `part` is the other's.
pub(crate) fn mixed_clips(clip: &Clip, other: &Clip, part: impl Fn(usize) -> f32 + Sync) -> Clip {
    map_planes(clip, |plane, frame| {
        let part = part(frame);
        let theirs = planes_of(other, frame)[plane.number()];
        plane.changed(|value, pixel| value + (theirs.value(pixel) - value) * part)
    })
}

impl Plane<'_> {
    /// 0 for luma, 1 and 2 for chroma.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The value of one sample.
    #[inline]
    pub(crate) fn value(&self, sample: usize) -> f32 {
        f32::from(self.bytes[sample])
    }

    pub(crate) fn is_luma(&self) -> bool {
        self.number == 0
    }

    /// Pixels of the picture per sample.
    pub(crate) fn scale(&self) -> f32 {
        if self.is_luma() { 1.0 } else { 2.0 }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Maps every value by `change`, which also gets its place in the plane.
    pub(crate) fn changed(&self, change: impl Fn(f32, usize) -> f32) -> Vec<u8> {
        self.bytes
            .iter()
            .enumerate()
            .map(|(pixel, value)| byte(change(f32::from(*value), pixel)))
            .collect()
    }

    /// The value between four samples. Outside, the picture is mirrored.
    pub(crate) fn at(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (floor(x), floor(y));
        let (right, down) = (x - left as f32, y - top as f32);
        let columns = [mirrored(left, self.width), mirrored(left + 1, self.width)];
        let rows = [mirrored(top, self.height), mirrored(top + 1, self.height)];
        let line = |row: usize| {
            let value = |column: usize| f32::from(self.bytes[row * self.width + column]);
            value(columns[0]) * (1.0 - right) + value(columns[1]) * right
        };
        line(rows[0]) * (1.0 - down) + line(rows[1]) * down
    }

    /// Takes every sample from where `place` points.
    pub(crate) fn moved(&self, place: impl Fn(usize, usize) -> (f32, f32)) -> Vec<u8> {
        let mut moved = vec![0; self.bytes.len()];
        for (y, line) in moved.chunks_exact_mut(self.width).enumerate() {
            for (x, sample) in line.iter_mut().enumerate() {
                let (x, y) = place(x, y);
                *sample = byte(self.at(x, y));
            }
        }
        moved
    }

    /// Blurs with a Gaussian of standard deviation `sigma`, in samples.
    pub(crate) fn blurred(&self, sigma: f32) -> Vec<u8> {
        let radius = (3.0 * sigma).ceil() as i64;
        let weights: Vec<f32> =
            (-radius..=radius).map(|at| (-0.5 * (at as f32 / sigma).powi(2)).exp()).collect();
        let sum: f32 = weights.iter().sum();
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight / sum).collect();
        let values: Vec<f32> = self.bytes.iter().map(|value| f32::from(*value)).collect();
        let mut across = vec![0.0; values.len()];
        let places: Vec<usize> = (-radius..self.width as i64 + radius)
            .map(|column| mirrored(column, self.width))
            .collect();
        let mut longer = vec![0.0; places.len()];
        for (line, out) in values.chunks_exact(self.width).zip(across.chunks_exact_mut(self.width))
        {
            longer.iter_mut().zip(&places).for_each(|(value, column)| *value = line[*column]);
            for (shift, weight) in weights.iter().enumerate() {
                out.iter_mut()
                    .zip(&longer[shift..])
                    .for_each(|(sum, value)| *sum += weight * value);
            }
        }
        let mut line = vec![0.0_f32; self.width];
        let mut blurred = Vec::with_capacity(values.len());
        for y in 0..self.height as i64 {
            line.fill(0.0);
            for (weight, shift) in weights.iter().zip(-radius..) {
                let row = &across[mirrored(y + shift, self.height) * self.width..][..self.width];
                line.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            blurred.extend(line.iter().map(|value| byte(*value)));
        }
        blurred
    }

    /// Shrinks the picture `times` and enlarges it again.
    pub(crate) fn through_smaller(&self, times: f32) -> Vec<u8> {
        let smaller = |side: usize| ((side as f32 / times).round() as usize).max(1);
        let (width, height) = (smaller(self.width), smaller(self.height));
        let soft = self.blurred(0.4 * times);
        let small = resize_plane(&soft, (self.width, self.height), (width, height));
        resize_plane(&small, (width, height), (self.width, self.height))
    }

    /// Rounds the cosine transform of blocks of 8x8 to multiples of `step`, and the mean to a
    /// quarter of it. Incomplete blocks stay unchanged.
    pub(crate) fn quantised(&self, step: f32) -> Vec<u8> {
        let mut values = self.bytes.to_vec();
        let basis = cosines();
        for (top, left) in
            (0..self.height / BLOCK).flat_map(|y| (0..self.width / BLOCK).map(move |x| (y, x)))
        {
            let place = |row: usize, column: usize| {
                (top * BLOCK + row) * self.width + left * BLOCK + column
            };
            let mut block = [[0.0; BLOCK]; BLOCK];
            for (row, line) in block.iter_mut().enumerate() {
                for (column, value) in line.iter_mut().enumerate() {
                    *value = f32::from(values[place(row, column)]) - 128.0;
                }
            }
            let mut spectrum = transformed(&block, &basis, false);
            for (row, line) in spectrum.iter_mut().enumerate() {
                for (column, value) in line.iter_mut().enumerate() {
                    let step = if row + column == 0 { step / 4.0 } else { step };
                    *value = (*value / step).round() * step;
                }
            }
            for (row, line) in transformed(&spectrum, &basis, true).iter().enumerate() {
                for (column, value) in line.iter().enumerate() {
                    values[place(row, column)] = byte(value + 128.0);
                }
            }
        }
        values
    }
}

type Square = [[f32; BLOCK]; BLOCK];

/// The orthonormal cosine basis, one function a row.
fn cosines() -> Square {
    std::array::from_fn(|wave| {
        let norm =
            if wave == 0 { (1.0 / BLOCK as f32).sqrt() } else { (2.0 / BLOCK as f32).sqrt() };
        std::array::from_fn(|at| {
            norm * (std::f32::consts::PI * (2 * at + 1) as f32 * wave as f32 / (2 * BLOCK) as f32)
                .cos()
        })
    })
}

/// Transforms a block from places to waves, or back. The innermost loops run over neighbours in
/// memory, so that they vectorise; the order of each sum is fixed.
fn transformed(block: &Square, basis: &Square, back: bool) -> Square {
    let turned: Square = std::array::from_fn(|at| std::array::from_fn(|wave| basis[wave][at]));
    let (basis, turned) = if back { (&turned, basis) } else { (basis, &turned) };
    let product = |left: &Square, right: &Square| -> Square {
        let mut product = [[0.0; BLOCK]; BLOCK];
        for (sums, factors) in product.iter_mut().zip(left) {
            for (factor, line) in factors.iter().zip(right) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += factor * value;
                }
            }
        }
        product
    };
    product(basis, &product(block, turned))
}

/// As `f32::floor`, which is a call into the C library on processors without SSE 4.1; places are
/// far below 2^31.
fn floor(at: f32) -> i64 {
    let whole = at as i32;
    i64::from(whole) - i64::from(whole as f32 > at)
}

fn mirrored(at: i64, length: usize) -> usize {
    // The common case. A division would cost more than everything else here.
    if let Ok(inside) = usize::try_from(at)
        && inside < length
    {
        return inside;
    }
    let length = length as i64;
    let around = at.rem_euclid(2 * length);
    around.min(2 * length - 1 - around) as usize
}

/// Rounds to 0 to 255, halves upward: like `f32::round`, which is a call like `f32::floor`.
pub(crate) fn byte(value: f32) -> u8 {
    let whole = value as i32;
    whole.saturating_add(i32::from(value - whole as f32 >= 0.5)).clamp(0, 255) as u8
}

/// A number from 0 to 1 that follows from its arguments.
pub(crate) fn fraction(seed: u64, of: u64) -> f32 {
    (mixed(seed ^ mixed(of)) >> 40) as f32 / (1_u32 << 24) as f32
}

/// Noise of mean 0 and standard deviation 1, nearly normal: the sum of four bytes.
pub(crate) fn noise(seed: u64, frame: u64, (plane, pixel): (usize, usize)) -> f32 {
    let bits = mixed(seed ^ mixed(frame << 40 | (plane as u64) << 36 | pixel as u64));
    let sum: u64 = (0..4).map(|byte| bits >> (8 * byte) & 0xff).sum();
    (sum as f32 - 510.0) / 147.8
}

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_transform_comes_back() {
        let block: Square =
            std::array::from_fn(|y| std::array::from_fn(|x| (x * 7 + y * y * 3) as f32));
        let back = transformed(&transformed(&block, &cosines(), false), &cosines(), true);
        assert!(
            block.iter().flatten().zip(back.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-3)
        );
    }

    #[test]
    fn noise_has_its_mean_and_deviation() {
        let values: Vec<f32> = (0..100_000).map(|pixel| noise(3, 5, (0, pixel))).collect();
        let mean = values.iter().sum::<f32>() / 1e5;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn numbers_are_rounded_as_the_standard_library_rounds_them() {
        let near = |number: f32| [number, number.next_up(), number.next_down(), -number];
        let numbers = (0..=2_100).map(|eighths| eighths as f32 / 8.0).flat_map(near);
        for number in numbers.chain([
            1e6,
            -1e6,
            f32::MIN_POSITIVE,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ]) {
            assert_eq!(byte(number), number.round() as u8, "{number}");
            if number.abs() <= 1e6 {
                assert_eq!(floor(number), number.floor() as i64, "{number}");
            }
        }
    }

    #[test]
    fn flat_planes_stay_flat_and_outside_is_the_mirror_image() {
        let bytes = [90; 24 * 16];
        let plane = Plane { bytes: &bytes, width: 24, height: 16, number: 0 };
        for changed in [
            plane.blurred(2.0),
            plane.through_smaller(3.0),
            plane.moved(|x, y| (x as f32 - 40.3, y as f32)),
        ] {
            assert_eq!(changed, bytes);
        }
        assert_eq!([-2, -1, 0, 3, 4, 5, 8].map(|at| mirrored(at, 4)), [1, 0, 0, 3, 3, 2, 0]);
    }
}

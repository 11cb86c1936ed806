//! Pictures in memory, as the decoder wrote them where possible.

use super::sums::sum_row;
use super::wide::wide;
use crate::metrics::Shift;
use crate::metrics::flow::LOW_PASS;
use rayon::prelude::*;
use std::fmt;
use std::sync::Arc;

/// The outer and the inner weights of the low-pass filter together with the mean of two neighbours.
const TAPS: [f32; 2] = [LOW_PASS[0] / 2.0, (LOW_PASS[0] + LOW_PASS[1]) / 2.0];

/// Values of one frame, row by row.
#[derive(Clone)]
enum Samples<'a> {
    /// A byte `b` stands for `b / 255`.
    Bytes(&'a [u8]),
    Floats(Arc<Vec<f32>>),
}

/// Frames of one size with values from 0 to 1. Cutting them copies nothing.
#[derive(Clone)]
pub struct HostPictures<'a> {
    frames: Vec<Samples<'a>>,
    height: usize,
    width: usize,
    stride: usize,
    start: usize,
}

impl fmt::Debug for HostPictures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostPictures({} frames of {}x{})", self.frames.len(), self.width, self.height)
    }
}

impl<'a> HostPictures<'a> {
    /// Frames of bytes, each with `height` rows of `width`.
    pub(super) fn from_bytes(planes: Vec<&'a [u8]>, height: usize, width: usize) -> Self {
        assert!(
            planes.iter().all(|plane| plane.len() == height * width),
            "every plane holds {height}x{width} bytes"
        );
        Self {
            frames: planes.into_iter().map(Samples::Bytes).collect(),
            height,
            width,
            stride: width,
            start: 0,
        }
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Rows and columns.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Applies `measure` to every frame on all cores; results are in the order of the frames.
    pub(crate) fn each<T: Send>(&self, measure: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
        (0..self.len()).into_par_iter().map(measure).collect()
    }

    /// Writes part of a row, beginning at `column`, as values from 0 to 1.
    #[inline(always)]
    pub(crate) fn load(&self, frame: usize, row: usize, column: usize, into: &mut [f32]) {
        let start = self.start + row * self.stride + column;
        match &self.frames[frame] {
            Samples::Bytes(bytes) => {
                for (value, byte) in into.iter_mut().zip(&bytes[start..]) {
                    *value = f32::from(*byte) / 255.0;
                }
            }
            Samples::Floats(values) => into.copy_from_slice(&values[start..start + into.len()]),
        }
    }

    /// Frames of values from 0 to 1, each with rows of `width`.
    pub(super) fn from_values(planes: &[&[f32]], width: usize) -> Self {
        let height = planes.first().map_or(0, |plane| plane.len() / width);
        let frames = planes.iter().map(|plane| Samples::Floats(Arc::new(plane.to_vec())));
        Self { frames: frames.collect(), height, width, stride: width, start: 0 }
    }

    /// All values of one frame.
    pub(crate) fn plane(&self, frame: usize) -> Vec<f32> {
        let mut plane = vec![0.0; self.height * self.width];
        copy_plane(self, frame, &mut plane);
        plane
    }

    /// Cuts both to the part that they share under `shift`; see [`crate::metrics::align`].
    pub(super) fn align(&self, fixed: &Self, shift: Shift) -> (Self, Self) {
        let (right, down) =
            (shift.right.unsigned_abs() as usize, shift.down.unsigned_abs() as usize);
        let cut = |whole: &Self, right_of: bool, below: bool| {
            let start = usize::from(right_of) * right + usize::from(below) * down * whole.stride;
            Self {
                height: whole.height - down,
                width: whole.width - right,
                start: whole.start + start,
                ..whole.clone()
            }
        };
        (cut(self, shift.right > 0, shift.down > 0), cut(fixed, shift.right < 0, shift.down < 0))
    }

    /// Mean absolute or squared difference of a frame's pixels.
    pub(crate) fn mean_difference(&self, other: &Self, frame: usize, squared: bool) -> f64 {
        mean_difference(self, other, frame, squared)
    }

    /// Mean of each 2x2 block; an odd last row or column is dropped.
    pub(crate) fn halve(&self) -> Self {
        self.at_half_size(halve_plane)
    }

    /// The next coarser level of a pyramid: low-pass filtered, then halved. Both are done at once,
    /// by four taps across and down.
    pub(super) fn shrunk(&self) -> Self {
        self.at_half_size(shrink_plane)
    }

    fn at_half_size(&self, write: fn(&HostPictures<'_>, usize, &mut [f32])) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        let frames = self.each(|frame| {
            let mut small = vec![0.0; height * width];
            write(self, frame, &mut small);
            Samples::Floats(Arc::new(small))
        });
        Self { frames, height, width, stride: width, start: 0 }
    }
}

wide! {
    fn copy_plane(pictures: &HostPictures<'_>, frame: usize, into: &mut [f32]) {
        for (row, line) in into.chunks_exact_mut(pictures.width).enumerate() {
            pictures.load(frame, row, 0, line);
        }
    }
}

wide! {
    fn shrink_plane(pictures: &HostPictures<'_>, frame: usize, into: &mut [f32]) {
        let (whole, width) = (pictures.width, pictures.width / 2);
        let last = pictures.height - 1;
        let mut lines = [vec![0.0; whole], vec![0.0; whole], vec![0.0; whole], vec![0.0; whole]];
        // One sample more on each side: the border is repeated.
        let mut down = vec![0.0; whole + 2];
        for (row, into) in into.chunks_exact_mut(width).enumerate() {
            let rows = [(2 * row).saturating_sub(1), 2 * row, (2 * row + 1).min(last), (2 * row + 2).min(last)];
            for (line, row) in lines.iter_mut().zip(rows) {
                pictures.load(frame, row, 0, line);
            }
            let [a, b, c, d] = &lines;
            let (a, b, c, d) = (&a[..whole], &b[..whole], &c[..whole], &d[..whole]);
            for (i, sum) in down[1..=whole].iter_mut().enumerate() {
                *sum = (a[i] + d[i]) * TAPS[0] + (b[i] + c[i]) * TAPS[1];
            }
            (down[0], down[whole + 1]) = (down[1], down[whole]);
            let (left, right) = (down[..2 * width].as_chunks::<2>().0, down[2..2 * width + 2].as_chunks::<2>().0);
            for ((value, left), right) in into.iter_mut().zip(left).zip(right) {
                *value = (left[0] + right[1]) * TAPS[0] + (left[1] + right[0]) * TAPS[1];
            }
        }
    }
}

wide! {
    fn halve_plane(pictures: &HostPictures<'_>, frame: usize, into: &mut [f32]) {
        let width = pictures.width / 2;
        let (mut above, mut below) = (vec![0.0; 2 * width], vec![0.0; 2 * width]);
        for (row, line) in into.chunks_exact_mut(width).enumerate() {
            pictures.load(frame, 2 * row, 0, &mut above);
            pictures.load(frame, 2 * row + 1, 0, &mut below);
            for ((value, above), below) in line.iter_mut().zip(above.as_chunks::<2>().0).zip(below.as_chunks::<2>().0) {
                *value = (above[0] + above[1] + below[0] + below[1]) * 0.25;
            }
        }
    }
}

wide! {
    fn mean_difference(
        left: &HostPictures<'_>,
        right: &HostPictures<'_>,
        frame: usize,
        squared: bool,
    ) -> f64 {
        let (height, width) = left.size();
        let (mut x, mut y) = (vec![0.0; width], vec![0.0; width]);
        let mut sum = 0.0;
        for row in 0..height {
            left.load(frame, row, 0, &mut x);
            right.load(frame, row, 0, &mut y);
            let (x, y) = (&x[..width], &y[..width]);
            sum += if squared {
                sum_row(width, |i| (x[i] - y[i]) * (x[i] - y[i]))
            } else {
                sum_row(width, |i| (x[i] - y[i]).abs())
            };
        }
        sum / (height * width) as f64
    }
}

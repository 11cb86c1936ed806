//! Pictures in memory, as the decoder wrote them where possible.

use super::wide::wide;
use crate::metrics::Shift;
use rayon::prelude::*;
use std::fmt;
use std::sync::Arc;

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
    pub(super) fn each<T: Send>(&self, measure: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
        (0..self.len()).into_par_iter().map(measure).collect()
    }

    /// Writes part of a row, beginning at `column`, as values from 0 to 1.
    #[inline(always)]
    pub(super) fn load(&self, frame: usize, row: usize, column: usize, into: &mut [f32]) {
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

    /// All values of one frame.
    pub(super) fn plane(&self, frame: usize) -> Vec<f32> {
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

    /// Mean of each 2x2 block; an odd last row or column is dropped.
    pub(super) fn halve(&self) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        let frames = self.each(|frame| {
            let mut half = vec![0.0; height * width];
            halve_plane(self, frame, &mut half);
            Samples::Floats(Arc::new(half))
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

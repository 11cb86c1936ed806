//! Tells whether two miners sent the same video.

use crate::features::Features;
use leoma_protocol::Digest;
use serde::{Deserialize, Serialize};

/// Moments that a fingerprint looks at, evenly over the clip.
const MOMENTS: usize = 9;
/// Cells per moment: columns and rows.
const GRID: (usize, usize) = (13, 10);
/// Mean difference per cell, in 255ths of the range, hundredfold, below which two videos are one: a re-encoded copy is a
/// tenth of this away, two models' answers to one task several times it.
const SAME_BELOW: u32 = 30;

/// A coarse picture of a clip's brightness over time, 1 170 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    file: Digest,
    cells: Vec<u8>,
}

impl Fingerprint {
    /// From the features of a clip whose file has the digest `file`.
    pub(crate) fn of(file: Digest, features: &Features) -> Self {
        let [_, rows, columns] = features.luma.shape();
        let plane = (rows * columns).max(1);
        let frames = features.luma.len();
        let (wide, high) = (GRID.0.min(columns.max(1)), GRID.1.min(rows.max(1)));
        let mut cells = Vec::with_capacity(MOMENTS * wide * high);
        for moment in 0..MOMENTS {
            let frame = moment * frames.saturating_sub(1) / (MOMENTS - 1);
            let luma = &features.luma.values()[frame * plane..(frame + 1) * plane];
            for (row, column) in (0..high).flat_map(|row| (0..wide).map(move |column| (row, column))) {
                let block_rows = row * rows / high..(row + 1) * rows / high;
                let block = block_rows.flat_map(|row| {
                    &luma[row * columns + column * columns / wide..row * columns + (column + 1) * columns / wide]
                });
                let (sum, count) = block.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
                cells.push((sum / f32::max(count, 1.0) * 255.0).round() as u8);
            }
        }
        Self { file, cells }
    }

    /// Digest of the file itself.
    pub fn file(&self) -> Digest {
        self.file
    }

    /// Mean difference per cell in 255ths of the range, hundredfold; the largest number where the shapes differ.
    pub fn distance(&self, other: &Self) -> u32 {
        if self.cells.len() != other.cells.len() || self.cells.is_empty() {
            return u32::MAX;
        }
        let sum: u32 = self.cells.iter().zip(&other.cells).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        sum * 100 / self.cells.len() as u32
    }

    /// The files are equal, or one is a re-encoding of the other's frames.
    ///
    /// Only meaningful between answers that are free to differ. Where the honest answer is the source clip itself, as on a
    /// local test network, all good answers are near copies of each other: compare files there.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.file == other.file || self.distance(other) < SAME_BELOW
    }
}

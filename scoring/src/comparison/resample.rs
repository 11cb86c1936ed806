//! Small versions of frames, by exact integer sums, so that every device starts from the same
//! numbers.

use crate::media::Clip;

/// Side of the blocks that frames are reduced by.
pub(crate) const BLOCK: usize = 8;

/// Sums of 8x8 blocks of one plane, in rows; what does not fill a block at the right and at the
/// bottom is left out.
pub(crate) struct BlockSums {
    sums: Vec<u16>,
    columns: usize,
}

impl BlockSums {
    /// Sums the blocks of `plane`, which has rows of `width` bytes.
    pub(crate) fn of(plane: &[u8], width: usize) -> Self {
        let columns = width / BLOCK;
        let rows = plane.len() / width / BLOCK;
        let mut sums = Vec::with_capacity(rows * columns);
        // Four lanes of 16 bits: two neighbours per lane and row, eight rows, at most 4 080.
        let mut lanes = vec![0_u64; columns];
        for block_row in plane.chunks_exact(width * BLOCK).take(rows) {
            lanes.fill(0);
            for line in block_row.chunks_exact(width) {
                for (lane, eight) in lanes.iter_mut().zip(line.as_chunks::<BLOCK>().0) {
                    let eight = u64::from_le_bytes(*eight);
                    *lane += (eight & EVEN_BYTES) + (eight >> 8 & EVEN_BYTES);
                }
            }
            sums.extend(lanes.iter().map(|lane| {
                (lane & 0xffff) as u16
                    + (lane >> 16) as u16
                    + (lane >> 32) as u16
                    + (lane >> 48) as u16
            }));
        }
        Self { sums, columns }
    }

    /// Rows and columns of blocks.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.sums.len() / self.columns.max(1), self.columns)
    }

    /// Block means from 0 to 1.
    pub(crate) fn means(&self) -> impl Iterator<Item = f32> {
        self.sums.iter().map(|sum| f32::from(*sum) / (255 * BLOCK * BLOCK) as f32)
    }

    /// Means of 2x2 blocks, from 0 to 1, for the given numbers of rows and columns.
    pub(crate) fn halved(&self, rows: usize, columns: usize) -> impl Iterator<Item = f32> {
        let sum = |row: usize, column: usize| u32::from(self.sums[row * self.columns + column]);
        (0..rows).flat_map(move |row| {
            (0..columns).map(move |column| {
                let (row, column) = (2 * row, 2 * column);
                let four = sum(row, column)
                    + sum(row, column + 1)
                    + sum(row + 1, column)
                    + sum(row + 1, column + 1);
                four as f32 / (255 * 4 * BLOCK * BLOCK) as f32
            })
        })
    }
}

/// Every other byte of eight.
const EVEN_BYTES: u64 = 0x00ff_00ff_00ff_00ff;

/// Which frame of a clip stands at the time of each frame of the reference.
///
/// Both clips start at 0; a clip without a stated rate is taken frame by frame.
pub(crate) fn frames_at_times_of(answer: &Clip, reference: &Clip) -> Vec<usize> {
    let last = answer.len() - 1;
    let rates = (answer.info().fps, reference.info().fps);
    (0..reference.len())
        .map(|index| match rates {
            (Some(ours), Some(theirs)) => {
                let numerator =
                    index as u128 * u128::from(theirs.denominator) * u128::from(ours.numerator);
                let denominator = u128::from(theirs.numerator) * u128::from(ours.denominator);
                // The frame on screen at that time; an eighth of a frame of tolerance for rounded
                // rates.
                let shown = (numerator * 8 + denominator) / (denominator * 8);
                usize::try_from(shown).unwrap_or(last).min(last)
            }
            _ => index.min(last),
        })
        .collect()
}

/// `clip` at another size, by bilinear interpolation in fixed point; the clip itself where the size
/// is right.
pub(crate) fn resized(clip: Clip, width: usize, height: usize) -> Clip {
    if (clip.width(), clip.height()) == (width, height) {
        return clip;
    }
    let (from_width, from_height) = (clip.width(), clip.height());
    let half = |side: usize| side.div_ceil(2);
    let planes = (0..clip.len()).map(|index| {
        let (blue, red) = clip.chroma(index);
        let mut planes = resize_plane(clip.luma(index), (from_width, from_height), (width, height));
        for plane in [blue, red] {
            let chroma = resize_plane(
                plane,
                (half(from_width), half(from_height)),
                (half(width), half(height)),
            );
            planes.extend(chroma);
        }
        planes
    });
    let planes = planes.collect();
    let info = clip.info().clone();
    Clip::from_planes(width, height, info, planes).unwrap_or(clip)
}

/// One plane; positions in 65 536ths of a pixel, weights in 256ths.
pub(crate) fn resize_plane(plane: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let places = |from: usize, to: usize| -> Vec<(usize, usize, u32)> {
        (0..to)
            .map(|index| {
                let position = ((2 * index as i64 + 1) * from as i64 * 32_768 / to as i64 - 32_768)
                    .max(0) as usize;
                let near = (position >> 16).min(from - 1);
                (near, (near + 1).min(from - 1), (position >> 8) as u32 & 0xff)
            })
            .collect()
    };
    let columns = places(from.0, to.0);
    let mut resized = Vec::with_capacity(to.0 * to.1);
    for (above, below, down) in places(from.1, to.1) {
        let (above, below) =
            (&plane[above * from.0..][..from.0], &plane[below * from.0..][..from.0]);
        resized.extend(columns.iter().map(|&(left, right, across)| {
            let mix = |line: &[u8]| {
                u32::from(line[left]) * (256 - across) + u32::from(line[right]) * across
            };
            ((mix(above) * (256 - down) + mix(below) * down + 32_768) >> 16) as u8
        }));
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Rational, VideoInfo};

    fn clip(frames: usize, fps: u32) -> Clip {
        let info = VideoInfo {
            width: 4,
            height: 4,
            fps: Some(Rational { numerator: fps, denominator: 1 }),
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        };
        Clip::from_planes(4, 4, info, (0..frames).map(|i| vec![i as u8; 24]).collect()).unwrap()
    }

    #[test]
    fn frames_are_matched_by_time() {
        let reference = clip(81, 16);
        let same: Vec<usize> = (0..81).collect();
        assert_eq!(frames_at_times_of(&clip(81, 16), &reference), same);
        let quarter = frames_at_times_of(&clip(21, 4), &reference);
        assert_eq!(quarter[..9], [0, 0, 0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(quarter[80], 20);
        assert_eq!(frames_at_times_of(&clip(161, 32), &reference)[80], 160);
    }

    #[test]
    fn block_means_are_exact_and_leave_out_the_rest() {
        let plane: Vec<u8> = (0..19 * 17_usize).map(|i| (i * 89 % 256) as u8).collect();
        let blocks = BlockSums::of(&plane, 19);
        assert_eq!(blocks.size(), (2, 2));
        let sum = |row: usize, column: usize| -> u32 {
            let cells = (0..64).map(|i| (row * 8 + i / 8) * 19 + column * 8 + i % 8);
            cells.map(|cell| u32::from(plane[cell])).sum()
        };
        let sums = [sum(0, 0), sum(0, 1), sum(1, 0), sum(1, 1)];
        assert_eq!(blocks.sums.iter().map(|sum| u32::from(*sum)).collect::<Vec<_>>(), sums);
        assert_eq!(blocks.means().next(), Some(sums[0] as f32 / (255 * 64) as f32));
        assert_eq!(
            blocks.halved(1, 1).next(),
            Some(sums.iter().sum::<u32>() as f32 / (255 * 256) as f32)
        );
        assert_eq!(BlockSums::of(&[255; 64], 8).means().next(), Some(1.0));
    }

    #[test]
    fn resizing_keeps_flat_and_sloping_pictures() {
        assert!(resize_plane(&[7; 24], (6, 4), (9, 5)).iter().all(|value| *value == 7));
        let slope: Vec<u8> = (0..64).map(|i| (i % 8 * 10) as u8).collect();
        let wider = resize_plane(&slope, (8, 8), (16, 8));
        assert!(wider[..16].windows(2).all(|pair| pair[0] <= pair[1]));
        let same = resize_plane(&slope, (8, 8), (8, 8));
        assert_eq!(same, slope);
    }
}

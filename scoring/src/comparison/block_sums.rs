//! Sums of blocks of a frame: exact integers, so that every device starts from the same numbers.

/// Side of a block in pixels.
pub(crate) const BLOCK: usize = 8;

/// Sums of the 8x8 blocks of one plane, row by row. Incomplete blocks at the right and at the
/// bottom are left out.
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
        // Four lanes of 16 bits. Each adds two neighbours in eight rows, at most 4 080.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

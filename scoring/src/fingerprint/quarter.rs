//! Frames at a quarter of their size, by exact integer sums, and means of boxes in them.

/// Side of the blocks that a frame is reduced by.
pub(crate) const BLOCK: usize = 4;
/// Positions are in units of a full pixel over this.
pub(crate) const SUBPIXEL: i64 = 16;
/// The same parts in one pixel of the reduced picture.
pub(crate) const PART: i64 = BLOCK as i64 * SUBPIXEL;

/// One plane at a quarter of its size, in sixteenths of a luma level: 0 to 4 080.
#[derive(Debug, Clone)]
pub(super) struct Quarter {
    pub(super) values: Vec<u16>,
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Quarter {
    /// Sums the blocks of `plane`, which has rows of `width` bytes; what does not fill a block is
    /// left out.
    pub(super) fn of(plane: &[u8], width: usize) -> Self {
        let (columns, rows) = (width / BLOCK, plane.len() / width.max(1) / BLOCK);
        let mut values = Vec::with_capacity(columns * rows);
        let mut line = vec![0_u16; columns * BLOCK];
        for block_row in plane.chunks_exact(width * BLOCK).take(rows) {
            line.fill(0);
            for pixels in block_row.chunks_exact(width) {
                for (sum, pixel) in line.iter_mut().zip(pixels) {
                    *sum += u16::from(*pixel);
                }
            }
            values.extend(line.as_chunks::<BLOCK>().0.iter().map(|four| four.iter().sum::<u16>()));
        }
        Self { values, columns, rows }
    }

    /// Means of 2x2 blocks, in the same unit.
    pub(super) fn halved(&self) -> Self {
        let (columns, rows) = (self.columns / 2, self.rows / 2);
        let at = |column: usize, row: usize| u32::from(self.values[row * self.columns + column]);
        let mean = |column: usize, row: usize| {
            let (left, top) = (2 * column, 2 * row);
            let four =
                at(left, top) + at(left + 1, top) + at(left, top + 1) + at(left + 1, top + 1);
            ((four + 2) / 4) as u16
        };
        let values =
            (0..rows).flat_map(|row| (0..columns).map(move |column| mean(column, row))).collect();
        Self { values, columns, rows }
    }

    /// Exchanges left and right.
    pub(super) fn mirrored(&self) -> Self {
        let lines = self.values.chunks_exact(self.columns.max(1));
        Self { values: lines.flat_map(|line| line.iter().rev().copied()).collect(), ..*self }
    }
}

/// Sums of everything above and to the left, for box means at any position.
#[derive(Debug)]
pub(super) struct Sums {
    /// One row and one column more than the picture has.
    sums: Vec<i64>,
    columns: usize,
    rows: usize,
}

/// A box in parts of a full pixel: left, top, right, bottom.
pub(super) type Rectangle = [i64; 4];

impl Sums {
    /// From a reduced picture in any unit.
    pub(super) fn of(values: impl Iterator<Item = i64>, columns: usize, rows: usize) -> Self {
        let mut sums = vec![0; (columns + 1) * (rows + 1)];
        let mut values = values.fuse();
        for row in 1..=rows {
            let mut line = 0;
            for column in 1..=columns {
                line += values.next().unwrap_or(0);
                sums[row * (columns + 1) + column] =
                    sums[(row - 1) * (columns + 1) + column] + line;
            }
        }
        Self { sums, columns, rows }
    }

    /// Whether a box lies wholly in the picture.
    pub(super) fn holds(&self, [left, top, right, bottom]: Rectangle) -> bool {
        let (width, height) = (self.columns as i64 * PART, self.rows as i64 * PART);
        left >= 0 && top >= 0 && right <= width && bottom <= height && left < right && top < bottom
    }

    /// The sum up to a position, times `PART` squared.
    fn up_to(&self, x: i64, y: i64) -> i64 {
        let (column, row) = ((x / PART) as usize, (y / PART) as usize);
        let (across, down) = (x % PART, y % PART);
        let line = |row: usize| {
            let at = |column: usize| self.sums[row * (self.columns + 1) + column.min(self.columns)];
            at(column) * (PART - across) + at(column + 1) * across
        };
        line(row) * (PART - down) + line((row + 1).min(self.rows)) * down
    }

    /// The mean over a box that the picture [holds](Self::holds), in `unit`ths of the picture's
    /// unit, rounded down.
    pub(super) fn mean(&self, [left, top, right, bottom]: Rectangle, unit: i64) -> i64 {
        let sum = self.up_to(right, bottom) - self.up_to(left, bottom) - self.up_to(right, top)
            + self.up_to(left, top);
        (sum * unit).div_euclid((right - left) * (bottom - top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_four_are_summed_and_the_rest_is_left_out() {
        let plane: Vec<u8> = (0..11 * 10_usize).map(|index| (index * 37 % 256) as u8).collect();
        let quarter = Quarter::of(&plane, 11);
        assert_eq!((quarter.columns, quarter.rows), (2, 2));
        let block = |column: usize, row: usize| -> u16 {
            (0..16).map(|i| u16::from(plane[(row * 4 + i / 4) * 11 + column * 4 + i % 4])).sum()
        };
        assert_eq!(quarter.values, [block(0, 0), block(1, 0), block(0, 1), block(1, 1)]);
        assert_eq!(quarter.mirrored().values, [block(1, 0), block(0, 0), block(1, 1), block(0, 1)]);
        assert_eq!(Quarter::of(&[255; 64], 8).halved().values, [4080]);
    }

    #[test]
    fn means_of_boxes_follow_their_edges_between_pixels() {
        // A picture of 4x2 reduced pixels, each worth ten times its column.
        let sums = Sums::of([0, 10, 20, 30, 0, 10, 20, 30].into_iter(), 4, 2);
        assert_eq!(sums.mean([0, 0, 4 * PART, 2 * PART], 1), 15);
        assert_eq!(sums.mean([PART, 0, 2 * PART, PART], 1), 10);
        // A quarter of the second and three quarters of the third pixel.
        assert_eq!(sums.mean([PART + PART * 3 / 4, 5, PART * 2 + PART * 3 / 4, 9], 100), 1750);
        assert!(sums.holds([0, 0, 4 * PART, 2 * PART]));
        assert!(!sums.holds([-1, 0, PART, PART]) && !sums.holds([0, 0, PART, 2 * PART + 1]));
    }
}

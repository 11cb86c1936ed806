//! Optical flow row by row, so that the neighbourhood of a pixel stays in the nearest caches.

use super::pictures::HostPictures;
use super::wide::wide;
use crate::metrics::flow::{LARGEST_STEP, RADIUS, REGULARISATION, WARPS, levels};
use rayon::prelude::*;

/// Side of the neighbourhood; its sums are taken as sums of five sums of three.
const SIDE: usize = 2 * RADIUS + 1;
/// The weight of no correction against a neighbourhood's sums.
const DIAGONAL: f32 = REGULARISATION * (SIDE * SIDE) as f32;
const THREES: usize = 5;
const _: () = assert!(SIDE == 3 * THREES);
/// Rows of sums that an output row needs: five of them, three apart.
const DEPTH: usize = 3 * (THREES - 1) + 1;

/// Motion of every pixel of one pair: rightward, then downward.
struct Motion {
    right: Vec<f32>,
    down: Vec<f32>,
}

/// See [`crate::metrics::lucas_kanade`]; each value is the mean of a block of `cell` by `cell`
/// pixels.
pub(super) fn flow(pictures: &HostPictures<'_>, cell: usize) -> Vec<f32> {
    let (height, width) = pictures.size();
    let mut pyramid = vec![pictures.clone()];
    while pyramid.len() < levels(height, width) {
        let next = pyramid[pyramid.len() - 1].shrunk();
        pyramid.push(next);
    }
    let steps = pictures.len().saturating_sub(1);
    let fields: Vec<Vec<f32>> = (0..steps)
        .into_par_iter()
        .map(|step| cells(&pair(&pyramid, step), (height, width), cell))
        .collect();
    fields.concat()
}

fn pair(pyramid: &[HostPictures<'_>], step: usize) -> Motion {
    let mut motion: Option<(Motion, usize)> = None;
    for pictures in pyramid.iter().rev() {
        let (height, width) = pictures.size();
        let mut finer = match motion {
            Some((coarse, columns)) => double(&coarse, columns, (height, width)),
            None => Motion { right: vec![0.0; height * width], down: vec![0.0; height * width] },
        };
        refine(pictures, step, &mut finer);
        motion = Some((finer, width));
    }
    motion.map_or(Motion { right: Vec::new(), down: Vec::new() }, |(motion, _)| motion)
}

/// Doubles the size by repetition, and the motion. An odd last row or column repeats its neighbour.
fn double(coarse: &Motion, columns: usize, (height, width): (usize, usize)) -> Motion {
    let rows = coarse.right.len() / columns;
    let grow = |plane: &[f32]| {
        let mut grown = Vec::with_capacity(height * width);
        for row in 0..height {
            let line = &plane[(row / 2).min(rows - 1) * columns..][..columns];
            grown.extend((0..width).map(|column| 2.0 * line[(column / 2).min(columns - 1)]));
        }
        grown
    };
    Motion { right: grow(&coarse.right), down: grow(&coarse.down) }
}

/// Block means of both planes.
fn cells(motion: &Motion, (height, width): (usize, usize), cell: usize) -> Vec<f32> {
    let (rows, columns) = (height / cell, width / cell);
    let mut means = Vec::with_capacity(2 * rows * columns);
    for plane in [&motion.right, &motion.down] {
        for row in 0..rows {
            let mut sums = vec![0.0_f32; columns];
            for line in plane[row * cell * width..].chunks_exact(width).take(cell) {
                for (sum, block) in sums.iter_mut().zip(line.chunks_exact(cell)) {
                    *sum += block.iter().sum::<f32>();
                }
            }
            means.extend(sums.iter().map(|sum| sum / (cell * cell) as f32));
        }
    }
    means
}

/// Neighbourhood sums of `M` maps that arrive row by row; outside the picture they are zero.
struct Neighbourhood<const M: usize> {
    /// A row with a margin of [`RADIUS`] zeros.
    padded: Vec<f32>,
    /// Sums of three across.
    threes: Vec<f32>,
    /// Sums across of the three newest rows.
    across: [[Vec<f32>; 3]; M],
    /// Of those, sums of three down.
    down: [[Vec<f32>; DEPTH]; M],
    width: usize,
    /// Rows added so far.
    rows: usize,
}

impl<const M: usize> Neighbourhood<M> {
    fn new(width: usize) -> Self {
        let line = || vec![0.0; width];
        Self {
            padded: vec![0.0; width + 2 * RADIUS],
            threes: vec![0.0; width + 2 * RADIUS - 2],
            across: std::array::from_fn(|_| std::array::from_fn(|_| line())),
            down: std::array::from_fn(|_| std::array::from_fn(|_| line())),
            width,
            rows: 0,
        }
    }

    fn clear(&mut self) {
        self.rows = 0;
        self.across.iter_mut().flatten().for_each(|line| line.fill(0.0));
        self.down.iter_mut().flatten().for_each(|line| line.fill(0.0));
    }

    /// Where the next row of map 0 is written.
    #[inline(always)]
    fn row(&mut self) -> &mut [f32] {
        &mut self.padded[RADIUS..RADIUS + self.width]
    }

    /// Adds what was written to [`Self::row`] as the next row of `map`.
    #[inline(always)]
    fn push(&mut self, map: usize) {
        let (width, count) = (self.width, self.threes.len());
        let (a, b, c) =
            (&self.padded[..count], &self.padded[1..=count], &self.padded[2..count + 2]);
        for (i, sum) in self.threes.iter_mut().enumerate() {
            *sum = a[i] + b[i] + c[i];
        }
        let three = |at: usize| &self.threes[3 * at..3 * at + width];
        let (a, b, c, d, e) = (three(0), three(1), three(2), three(3), three(4));
        for (i, sum) in self.across[map][self.rows % 3][..width].iter_mut().enumerate() {
            *sum = a[i] + b[i] + c[i] + d[i] + e[i];
        }
        self.fold(map);
    }

    /// Adds a row of zeros.
    #[inline(always)]
    fn push_nothing(&mut self, map: usize) {
        self.across[map][self.rows % 3].fill(0.0);
        self.fold(map);
    }

    #[inline(always)]
    fn fold(&mut self, map: usize) {
        let width = self.width;
        let [a, b, c] = &self.across[map];
        let (a, b, c) = (&a[..width], &b[..width], &c[..width]);
        for (i, sum) in self.down[map][self.rows % DEPTH][..width].iter_mut().enumerate() {
            *sum = a[i] + b[i] + c[i];
        }
    }

    /// Counts the row. Returns true once a neighbourhood is complete: the sum is then that of the
    /// row [`RADIUS`] above.
    #[inline(always)]
    fn advance(&mut self) -> bool {
        self.rows += 1;
        self.rows > RADIUS
    }

    /// The sums of `map` in five rows that still have to be added.
    #[inline(always)]
    fn parts(&self, map: usize) -> [&[f32]; THREES] {
        // The newest row has the number rows - 1.
        let newest = self.rows - 1 + 2 * DEPTH;
        std::array::from_fn(|at| &self.down[map][(newest - 3 * at) % DEPTH][..self.width])
    }
}

#[inline(always)]
fn total(parts: &[&[f32]; THREES], i: usize) -> f32 {
    parts[0][i] + parts[1][i] + parts[2][i] + parts[3][i] + parts[4][i]
}

wide! {
    fn refine(pictures: &HostPictures<'_>, step: usize, motion: &mut Motion) {
        let (height, width) = pictures.size();
        let from = pictures.plane(step);
        let mut to = pictures.plane(step + 1);
        // A sample on the last row or column reads one beyond it, with weight 0.
        to.resize(height * width + width + 1, 0.0);
        let (mut across, mut down) = (vec![0.0; height * width], vec![0.0; height * width]);
        gradients(&from, width, &mut across, &mut down);
        let inverse = inverses(&across, &down, width);
        let mut sums = Neighbourhood::<2>::new(width);
        let mut sampler = Sampler::new(width);
        for _ in 0..WARPS {
            sums.clear();
            for row in 0..height + RADIUS {
                if row < height {
                    let line = row * width..(row + 1) * width;
                    sampler.place(row, height, &motion.right[line.clone()], &motion.down[line.clone()]);
                    let difference = sampler.sample(&to);
                    for (value, from) in difference.iter_mut().zip(&from[line.clone()]) {
                        *value -= from;
                    }
                    let (across_line, down_line) = (&across[line.clone()], &down[line.clone()]);
                    let (right, below) = (&motion.right[line.clone()], &motion.down[line.clone()]);
                    let difference = &mut difference[..width];
                    for i in 0..width {
                        difference[i] = across_line[i] * right[i] + down_line[i] * below[i] - difference[i];
                    }
                    for (map, gradient) in [&across, &down].into_iter().enumerate() {
                        for ((product, gradient), difference) in
                            sums.row().iter_mut().zip(&gradient[line.clone()]).zip(difference.iter())
                        {
                            *product = gradient * difference;
                        }
                        sums.push(map);
                    }
                } else {
                    sums.push_nothing(0);
                    sums.push_nothing(1);
                }
                if sums.advance() {
                    let line = (row - RADIUS) * width..(row - RADIUS + 1) * width;
                    let (x, y) = (sums.parts(0), sums.parts(1));
                    let (xx, xy, yy) = (&inverse.xx[line.clone()], &inverse.xy[line.clone()], &inverse.yy[line.clone()]);
                    let (right, below) = (&mut motion.right[line.clone()], &mut motion.down[line]);
                    for i in 0..width {
                        let (x, y) = (total(&x, i) + DIAGONAL * right[i], total(&y, i) + DIAGONAL * below[i]);
                        let (found_right, found_below) = (xx[i] * x + xy[i] * y, xy[i] * x + yy[i] * y);
                        right[i] += (found_right - right[i]).clamp(-LARGEST_STEP, LARGEST_STEP);
                        below[i] += (found_below - below[i]).clamp(-LARGEST_STEP, LARGEST_STEP);
                    }
                }
            }
        }
    }
}

/// Central differences, the border repeated.
#[inline(always)]
fn gradients(picture: &[f32], width: usize, across: &mut [f32], down: &mut [f32]) {
    let height = picture.len() / width;
    for row in 0..height {
        let line = &picture[row * width..][..width];
        let above = &picture[row.saturating_sub(1) * width..][..width];
        let below = &picture[(row + 1).min(height - 1) * width..][..width];
        let (across, down) =
            (&mut across[row * width..][..width], &mut down[row * width..][..width]);
        for i in 0..width {
            down[i] = (below[i] - above[i]) * 0.5;
        }
        let (left, right) = (&line[..width - 2], &line[2..]);
        for (i, value) in across[1..width - 1].iter_mut().enumerate() {
            *value = (right[i] - left[i]) * 0.5;
        }
        across[0] = (line[1] - line[0]) * 0.5;
        across[width - 1] = (line[width - 1] - line[width - 2]) * 0.5;
    }
}

/// At each pixel the inverse of the neighbourhood's 2x2 matrix of gradient products.
struct Inverse {
    xx: Vec<f32>,
    xy: Vec<f32>,
    yy: Vec<f32>,
}

#[inline(always)]
fn inverses(across: &[f32], down: &[f32], width: usize) -> Inverse {
    let height = across.len() / width;
    let plane = || vec![0.0; across.len()];
    let mut inverse = Inverse { xx: plane(), xy: plane(), yy: plane() };
    let mut sums = Neighbourhood::<3>::new(width);
    for row in 0..height + RADIUS {
        if row < height {
            let line = row * width..(row + 1) * width;
            let (across, down) = (&across[line.clone()], &down[line]);
            for (map, (left, right)) in
                [(across, across), (across, down), (down, down)].into_iter().enumerate()
            {
                for ((product, left), right) in sums.row().iter_mut().zip(left).zip(right) {
                    *product = left * right;
                }
                sums.push(map);
            }
        } else {
            (0..3).for_each(|map| sums.push_nothing(map));
        }
        if sums.advance() {
            let line = (row - RADIUS) * width..(row - RADIUS + 1) * width;
            let (xx, xy, yy) = (sums.parts(0), sums.parts(1), sums.parts(2));
            let (into_xx, into_xy, into_yy) = (
                &mut inverse.xx[line.clone()],
                &mut inverse.xy[line.clone()],
                &mut inverse.yy[line],
            );
            for i in 0..width {
                let (xx, xy, yy) =
                    (total(&xx, i) + DIAGONAL, total(&xy, i), total(&yy, i) + DIAGONAL);
                let scale = 1.0 / (xx * yy - xy * xy);
                into_xx[i] = yy * scale;
                into_xy[i] = -xy * scale;
                into_yy[i] = xx * scale;
            }
        }
    }
    inverse
}

/// The integer part of a number from 0 to 2^22, also as a float. For a whole number it may be one
/// less; the fraction is then 1, which interpolates to the same value. A cast would process one
/// lane at a time.
#[inline(always)]
fn whole(value: f32) -> (u32, f32) {
    /// Above 2^23 a float has no fraction, so the addend is in its last bits.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = (value - 0.5) + SHIFT;
    (shifted.to_bits() - SHIFT.to_bits(), shifted - SHIFT)
}

/// Samples a row of pixels where the flow leads: bilinear, with the border repeated.
struct Sampler {
    places: Vec<u32>,
    across: Vec<f32>,
    down: Vec<f32>,
    /// For each place the pixel, its right neighbour, and both below.
    upper: Vec<[f32; 2]>,
    lower: Vec<[f32; 2]>,
    values: Vec<f32>,
}

impl Sampler {
    fn new(width: usize) -> Self {
        let line = || vec![0.0; width];
        Self {
            places: vec![0; width],
            across: line(),
            down: line(),
            upper: vec![[0.0; 2]; width],
            lower: vec![[0.0; 2]; width],
            values: line(),
        }
    }

    /// Computes places and weights of the pixels of `row` under their motion.
    #[inline(always)]
    fn place(&mut self, row: usize, height: usize, right: &[f32], down: &[f32]) {
        let width = self.places.len();
        let (last_column, last_row) = ((width - 1) as f32, (height - 1) as f32);
        let (places, across_of, down_of) =
            (&mut self.places[..width], &mut self.across[..width], &mut self.down[..width]);
        let (right, down) = (&right[..width], &down[..width]);
        for i in 0..width {
            let x = (i as i32 as f32 + right[i]).max(0.0).min(last_column);
            let y = (row as f32 + down[i]).max(0.0).min(last_row);
            let ((column, before_x), (line, above_y)) = (whole(x), whole(y));
            across_of[i] = x - before_x;
            down_of[i] = y - above_y;
            places[i] = line * width as u32 + column;
        }
    }

    /// The values at the places. `picture` has one row and one value more than it shows.
    #[inline(always)]
    fn sample(&mut self, picture: &[f32]) -> &mut [f32] {
        let width = self.places.len();
        let (upper, lower) = (&mut self.upper[..width], &mut self.lower[..width]);
        for ((place, upper), lower) in
            self.places.iter().zip(upper.iter_mut()).zip(lower.iter_mut())
        {
            let corner = &picture[*place as usize..][..width + 2];
            *upper = [corner[0], corner[1]];
            *lower = [corner[width], corner[width + 1]];
        }
        let (across, down, values) =
            (&self.across[..width], &self.down[..width], &mut self.values[..width]);
        for i in 0..width {
            let ([near, right], [below, far]) = (upper[i], lower[i]);
            let upper = near + (right - near) * across[i];
            let lower = below + (far - below) * across[i];
            values[i] = upper + (lower - upper) * down[i];
        }
        values
    }
}

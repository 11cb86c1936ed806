//! Planes and cells of values, sampled between their places.

/// Values row by row.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    pub(crate) values: Vec<f32>,
    pub(crate) width: usize,
}

impl Plane {
    pub(crate) fn height(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The plane moved to the left and up; outside it is mirrored.
    pub(crate) fn moved(&self, (right, down): (usize, usize)) -> Self {
        let (width, height) = (self.width, self.height());
        let inside = |at: usize, length: usize| at.min((2 * length - 1).saturating_sub(at));
        let value = |index: usize| {
            let (x, y) =
                (inside(index % width + right, width), inside(index / width + down, height));
            self.values[y * width + x]
        };
        Self { values: (0..width * height).map(value).collect(), width }
    }

    /// The value between four samples; the border is repeated.
    #[inline]
    pub(crate) fn at(&self, x: f32, y: f32) -> f32 {
        sampled(&self.values, (self.width, self.height()), (x, y))
    }
}

/// The value between four of `width` by `height` samples; the border is repeated.
#[inline]
pub(crate) fn sampled(values: &[f32], (width, height): (usize, usize), (x, y): (f32, f32)) -> f32 {
    let x = x.clamp(0.0, (width - 1) as f32);
    let y = y.clamp(0.0, (height - 1) as f32);
    let (left, top) = (x as usize, y as usize);
    let (right, below) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let line = |row: usize| {
        let (a, b) = (values[row * width + left], values[row * width + right]);
        a + (b - a) * across
    };
    let (upper, lower) = (line(top), line(below));
    upper + (lower - upper) * down
}

/// The flow of a pixel, between the cells of one map `[2, r, c]` of `cell` pixels each.
#[inline]
pub(crate) fn flow_at(
    map: &[f32],
    (rows, columns): (usize, usize),
    cell: usize,
    (x, y): (usize, usize),
) -> (f32, f32) {
    let place = |at: usize| (at as f32 + 0.5) / cell as f32 - 0.5;
    let (right, down) = map.split_at(rows * columns);
    let at = (place(x), place(y));
    (sampled(right, (columns, rows), at), sampled(down, (columns, rows), at))
}

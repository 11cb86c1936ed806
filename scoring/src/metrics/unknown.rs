//! Whether an answer has what only the source shows: places that cannot be followed from its first
//! frame.
//!
//! Every answer has the first frame, and may carry its texture through the clip. Nobody can know
//! what the first frame does not show, so an independent continuation has other detail in at least
//! some of these places. An answer made from a leaked source has the source's detail in nearly all
//! of them, even if it is bent, slowed or covered with grain: the answer is registered with the
//! source by flow before they are compared.
//!
//! Patches are compared by their correlation about their means (normalised cross-correlation, see
//! Lewis, "Fast Normalized Cross-Correlation", 1995).

use super::sampled::{Plane, flow_at};

/// Pixels of a patch from its middle to its side.
pub(crate) const PATCH: usize = 3;
/// Pixels by which a patch is searched for around its expected place, in each direction.
pub(crate) const SEARCH: usize = 3;
/// Correlation from which a patch is found again.
pub(crate) const FOUND: f32 = 0.8;
/// A patch with a smaller standard deviation is flat, of values from 0 to 1.
pub(crate) const LEAST_DETAIL: f32 = 2.0 / 255.0;
/// A patch is compared from this many times the variance of a flat one.
pub(crate) const COMPARED: f32 = 4.0;

/// Variance of a flat patch.
const fn flat() -> f32 {
    LEAST_DETAIL * LEAST_DETAIL
}

/// A map of flow `[2, r, c]` in pixels, and the pixels of its cells.
#[derive(Clone, Copy)]
pub(crate) struct Flow<'a> {
    pub(crate) map: &'a [f32],
    pub(crate) cell: usize,
}

impl Flow<'_> {
    /// Where each pixel of a plane of this size comes to.
    fn places(&self, (width, height): (usize, usize)) -> Vec<(f32, f32)> {
        let size = (height / self.cell, width / self.cell);
        (0..width * height)
            .map(|pixel| {
                let (x, y) = (pixel % width, pixel / width);
                let (right, down) = flow_at(self.map, size, self.cell, (x, y));
                (x as f32 + right, y as f32 + down)
            })
            .collect()
    }
}

/// For each pixel of a picture the pixel of an earlier picture with the most similar patch, if one
/// is similar enough. `None` where the patch is new; a flat one is at its own place.
pub(crate) fn traced(picture: &Plane, earlier: &Plane, back: Flow<'_>) -> Vec<Option<usize>> {
    let (width, height) = (picture.width, picture.height());
    let ours = Patches::of(picture.clone());
    let places = back.places((width, height));
    let expected: Vec<usize> = places.iter().map(|at| nearest(*at, (width, height))).collect();
    let values = places.iter().map(|(x, y)| earlier.at(*x, *y)).collect();
    let moved = Patches::of(Plane { values, width });
    let earlier = Patches::of(earlier.clone());
    let mut best = vec![(FOUND, None); width * height];
    for (plane, follows) in [(&moved, true), (&earlier, false)] {
        for shift in shifts() {
            let shift = Shift::new(shift, (width, height));
            for (pixel, likeness) in ours.likeness(plane, &shift).into_iter().enumerate() {
                if likeness > best[pixel].0 {
                    let at = shift.of(pixel % width, pixel / width);
                    best[pixel] = (likeness, Some(if follows { expected[at] } else { at }));
                }
            }
        }
    }
    let found = best.into_iter().zip(&ours.variances).enumerate();
    found
        .map(|(pixel, ((_, found), variance))| if *variance < flat() { Some(pixel) } else { found })
        .collect()
}

/// Which pixels cannot be followed from the first picture, by picture: `traces` leads from each
/// picture after the first to the one before it. The rims of what is known, one pixel wide, count
/// as known.
pub(crate) fn unknown(traces: &[Vec<Option<usize>>], width: usize) -> Vec<Vec<bool>> {
    let mut known = vec![true; traces.first().map_or(0, Vec::len)];
    traces
        .iter()
        .map(|trace| {
            known = trace.iter().map(|from| from.is_some_and(|from| known[from])).collect();
            far_from(&known, width)
        })
        .collect()
}

/// The pixels of which no neighbour is known.
fn far_from(known: &[bool], width: usize) -> Vec<bool> {
    let height = known.len() / width;
    let around = |at: usize, length: usize| at.saturating_sub(1)..(at + 2).min(length);
    (0..known.len())
        .map(|pixel| {
            let mut rows = around(pixel / width, height);
            rows.all(|y| around(pixel % width, width).all(|x| !known[y * width + x]))
        })
        .collect()
}

/// Correlation of the source's patches with the answer's, -1 to 1, at the pixels of `mask` that show
/// detail. `flow` leads from the source to the answer.
pub(crate) fn likeness_at(
    mask: &[bool],
    source: &Plane,
    answer: &Plane,
    flow: Flow<'_>,
) -> Vec<f32> {
    let size = (source.width, source.height());
    let values = flow.places(size).iter().map(|(x, y)| answer.at(*x, *y)).collect();
    let (ours, theirs) =
        (Patches::of(source.clone()), Patches::of(Plane { values, width: source.width }));
    ours.compared(mask, &ours.likeness(&theirs, &Shift::new((SEARCH, SEARCH), size)))
}

/// The same with another picture that is shifted as a whole, once for each shift of up to
/// [`SEARCH`] pixels across and down.
pub(crate) fn likeness_shifted(
    mask: &[bool],
    source: &Plane,
    other: &Plane,
) -> impl Iterator<Item = Vec<f32>> {
    let size = (source.width, source.height());
    let (ours, theirs) = (Patches::of(source.clone()), Patches::of(other.clone()));
    shifts()
        .map(move |shift| ours.compared(mask, &ours.likeness(&theirs, &Shift::new(shift, size))))
}

/// Every shift across and down that is searched, each counted from -[`SEARCH`] on.
fn shifts() -> impl Iterator<Item = (usize, usize)> {
    let side = 2 * SEARCH + 1;
    (0..side * side).map(move |shift| (shift % side, shift / side))
}

/// A plane with the mean and the variance of the patch around each pixel.
struct Patches {
    plane: Plane,
    means: Vec<f32>,
    variances: Vec<f32>,
}

impl Patches {
    fn of(plane: Plane) -> Self {
        let means = patch_means(&plane.values, plane.width);
        let squares: Vec<f32> = plane.values.iter().map(|value| value * value).collect();
        let variances = patch_means(&squares, plane.width)
            .into_iter()
            .zip(&means)
            .map(|(square, mean)| (square - mean * mean).max(0.0))
            .collect();
        Self { plane, means, variances }
    }

    /// Correlation of each patch with the other plane's at the shifted place.
    fn likeness(&self, other: &Self, shift: &Shift) -> Vec<f32> {
        let width = self.plane.width;
        let places = (0..self.plane.height())
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| shift.of(x, y));
        let places: Vec<usize> = places.collect();
        let product: Vec<f32> = (self.plane.values.iter().zip(&places))
            .map(|(value, at)| value * other.plane.values[*at])
            .collect();
        let both = patch_means(&product, width);
        (0..both.len())
            .map(|pixel| {
                let at = places[pixel];
                let covariance = both[pixel] - self.means[pixel] * other.means[at];
                let power = (self.variances[pixel] + flat()) * (other.variances[at] + flat());
                covariance / power.sqrt()
            })
            .collect()
    }

    /// The values at the pixels of `mask` whose patch shows detail.
    fn compared(&self, mask: &[bool], values: &[f32]) -> Vec<f32> {
        let detailed = |at: &usize| mask[*at] && self.variances[*at] >= COMPARED * flat();
        (0..mask.len()).filter(detailed).map(|at| values[at]).collect()
    }
}

/// Where the pixels of a picture come to by a shift; at the border to the nearest pixel.
struct Shift {
    columns: Vec<usize>,
    /// The first pixel of each row.
    rows: Vec<usize>,
}

impl Shift {
    /// A shift across and down, of which one [`SEARCH`] is none.
    fn new(shift: (usize, usize), (width, height): (usize, usize)) -> Self {
        let side = |shift: usize, length: usize| {
            (0..length).map(move |at| (at + shift).saturating_sub(SEARCH).min(length - 1))
        };
        Self {
            columns: side(shift.0, width).collect(),
            rows: side(shift.1, height).map(|row| row * width).collect(),
        }
    }

    fn of(&self, x: usize, y: usize) -> usize {
        self.rows[y] + self.columns[x]
    }
}

/// The pixel that is nearest to a place.
fn nearest((x, y): (f32, f32), (width, height): (usize, usize)) -> usize {
    let side = |at: f32, length: usize| (at.round().max(0.0) as usize).min(length - 1);
    side(y, height) * width + side(x, width)
}

/// Means over the patch around each pixel; the border is repeated.
fn patch_means(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width.max(1);
    let side = 2 * PATCH + 1;
    let mut across = vec![0.0; values.len()];
    let mut padded = vec![0.0; width + 2 * PATCH];
    for (line, sums) in values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        padded[..PATCH].fill(line[0]);
        padded[PATCH..PATCH + width].copy_from_slice(line);
        padded[PATCH + width..].fill(line[width - 1]);
        for offset in 0..side {
            for (sum, value) in sums.iter_mut().zip(&padded[offset..]) {
                *sum += value;
            }
        }
    }
    let mut means = vec![0.0; values.len()];
    for (row, sums) in means.chunks_exact_mut(width).enumerate() {
        for offset in 0..side {
            let from = (row + offset).saturating_sub(PATCH).min(height - 1);
            for (sum, value) in sums.iter_mut().zip(&across[from * width..]) {
                *sum += value;
            }
        }
        for sum in sums {
            *sum /= (side * side) as f32;
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 48;
    const HEIGHT: usize = 32;

    /// Texture that repeats nowhere: values by place. Smooth patches would resemble others by chance.
    fn texture(seed: usize, (x, y): (usize, usize)) -> f32 {
        let mixed = (x * 374_761 + y * 668_265 + seed * 2_147_483) % 1_000_003;
        (mixed * mixed % 1_009) as f32 / 1_009.0
    }

    fn plane(value: impl Fn(usize, usize) -> f32) -> Plane {
        let values = (0..WIDTH * HEIGHT).map(|at| value(at % WIDTH, at / WIDTH)).collect();
        Plane { values, width: WIDTH }
    }

    /// The texture moved to the left; what comes into view on the right is of `other`.
    fn moved(by: usize, other: usize) -> Plane {
        plane(|x, y| texture(if x + by < WIDTH { 1 } else { other }, (x + by, y)))
    }

    fn still(map: &[f32]) -> Flow<'_> {
        Flow { map, cell: 4 }
    }

    #[test]
    fn what_comes_into_view_is_unknown_and_stays_so() {
        let nowhere = vec![0.0; 2 * (WIDTH / 4) * (HEIGHT / 4)];
        let looks = [0, 3, 6, 9, 12].map(|by| moved(by, 1));
        let traces: Vec<_> =
            looks.windows(2).map(|pair| traced(&pair[1], &pair[0], still(&nowhere))).collect();
        let masks = unknown(&traces, WIDTH);
        let part = |mask: &[bool], columns: std::ops::Range<usize>| {
            let cells = (0..mask.len()).filter(|at| columns.contains(&(at % WIDTH)));
            let (all, open) =
                cells.fold((0, 0), |(all, open), at| (all + 1, open + usize::from(mask[at])));
            open as f32 / all as f32
        };
        let last = masks.last().unwrap();
        assert!(part(last, 0..30) < 0.02, "{}", part(last, 0..30));
        // The patches at its rim show some of what was known, and its own rim counts as known.
        assert!(part(last, 42..WIDTH) > 0.7, "{}", part(last, 42..WIDTH));
        // After the first step three columns of 48, and their rim.
        assert!(part(&masks[0], 0..WIDTH) < 0.1);
        assert!(part(&masks[0], 0..WIDTH - 6) < 0.02);
    }

    #[test]
    fn an_answer_is_like_the_source_only_if_it_shows_the_same_there() {
        let nowhere = vec![0.0; 2 * (WIDTH / 4) * (HEIGHT / 4)];
        let mask: Vec<bool> = (0..WIDTH * HEIGHT).map(|at| at % WIDTH >= 40).collect();
        let mean = |answer: &Plane| {
            let found = likeness_at(&mask, &moved(12, 1), answer, still(&nowhere));
            assert_eq!(found.len(), 8 * HEIGHT);
            found.iter().sum::<f32>() / found.len() as f32
        };
        assert!(mean(&moved(12, 1)) > 0.95);
        assert!(mean(&moved(12, 2)) < 0.3);
        // A flow that leads to the same texture elsewhere registers it.
        let left: Vec<f32> =
            (0..nowhere.len()).map(|at| if at < nowhere.len() / 2 { -2.0 } else { 0.0 }).collect();
        let aside = likeness_at(&mask, &moved(12, 1), &moved(14, 1), still(&left));
        assert!(aside.iter().sum::<f32>() / aside.len() as f32 > 0.9);
        let flat = plane(|_, _| 0.5);
        assert!(likeness_at(&mask, &flat, &moved(12, 1), still(&nowhere)).is_empty());
    }
}

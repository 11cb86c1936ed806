//! Finds which part of the task's first frame an answer shows and whether it is mirrored, so that
//! crops and flips can be undone.
//!
//! Every answer begins with the given frame, so a crop or a flip of the whole video shows in its
//! first frame. It is found there once, from coarse to fine, by the correlation of luma, which does
//! not depend on brightness and contrast.

use super::quarter::{Quarter, SUBPIXEL};

/// The shown widths and heights that are tried first, in hundredths of the whole.
pub(crate) const SCALES: [i64; 4] = [100, 95, 90, 86];
/// Least shown width and height, in hundredths of the whole.
pub(crate) const LEAST_SHOWN: i64 = 80;
/// Correlations are in units of one over this.
pub(crate) const ONE: i64 = 1 << 15;
/// Below this correlation the two first frames show different things, and nothing is undone.
pub(crate) const LEAST_LIKENESS: i64 = ONE * 3 / 4;
/// From this correlation on, a crop is not searched for in later frames.
pub(crate) const SURE: i64 = ONE * 98 / 100;
/// The whole frame is assumed unless a region fits better by this much.
pub(crate) const MARGIN: i64 = ONE / 500;
/// Most rounds of improvement for a size of step.
pub(crate) const MAX_ROUNDS: usize = 6;

/// The part of the task's first frame that a video shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Left, top, right and bottom edges in the task's frame, in sixteenths of a pixel.
    pub(super) edges: [i64; 4],
    /// Whether left and right are exchanged.
    pub(super) mirrored: bool,
}

/// A frame at three sizes, the finest first: a quarter, an eighth and a sixteenth.
struct Levels([Quarter; 3]);

impl Levels {
    fn of(quarter: Quarter) -> Self {
        let eighth = quarter.halved();
        let sixteenth = eighth.halved();
        Self([quarter, eighth, sixteenth])
    }
}

impl Framing {
    /// The whole of a frame of this size in pixels.
    pub(super) fn whole(width: usize, height: usize) -> Self {
        Self { edges: [0, 0, width as i64 * SUBPIXEL, height as i64 * SUBPIXEL], mirrored: false }
    }

    /// Mean of the shown width and height, in hundredths of the whole.
    pub(super) fn shown_hundredths(self, (width, height): (usize, usize)) -> u8 {
        let [left, top, right, bottom] = self.edges;
        let part = |shown: i64, whole: usize| shown * 100 / (whole as i64 * SUBPIXEL);
        ((part(right - left, width) + part(bottom - top, height)) / 2) as u8
    }

    /// Finds what `answer` shows of `task`, both being first frames at a quarter of the size
    /// `width` x `height`. `next` are the source's frames after its first: a video that begins a
    /// frame late looks slightly cropped but is not.
    pub(super) fn find(
        answer: &Quarter,
        task: &Quarter,
        next: &[Quarter],
        (width, height): (usize, usize),
    ) -> Self {
        let whole = Self::whole(width, height);
        let task = Levels::of(task.clone());
        let straight = Levels::of(answer.clone());
        let flipped = Levels::of(answer.mirrored());
        let side = |mirrored: bool| if mirrored { &flipped } else { &straight };
        let likeness = |framing: &Self, level: usize| {
            framing.likeness(&side(framing.mirrored).0[level], &task.0[level], whole.edges, level)
        };

        let mut best = (likeness(&whole, 2), whole);
        for framing in whole.coarse() {
            let found = likeness(&framing, 2);
            if found > best.0 {
                best = (found, framing);
            }
        }
        let (mut found, mut framing) = best.1.refined(&likeness, whole.edges);
        // What looks like a slight crop may be motion: a video that begins a frame late shows the
        // whole of that frame.
        if next.iter().any(|next| whole.likeness(answer, next, whole.edges, 0) > found + MARGIN) {
            return whole;
        }
        if found < SURE {
            for next in next {
                let next = Levels::of(next.clone());
                let likeness = |framing: &Self, level: usize| {
                    framing.likeness(
                        &side(framing.mirrored).0[level],
                        &next.0[level],
                        whole.edges,
                        level,
                    )
                };
                let late = best.1.refined(&likeness, whole.edges);
                if late.0 > found + MARGIN {
                    (found, framing) = late;
                }
            }
        }
        if found < LEAST_LIKENESS || found < likeness(&whole, 0) + MARGIN { whole } else { framing }
    }

    /// The best region near this one, and how well it fits, from coarse to fine.
    fn refined(mut self, likeness: &impl Fn(&Self, usize) -> i64, whole: [i64; 4]) -> (i64, Self) {
        for (level, steps) in [(2, &[8, 4][..]), (1, &[4, 2, 1]), (0, &[1])] {
            for step in steps {
                self = self.improved(step * SUBPIXEL, whole, |framing| likeness(framing, level));
            }
        }
        for step in [SUBPIXEL / 2, SUBPIXEL / 4] {
            self = self.improved(step, whole, |framing| likeness(framing, 0));
        }
        (likeness(&self, 0), self)
    }

    /// Regions all over the frame, mirrored and not.
    fn coarse(self) -> impl Iterator<Item = Self> {
        let [_, _, width, height] = self.edges;
        let sizes = SCALES.map(|scale| (width * scale / 100, height * scale / 100));
        let places = sizes.into_iter().flat_map(move |(shown_width, shown_height)| {
            offsets(width - shown_width).flat_map(move |left| {
                offsets(height - shown_height)
                    .map(move |top| [left, top, left + shown_width, top + shown_height])
            })
        });
        places.flat_map(|edges| [false, true].map(|mirrored| Self { edges, mirrored }))
    }

    /// Moves the region and its edges by `step` for as long as that helps.
    fn improved(
        self,
        step: i64,
        [_, _, width, height]: [i64; 4],
        likeness: impl Fn(&Self) -> i64,
    ) -> Self {
        const MOVES: [[i64; 4]; 6] =
            [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]];
        let fits = |[left, top, right, bottom]: [i64; 4]| {
            left >= 0
                && top >= 0
                && right <= width
                && bottom <= height
                && (right - left) * 100 >= width * LEAST_SHOWN
                && (bottom - top) * 100 >= height * LEAST_SHOWN
        };
        let mut best = (likeness(&self), self);
        for _ in 0..MAX_ROUNDS {
            let before = best.0;
            for direction in MOVES {
                for sign in [step, -step] {
                    let mut edges = best.1.edges;
                    for (edge, part) in edges.iter_mut().zip(direction) {
                        *edge += part * sign;
                    }
                    let moved = Self { edges, ..best.1 };
                    if !fits(edges) {
                        continue;
                    }
                    let found = likeness(&moved);
                    if found > best.0 {
                        best = (found, moved);
                        break;
                    }
                }
            }
            if best.0 == before {
                break;
            }
        }
        best.1
    }

    /// Correlation of the answer with the region of the task's frame, in parts of [`ONE`]; 0 where
    /// either is flat.
    fn likeness(&self, answer: &Quarter, task: &Quarter, whole: [i64; 4], level: usize) -> i64 {
        // At the finest size every other pixel suffices, for a quarter of the work.
        let stride = if level == 0 { 2 } else { 1 };
        let columns = places(
            [self.edges[0], self.edges[2]],
            whole[2],
            (answer.columns, task.columns),
            stride,
        );
        let rows =
            places([self.edges[1], self.edges[3]], whole[3], (answer.rows, task.rows), stride);
        let (mut count, mut sum, mut task_sum) = (0_i64, 0_i64, 0_i64);
        let (mut square, mut task_square, mut product) = (0_i64, 0_i64, 0_i64);
        // Values are at most 4 080, and pictures at most some million pixels, so sums of squares
        // fit.
        for &(row, above, down) in &rows {
            let ours = &answer.values[row * answer.columns..][..answer.columns];
            let upper = &task.values[above * task.columns..][..task.columns];
            let lower =
                &task.values[(above + 1).min(task.rows - 1) * task.columns..][..task.columns];
            for &(column, left, across) in &columns {
                let right = (left + 1).min(task.columns - 1);
                let mix = |line: &[u16]| {
                    i64::from(line[left]) * (64 - across) + i64::from(line[right]) * across
                };
                let theirs = (mix(upper) * (64 - down) + mix(lower) * down) >> 12;
                let value = i64::from(ours[column]);
                sum += value;
                task_sum += theirs;
                square += value * value;
                task_square += theirs * theirs;
                product += value * theirs;
            }
            count += columns.len() as i64;
        }
        let covariance =
            i128::from(count) * i128::from(product) - i128::from(sum) * i128::from(task_sum);
        let variance = |square: i64, sum: i64| {
            (i128::from(count) * i128::from(square) - i128::from(sum) * i128::from(sum)).max(0)
                as u128
        };
        // Roots first, because the product of two variances may overflow.
        let spread = variance(square, sum).isqrt() * variance(task_square, task_sum).isqrt();
        if spread == 0 { 0 } else { (covariance * i128::from(ONE) / spread as i128) as i64 }
    }
}

/// The offsets that are tried within this room, a pixel of the coarsest size apart.
fn offsets(room: i64) -> impl Iterator<Item = i64> {
    const STEP: i64 = 16 * SUBPIXEL;
    (0..=(room + STEP / 2) / STEP).map(move |n| (n * STEP).min(room))
}

/// For every `stride`th pixel of the answer: its index, the pixel of the task's frame at or before
/// it, and the way to the next in 64ths. `edges` and `whole` are in sixteenths of a full pixel.
fn places(
    [from, to]: [i64; 2],
    whole: i64,
    (ours, theirs): (usize, usize),
    stride: usize,
) -> Vec<(usize, usize, i64)> {
    let (ours_count, theirs_count) = (ours as i64, theirs as i64);
    (0..ours)
        .step_by(stride)
        .map(|index| {
            // The middle of the pixel as a part of the whole, in 64ths of a pixel of the task's
            // reduced frame.
            let twice = 2 * index as i64 + 1;
            let position = from * 2 * ours_count + (to - from) * twice;
            let middle = (position * theirs_count * 64 / (2 * ours_count * whole) - 32).max(0);
            let near = (middle / 64).min(theirs_count - 1);
            (index, near as usize, if near == theirs_count - 1 { 0 } else { middle % 64 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (416, 240);

    /// A picture with forms of all sizes, through a window of these edges in pixels.
    fn seen(edges: [f64; 4], mirrored: bool) -> Quarter {
        let (width, height) = (SIZE.0 as f64, SIZE.1 as f64);
        let pixel = |index: usize| {
            let (column, row) = ((index % SIZE.0) as f64 + 0.5, (index / SIZE.0) as f64 + 0.5);
            let column = if mirrored { width - column } else { column };
            let x = edges[0] + column * (edges[2] - edges[0]) / width;
            let y = edges[1] + row * (edges[3] - edges[1]) / height;
            let waves = (x / 31.0 + (y / 47.0).sin()).sin() * 40.0
                + (x / 9.0 - y / 13.0).sin() * 25.0
                + (x / 90.0 + y / 60.0).cos() * 30.0;
            (128.0 + waves) as u8
        };
        let plane: Vec<u8> = (0..SIZE.0 * SIZE.1).map(pixel).collect();
        Quarter::of(&plane, SIZE.0)
    }

    fn assert_finds(edges: [f64; 4], mirrored: bool) {
        let whole = seen([0.0, 0.0, 416.0, 240.0], false);
        let found = Framing::find(&seen(edges, mirrored), &whole, &[], SIZE);
        assert_eq!(found.mirrored, mirrored);
        for (found, edge) in found.edges.into_iter().zip(edges) {
            assert!(
                (found as f64 / SUBPIXEL as f64 - edge).abs() <= 1.0,
                "{found:?} for {edges:?}"
            );
        }
    }

    #[test]
    fn crops_and_flips_are_found_to_a_pixel() {
        let whole = [0.0, 0.0, 416.0, 240.0];
        assert_finds(whole, false);
        assert_finds(whole, true);
        assert_finds([20.8, 12.0, 395.2, 228.0], false);
        assert_finds([0.0, 0.0, 374.4, 216.0], true);
        assert_finds([30.0, 3.0, 410.0, 230.0], false);
        assert_finds([0.0, 0.0, 374.4, 240.0], false);
    }

    #[test]
    fn a_video_that_begins_a_frame_late_is_not_cropped() {
        let [first, second] = [0.0, 6.0].map(|left| seen([left, 0.0, 416.0 + left, 240.0], false));
        let whole = Framing::whole(SIZE.0, SIZE.1);
        assert_ne!(Framing::find(&second, &first, &[], SIZE), whole);
        assert_eq!(Framing::find(&second, &first, std::slice::from_ref(&second), SIZE), whole);
    }

    #[test]
    fn another_picture_or_a_flat_one_is_taken_as_it_is() {
        let whole = seen([0.0, 0.0, 416.0, 240.0], false);
        let flat = Quarter { values: vec![500; whole.values.len()], ..whole };
        let noise = Quarter {
            values: (0..whole.values.len()).map(|i| (i * i * 7919 % 4001) as u16).collect(),
            ..whole
        };
        for other in [flat, noise] {
            assert_eq!(Framing::find(&other, &whole, &[], SIZE), Framing::whole(SIZE.0, SIZE.1));
            assert_eq!(Framing::find(&whole, &other, &[], SIZE), Framing::whole(SIZE.0, SIZE.1));
        }
    }
}

//! Letters and signs over the picture: sharp structure that stands still while it was not there at
//! the beginning.
//!
//! A thing that comes into view moves in. What is laid over the picture appears and stands. An edge
//! is the difference of two neighbours. It stands where the difference stays: within letters on a
//! ground of their own, and around bare letters where the picture behind them is calm. Around bare
//! letters over a picture that moves, one neighbour stays, the other changes, and the letter is
//! always on the same side of it. Translucent letters are not found.
//!
//! What a moving thing uncovers of a standing background appears and stands as well. Writing has
//! one colour, and a background has many: only edges that share the brightness of one of their
//! sides count.

use rayon::prelude::*;

/// A pixel's difference to its right neighbour that counts as an edge, of 255.
pub(crate) const EDGE: i16 = 24;
/// Change from one look to the next below which an edge, or a pixel, stands still, of 255.
pub(crate) const STILL_EDGE: i16 = 10;
/// Frames after a look at which an edge has to stand where it was. The distances differ, so that no
/// pattern that moves by its own period stands by chance.
pub(crate) const LATER: [usize; 5] = [2, 5, 9, 12, 16];
/// Frames from one look to the next.
pub(crate) const EVERY: usize = 6;
/// Levels of brightness, of 256, that pass for one colour: a codec spreads it.
pub(crate) const ONE_COLOUR: usize = 16;

/// Share of the pixels that hold an edge of one colour which stands still for a second and was not
/// in the first frame, at the look where there are most, 0 to 1. `frames` are luma planes of rows
/// of `width` bytes.
pub(crate) fn overlaid(frames: &[&[u8]], width: usize) -> f32 {
    let Some(first) = frames.first() else { return 0.0 };
    let last = frames.len().saturating_sub(LATER[LATER.len() - 1]);
    let looks: Vec<usize> = (EVERY..last).step_by(EVERY).collect();
    let shares = looks.into_par_iter().map(|look| {
        let later = LATER.map(|later| frames[look + later]);
        let mut sides = Sides { bright: [0; 256], dark: [0; 256] };
        for row in (0..first.len() / width).step_by(2) {
            let line = row * width..(row + 1) * width;
            let now = &frames[look][line.clone()];
            let later = later.map(|frame| &frame[line.clone()]);
            for at in standing(&first[line.clone()], now, later) {
                sides.bright[usize::from(now[at].max(now[at + 1]))] += 1;
                sides.dark[usize::from(now[at].min(now[at + 1]))] += 1;
            }
        }
        sides.of_one_colour() as f32 * 2.0 / first.len() as f32
    });
    shares.collect::<Vec<f32>>().into_iter().fold(0.0, f32::max)
}

/// How many edges have this brightness on their bright and on their dark side.
struct Sides {
    bright: [u32; 256],
    dark: [u32; 256],
}

impl Sides {
    /// The most edges that share the brightness of a side.
    fn of_one_colour(&self) -> u32 {
        let windows = self.bright.windows(ONE_COLOUR).chain(self.dark.windows(ONE_COLOUR));
        windows.map(|window| window.iter().sum()).max().unwrap_or(0)
    }
}

/// Edges of one row that are there `now`, stand at all moments `later`, and are not in the `first`
/// frame: the pixels to their left.
fn standing<'a>(
    first: &'a [u8],
    now: &'a [u8],
    later: [&'a [u8]; LATER.len()],
) -> impl Iterator<Item = usize> + 'a {
    let edge = |line: &[u8], at: usize| i16::from(line[at + 1]) - i16::from(line[at]);
    // Whether a pixel keeps a value that it did not have in the first frame.
    let appeared = move |at: usize| {
        let value = |line: &[u8]| i16::from(line[at]);
        (value(now) - value(first)).abs() >= EDGE
            && later.iter().all(|line| (value(line) - value(now)).abs() <= STILL_EDGE)
    };
    let is_new = move |at: usize| {
        let here = edge(now, at);
        if here.abs() < EDGE {
            return false;
        }
        let later = later.map(|line| edge(line, at));
        if later.iter().all(|later| (later - here).abs() <= STILL_EDGE) {
            return (here - edge(first, at)).abs() >= EDGE;
        }
        let same_side = |later: &i16| later.abs() >= EDGE && (*later > 0) == (here > 0);
        later.iter().all(same_side) && appeared(at) != appeared(at + 1)
    };
    (0..first.len() - 1).filter(move |at| is_new(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands over the picture from the ninth frame on.
    #[derive(Clone, Copy)]
    enum Over {
        Nothing,
        BareLetters,
        LettersOnAGround,
    }

    #[test]
    fn letters_that_appear_are_found_and_texture_that_moves_or_stood_before_is_not() {
        // Each place for itself: a linear sequence has the same few differences everywhere, and
        // edges of it stand still at any speed.
        let texture = |x: usize, y: usize| {
            let mixed = (x as u64 * 73_856_093) ^ (y as u64 * 19_349_663);
            let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 57) as u8 + 40
        };
        let frame = |speed: usize, over: Over, time: usize| -> Vec<u8> {
            let at = |at: usize| {
                let (x, y) = (at % 96, at / 96);
                let covered = time > 8 && (30..40).contains(&y);
                match over {
                    Over::BareLetters | Over::LettersOnAGround if covered && x % 8 < 3 => 235,
                    Over::LettersOnAGround if covered => 16,
                    _ => texture(x + speed * time, y),
                }
            };
            (0..96 * 64).map(at).collect()
        };
        let of = |speed: usize, over: Over| {
            let frames: Vec<Vec<u8>> = (0..60).map(|time| frame(speed, over, time)).collect();
            overlaid(&frames.iter().map(Vec::as_slice).collect::<Vec<_>>(), 96)
        };
        assert_eq!(of(0, Over::Nothing), 0.0, "it stood there before");
        // Within and beyond the bounds of the grade's part of this name.
        let moving = of(1, Over::Nothing);
        assert!(moving < 0.001, "{moving}");
        let found =
            [of(0, Over::BareLetters), of(1, Over::BareLetters), of(1, Over::LettersOnAGround)];
        assert!(found.iter().all(|found| *found > 0.002), "{found:?}");
        assert_eq!(overlaid(&[], 96), 0.0);
    }

    #[test]
    fn edges_of_one_colour_are_counted_by_the_side_that_they_share() {
        let mut sides = Sides { bright: [0; 256], dark: [0; 256] };
        for value in (40..200).step_by(20) {
            sides.dark[value] += 1;
            sides.bright[235 - value % 3] += 1;
        }
        assert_eq!(sides.of_one_colour(), 8);
        sides.bright = [0; 256];
        assert_eq!(sides.of_one_colour(), 1);
    }
}

//! Frames that stand still.
//!
//! Works on the mean absolute differences of neighbouring frames ([`super::frame_difference`]) of
//! low-resolution pictures, where added noise averages out; ffmpeg's `freezedetect` compares the
//! same quantity with a fixed limit. The limit here is relative to the source's own motion, so a
//! calm source is not mistaken for a frozen one.

/// Smaller differences are rounding, whatever the source does: a quarter of one of 255 levels.
pub(super) const LEAST_MOTION: f32 = 0.25 / 255.0;

/// A step below this share of the source's typical step counts as frozen.
pub(super) const HELD_PART: f32 = 0.15;

/// Which steps of `answer` are frozen while the source moves, given one difference per step of
/// both.
fn held_steps(answer: &[f32], source: &[f32]) -> Vec<bool> {
    let typical = source.iter().sum::<f32>() / source.len().max(1) as f32;
    answer
        .iter()
        .zip(source)
        .map(|(answer, source)| {
            let limit = HELD_PART * source.min(typical);
            *source > LEAST_MOTION && *answer < limit
        })
        .collect()
}

/// Share of the steps in which the answer stands still while the source moves, 0 to 1.
pub(crate) fn held_fraction(answer: &[f32], source: &[f32]) -> f32 {
    let held = held_steps(answer, source);
    held.iter().filter(|held| **held).count() as f32 / held.len().max(1) as f32
}

/// The longest run of such steps, as a share of all steps.
pub fn longest_hold(answer: &[f32], source: &[f32]) -> f32 {
    let held = held_steps(answer, source);
    let longest = held.split(|held| !held).map(<[bool]>::len).max().unwrap_or(0);
    longest as f32 / held.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_still_counts_only_while_the_source_moves() {
        let source = [0.02, 0.02, 0.02, 0.0, 0.0, 0.02, 0.02, 0.02];
        assert_eq!(held_fraction(&source, &source), 0.0);
        assert_eq!(held_fraction(&[0.0; 8], &source), 0.75);
        assert_eq!(longest_hold(&[0.0; 8], &source), 0.375);
        assert_eq!(held_fraction(&[0.0; 8], &[0.0; 8]), 0.0);
    }

    #[test]
    fn every_frame_held_four_times_is_three_quarters_held() {
        let source = [0.02; 80];
        let answer: Vec<f32> = (0..80).map(|i| if i % 4 == 3 { 0.06 } else { 0.0 }).collect();
        assert_eq!(held_fraction(&answer, &source), 0.75);
        assert_eq!(longest_hold(&answer, &source), 3.0 / 80.0);
    }
}

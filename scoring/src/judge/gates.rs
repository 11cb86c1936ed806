//! What an answer has to be before it is graded: a video of the task's size and length that moves
//! and is not the source clip itself.

use super::grade::{AspectPolicy, Grade};
use super::outcome::{Outcome, SOURCE_ITSELF};
use crate::comparison::Measures;
use crate::media::{Clip, VideoDefect};
use leoma_protocol::verdict::EntryStatus;

/// Refuses a picture size too far from the source's, `got` being width and height in pixels.
pub(crate) fn check_size(
    got: (u32, u32),
    source: &Clip,
    policy: &AspectPolicy,
) -> Result<(), VideoDefect> {
    let tolerance = policy.size_tolerance;
    let want = (source.width() as u32, source.height() as u32);
    let near = |got: u32, want: u32| got.abs_diff(want) <= tolerance;
    if near(got.0, want.0) && near(got.1, want.1) {
        Ok(())
    } else {
        Err(VideoDefect::WrongSize { got, want, tolerance })
    }
}

/// How many times as long as the source an answer may be, as it may have twice the frames.
const MOST_LENGTHS: u64 = 2;

/// Refuses an answer with too few frames, or too short or too long by its frames' times.
pub(crate) fn check_length(
    answer: &Clip,
    source: &Clip,
    policy: &AspectPolicy,
) -> Result<(), VideoDefect> {
    let min_frames = (source.len() * usize::from(policy.min_frames)).div_ceil(100);
    let min_duration_ms = source.duration_ms() * u64::from(policy.min_duration) / 100;
    let (frames, duration_ms) = (answer.len(), answer.duration_ms());
    // Without a stated rate there is no duration to go by; the frames are compared one by one.
    let too_brief = answer.info().fps.is_some() && duration_ms < min_duration_ms;
    if frames < min_frames || too_brief {
        return Err(VideoDefect::TooShort { frames, duration_ms, min_frames, min_duration_ms });
    }
    // Both durations are rounded down: a source of 5062.5 ms allows 10 125 ms.
    let max_duration_ms = source.duration_ms().saturating_add(1).saturating_mul(MOST_LENGTHS);
    if duration_ms > max_duration_ms {
        return Err(VideoDefect::TooLong { duration_ms, max_duration_ms });
    }
    Ok(())
}

impl Outcome {
    /// What an answer with these measures gets: a grade, unless it stands still or is the source
    /// clip itself. A source that hardly moves shows neither.
    pub(crate) fn of(raw: Measures, policy: &AspectPolicy) -> Self {
        let source_moves = raw.source_displacement >= thousandths(policy.frozen_source);
        let unusable = |status, reason| Self::Unusable { status, reason, raw: Some(raw) };
        if source_moves && stands_still(&raw, policy) {
            let reason = format!(
                "the video changes {:.0} % as much as the source and stands still for {:.0} % of its steps",
                raw.displacement * 100.0,
                raw.longest_hold * 100.0
            );
            return unusable(EntryStatus::Frozen, reason);
        }
        let replays = raw.replay() >= thousandths(policy.replay);
        if policy.forbid_replay && source_moves && replays {
            let reason = format!(
                "{SOURCE_ITSELF}: it has {:.0} % of the detail that only the source shows",
                raw.replay() * 100.0
            );
            return unusable(EntryStatus::Duplicate, reason);
        }
        Self::Usable { grade: Grade::of(&raw, policy), raw }
    }
}

fn stands_still(raw: &Measures, policy: &AspectPolicy) -> bool {
    // Little change in another picture is another, calmer video.
    let same_picture = raw.first_ms_ssim >= thousandths(policy.frozen_likeness);
    let hardly_changes = raw.displacement < thousandths(policy.frozen_displacement);
    (same_picture && hardly_changes) || raw.longest_hold >= thousandths(policy.frozen_hold)
}

fn thousandths(limit: i32) -> f32 {
    limit as f32 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Rational, VideoInfo};

    /// A clip of 81 tiny frames, with this many frames over this many seconds.
    fn clip(frames: u32, seconds: u32) -> Clip {
        let info = VideoInfo {
            width: 2,
            height: 2,
            fps: Some(Rational { numerator: frames, denominator: seconds }),
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        };
        Clip::from_planes(2, 2, info, vec![vec![128; 6]; 81]).unwrap()
    }

    #[test]
    fn an_answer_of_more_than_twice_the_sources_length_is_too_long() {
        let (source, policy) = (clip(16, 1), AspectPolicy::SUBNET);
        let check = |answer: &Clip| check_length(answer, &source, &policy);
        // Half the pace is twice the length.
        for frames in [16, 12, 8] {
            assert_eq!(check(&clip(frames, 1)), Ok(()), "{frames}");
        }
        // An hour, and seven frames a second.
        for (frames, seconds) in [(1, 45), (7, 1)] {
            let refused = check(&clip(frames, seconds)).unwrap_err();
            assert!(matches!(refused, VideoDefect::TooLong { .. }), "{refused}");
            let Outcome::Unusable { status, .. } = Outcome::defect(&refused) else { panic!() };
            assert_eq!(status, EntryStatus::TooLong);
        }
        let short = check(&clip(32, 1)).unwrap_err();
        assert!(matches!(short, VideoDefect::TooShort { .. }), "{short}");
    }
}

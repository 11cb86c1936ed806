//! What an answer has to be before it is graded: a video of the task's size and length that moves
//! and is not the source clip itself.

use super::grade::{AspectPolicy, Aspects};
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

/// Refuses an answer with too few frames, or too short for its stated rate.
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
        let replays = raw.replay_detail >= thousandths(policy.replay_detail);
        if policy.forbid_replay && source_moves && replays {
            let reason = format!(
                "{SOURCE_ITSELF}: fine detail is like the source's by {:.3}",
                raw.replay_detail
            );
            return unusable(EntryStatus::Duplicate, reason);
        }
        let grade = Aspects::from_measures(&raw, policy).grade(policy);
        Self::Usable { grade, raw }
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

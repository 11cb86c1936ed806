//! One entry's video scored again, as its sampler scored it.

use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use leoma_scoring::judge::JudgeThresholds;
use leoma_scoring::worker::{ScorerPool, SourceClip};
use leoma_scoring::{Grade, JudgeAnswer, JudgeChoice, Outcome, ScoreFault, Scored};

use super::compare::{
    Compared, Found, compare, gate_at_threshold, margin_at_threshold, pass_at_threshold,
};
use super::published::{Objects, Published, Unread, read_video};

/// Most characters of a judge's answer that are recorded. One of this length may have been cut, and
/// is not graded again.
const RECORDED_CHARS: usize = 8192;

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// The entry beside the result.
    pub(crate) compared: Compared,
    /// The result, where the video was scored.
    pub(crate) found: Option<Found>,
}

impl Again {
    /// An entry that could not be scored again.
    pub(crate) fn unchecked(reason: impl Into<String>) -> Self {
        Self { compared: Compared::Unchecked(reason.into()), found: None }
    }

    fn differs(reason: String) -> Self {
        Self { compared: Compared::Differs(vec![reason]), found: None }
    }
}

/// Scores an entry's video again. `source` is the task's published clip, prepared by `scorer`.
/// `turn` is waited for once the video is there, and what it gives is held while it is scored.
///
/// # Errors
/// The bucket does not give the video, which another try may change. Everything else is an
/// [`Again`].
pub(crate) async fn score_again(
    scorer: &ScorerPool,
    choice: JudgeChoice,
    (published, source): (&Published, &SourceClip),
    bucket: &impl Objects,
    entry: &VerdictEntry,
    turn: impl Future,
) -> Result<Again, Unread> {
    let task_id = published.metadata.task_id;
    let video = match read_video(bucket, task_id, entry).await {
        Ok(Some(video)) => video,
        Ok(None) if entry.passed => {
            return Ok(Again::differs("it passes, and names no video".to_owned()));
        }
        Ok(None) => return Ok(Again::unchecked("there was no video to score")),
        Err(unread) if unread.may_pass() => return Err(unread),
        Err(Unread::Contradicts(reason)) => return Ok(Again::differs(reason)),
        Err(unread) => return Ok(Again::unchecked(unread.to_string())),
    };
    let _turn = turn.await;
    let scored = match scorer.score(source, video).await {
        Ok(scored) => scored,
        // This video ended the sampler's scoring process too.
        Err(ScoreFault::Worker(fault))
            if fault.is_crash() && entry.status == EntryStatus::Undecodable =>
        {
            return Ok(Again { compared: Compared::Match, found: None });
        }
        Err(fault) => return Ok(Again::unchecked(format!("not scored here: {fault}"))),
    };
    Ok(match found(scorer, choice, published, entry, scored) {
        Ok(found) => Again { compared: compare(entry, &found), found: Some(found) },
        Err(again) => again,
    })
}

/// The result of a scored video under the entry's judge.
fn found(
    scorer: &ScorerPool,
    choice: JudgeChoice,
    published: &Published,
    entry: &VerdictEntry,
    scored: Scored,
) -> Result<Found, Again> {
    let policy = scorer.policy();
    let fingerprint = scored.fingerprint.map(|fingerprint| fingerprint.to_bytes());
    let (measured, raw, refused) = match scored.outcome {
        Outcome::Unusable { status, raw: Some(raw), .. } if gate_at_threshold(&raw, &policy) => {
            (Grade::of(&raw, &policy), raw, Some(status))
        }
        Outcome::Unusable { status, .. } => {
            return Ok(Found {
                status,
                grade: None,
                past_gate: None,
                fingerprint,
                at_gate: false,
                at_pass: false,
            });
        }
        Outcome::Usable { grade, raw } => (grade, raw, None),
    };
    // What is measured may lie at a threshold. A recorded answer gives the same points everywhere.
    let (grade, at_pass) = match choice {
        JudgeChoice::Local => (measured, pass_at_threshold(&raw, &policy)),
        JudgeChoice::Gemini | JudgeChoice::Both => match recorded_opinion(published, entry) {
            Ok(opinion) => {
                let passes = JudgeChoice::Gemini.grade(&measured, &opinion, &policy).passed;
                let at_margin = choice == JudgeChoice::Both && margin_at_threshold(&raw, &policy);
                (choice.grade(&measured, &opinion, &policy), passes && at_margin)
            }
            // A sampler whose gate refused the video, as ours did, did not ask the vision model.
            Err(_) if refused.is_some() && !entry.passed => (measured, false),
            Err(again) => return Err(again),
        },
    };
    let at_gate = gate_at_threshold(&raw, &policy);
    Ok(match refused {
        Some(status) => {
            let past_gate = Some(grade);
            Found { status, grade: None, past_gate, fingerprint, at_gate, at_pass }
        }
        None => {
            let status = if grade.passed { EntryStatus::Passed } else { EntryStatus::Failed };
            Found { status, grade: Some(grade), past_gate: None, fingerprint, at_gate, at_pass }
        }
    })
}

/// The vision model's answer as the sampler recorded it, read again.
fn recorded_opinion(published: &Published, entry: &VerdictEntry) -> Result<JudgeAnswer, Again> {
    let evidence = published.metadata.evidence.get(&entry.hotkey);
    let Some(recorded) = evidence.and_then(|evidence| evidence.judge.as_ref()) else {
        return Err(if entry.passed {
            Again::differs("it passes without a recorded answer of the judge".to_owned())
        } else {
            Again::unchecked("no answer of the judge is recorded")
        });
    };
    if recorded.raw.chars().count() >= RECORDED_CHARS {
        return Err(Again::unchecked("the judge's recorded answer may have been cut"));
    }
    Ok(JudgeAnswer::from_text(&recorded.raw, JudgeThresholds::SUBNET))
}

//! What a validator asks of its scoring process, and what that process says.

use super::fault::FaultKind;
use super::frame::FrameFault;
use crate::comparison::Measures;
use crate::fingerprint::Fingerprint;
use crate::judge::grade::{AspectPolicy, Grade};
use crate::judge::{Outcome, Scored, TaskType};
use crate::learned::TextModel;
use crate::scorer::ScoreFault;
use leoma_protocol::Digest;
use leoma_protocol::verdict::EntryStatus;
use serde::{Deserialize, Serialize};

/// Source clips that a worker keeps ready: the task's, and the one before for answers that are
/// still being scored. A decoded clip takes 50 MB.
pub(crate) const KEPT_SOURCES: usize = 2;
/// Most clips that a worker takes at a time. A decoded clip takes up to 100 MB.
pub(crate) const MOST_CLIPS: usize = 8;

/// Longest reason that is passed on.
const MAX_REASON_CHARS: usize = 500;

/// How to grade: what of it an operator or a caller sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScorerOptions {
    /// Allowed difference of width and of height from the source's, in pixels.
    pub size_tolerance: u32,
    /// Fail an answer that is the source clip itself.
    pub forbid_replay: bool,
    /// What miners are given.
    pub task: TaskType,
    /// The model that reads prompts.
    pub text_model: Option<TextModel>,
}

impl Default for ScorerOptions {
    /// The subnet's.
    fn default() -> Self {
        let AspectPolicy { size_tolerance, forbid_replay, .. } = AspectPolicy::SUBNET;
        Self { size_tolerance, forbid_replay, task: TaskType::default(), text_model: None }
    }
}

impl ScorerOptions {
    /// The subnet's policy with these options.
    #[must_use]
    pub fn policy(&self) -> AspectPolicy {
        let Self { size_tolerance, forbid_replay, task, .. } = *self;
        AspectPolicy { size_tolerance, forbid_replay, ..AspectPolicy::of(task) }
    }

    /// What grades by them, for a judge's id: the policy, and the model where there is one.
    #[must_use]
    pub fn judge_id(&self) -> String {
        let policy = self.policy().digest().short();
        match &self.text_model {
            Some(model) => format!("metrics:{policy}+{}", model.id),
            None => format!("metrics:{policy}"),
        }
    }
}

/// The first frame to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The device, as `--device` names it.
    pub device: String,
    /// How to grade.
    pub options: ScorerOptions,
    /// Comparisons on the device at a time; the decoding of further clips goes on beside them.
    pub comparisons: usize,
}

/// A frame to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Opens the device; first and once.
    Open(Opening),
    /// Prepares a source clip, which is the body.
    Source {
        /// Named in the answer.
        id: u64,
    },
    /// Scores an answer, which is the body.
    Score {
        /// Named in the answer.
        id: u64,
        /// Which source clip, of those that are [`Tell::Prepared`].
        source: Digest,
        /// What was asked for.
        prompt: Option<String>,
    },
}

/// A frame from a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub(crate) enum Tell {
    /// On the way to being ready.
    Progress {
        /// Steps done.
        done: usize,
        /// Of so many.
        of: usize,
        /// The last one.
        what: String,
    },
    /// The device computes what the CPU computes, and is warm.
    Ready {
        /// Digest of the policy that it grades by.
        policy: Digest,
    },
    /// A source clip is ready; the body is its fingerprint.
    Prepared {
        /// Of the asking frame.
        id: u64,
        /// What moves in it, in words.
        description: String,
    },
    /// An answer's result is the body.
    Scored {
        /// Of the asking frame.
        id: u64,
        /// Most memory that the process had so far, in KiB.
        peak_kib: u64,
    },
    /// This machine failed.
    Fault {
        /// Of the asking frame; none where it is about the opening.
        id: Option<u64>,
        /// Whose fault.
        kind: FaultKind,
        /// In words.
        reason: String,
    },
}

impl Tell {
    pub(crate) fn fault(id: Option<u64>, fault: &ScoreFault) -> Self {
        let reason = with_causes(fault).chars().take(MAX_REASON_CHARS).collect();
        Self::Fault { id, kind: kind_of(fault), reason }
    }
}

fn kind_of(fault: &ScoreFault) -> FaultKind {
    match fault {
        ScoreFault::Media(_) | ScoreFault::Ffmpeg(_) | ScoreFault::Learned(_) => FaultKind::Media,
        ScoreFault::Device(_) => FaultKind::Device,
        ScoreFault::Arithmetic { .. } => FaultKind::Arithmetic,
        ScoreFault::OutOfMemory { .. } => FaultKind::OutOfMemory,
        ScoreFault::SelfTest(_) => FaultKind::SelfTest,
        ScoreFault::Reference(_) | ScoreFault::SmallReference { .. } => FaultKind::Reference,
        // Whatever it was, its process is not to be trusted.
        ScoreFault::Broken { .. } | ScoreFault::Worker(_) => FaultKind::Arithmetic,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// [`Scored`] between two processes of one program: MessagePack, because JSON has no words for some
/// numbers.
#[derive(Serialize, Deserialize)]
struct WireResult {
    video_sha256: Digest,
    outcome: Result<(Grade, Measures), (String, String, Option<Measures>)>,
    fingerprint: Option<Vec<u8>>,
}

/// A result as a frame's body.
pub(crate) fn encode(scored: Scored) -> Result<Vec<u8>, FrameFault> {
    let Scored { video_sha256, outcome, fingerprint } = scored;
    let outcome = match outcome {
        Outcome::Usable { grade, raw } => Ok((grade, raw)),
        Outcome::Unusable { status, reason, raw } => Err((status.as_str().to_owned(), reason, raw)),
    };
    let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_bytes());
    rmp_serde::to_vec(&WireResult { video_sha256, outcome, fingerprint })
        .map_err(|error| FrameFault::Content { reason: error.to_string() })
}

/// The result in a frame's body, to the same bits.
pub(crate) fn decode(body: &[u8]) -> Result<Scored, FrameFault> {
    let WireResult { video_sha256, outcome, fingerprint } = rmp_serde::from_slice(body)
        .map_err(|error| FrameFault::Content { reason: error.to_string() })?;
    let outcome = match outcome {
        Ok((grade, raw)) => Outcome::Usable { grade, raw },
        Err((status, reason, raw)) => {
            Outcome::Unusable { status: EntryStatus::from_word(&status), reason, raw }
        }
    };
    let fingerprint = fingerprint.as_deref().and_then(Fingerprint::from_bytes);
    Ok(Scored { video_sha256, outcome, fingerprint })
}

//! The messages between a validator and its scoring processes.

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

/// Longer reasons are cut.
const MAX_REASON_CHARS: usize = 500;

/// The settings of grading that an operator or a caller may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScorerOptions {
    /// Allowed difference in width and in height from the source, in pixels.
    pub size_tolerance: u32,
    /// Whether an answer that is the source clip itself fails.
    pub forbid_replay: bool,
    /// What miners are given.
    pub task: TaskType,
    /// The model that reads prompts, if there is one.
    pub text_model: Option<TextModel>,
}

impl Default for ScorerOptions {
    /// The subnet's settings.
    fn default() -> Self {
        let AspectPolicy { size_tolerance, forbid_replay, .. } = AspectPolicy::SUBNET;
        Self { size_tolerance, forbid_replay, task: TaskType::default(), text_model: None }
    }
}

impl ScorerOptions {
    /// The subnet's policy with these settings.
    #[must_use]
    pub fn policy(&self) -> AspectPolicy {
        let Self { size_tolerance, forbid_replay, task, .. } = *self;
        AspectPolicy { size_tolerance, forbid_replay, ..AspectPolicy::of(task) }
    }

    /// The judge's id under these settings: the policy's digest, and the model where there is one.
    #[must_use]
    pub fn judge_id(&self) -> String {
        let policy = self.policy().digest().short();
        match &self.text_model {
            Some(model) => format!("metrics:{policy}+{}", model.id),
            None => format!("metrics:{policy}"),
        }
    }
}

/// The first message to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The device, as `--device` names it.
    pub device: String,
    /// How to grade.
    pub options: ScorerOptions,
    /// Most comparisons on the device at a time. Decoding is not limited by it.
    pub comparisons: usize,
}

/// A request to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Opens the device. The first request, and sent only once.
    Open(Opening),
    /// Prepares a source clip, which is the body.
    Source {
        /// Repeated in the reply.
        id: u64,
    },
    /// Scores an answer, which is the body.
    Score {
        /// Repeated in the reply.
        id: u64,
        /// The source clip, which must be [`Tell::Prepared`].
        source: Digest,
        /// The prompt of the task.
        prompt: Option<String>,
    },
}

/// A message from a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub(crate) enum Tell {
    /// The worker is still starting.
    Progress {
        /// Steps done.
        done: usize,
        /// Steps in all.
        of: usize,
        /// The name of the last step done.
        what: String,
    },
    /// The device agrees with the CPU and is warmed up.
    Ready {
        /// Digest of the policy that the worker grades by.
        policy: Digest,
    },
    /// A source clip is ready; the body is its fingerprint.
    Prepared {
        /// The request's id.
        id: u64,
        /// The clip's motion in words.
        description: String,
    },
    /// An answer is scored; the body is the result.
    Scored {
        /// The request's id.
        id: u64,
        /// The process's peak memory so far, in KiB.
        peak_kib: u64,
    },
    /// This machine failed.
    Fault {
        /// The request's id; `None` where the opening failed.
        id: Option<u64>,
        /// The part that failed.
        kind: FaultKind,
        /// The reason in words.
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
        // The cause is unknown, so the process must not be used again.
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

/// [`Scored`] as it travels between processes: as MessagePack, because JSON cannot hold infinities.
#[derive(Serialize, Deserialize)]
struct WireResult {
    video_sha256: Digest,
    outcome: Result<(Grade, Measures), (String, String, Option<Measures>)>,
    fingerprint: Option<Vec<u8>>,
}

/// Encodes a result as the body of a frame.
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

/// Decodes the result in the body of a frame. Floats keep every bit.
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

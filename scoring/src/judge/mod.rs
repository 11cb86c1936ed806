//! Judges: vision models that describe a clip for its task and grade an answer to it.
//!
//! A judge that is down, slow or out of quota is our fault: it gives a [`JudgeError`] and nothing
//! is written about any miner. A judge that answers nonsense about one video has been talked into
//! it by that video as likely as not, so that is an answer, and a bad one, exactly as in the
//! reference (see [`JudgeAnswer`]).

mod gemini;
pub(crate) mod grade;
mod task_type;

pub use gemini::{ApiKey, GeminiConfig, GeminiJudge, JudgeAnswer, JudgeAspects, JudgeThresholds};
pub use task_type::TaskType;

use async_trait::async_trait;

/// Most characters of a judge's raw answer that are kept: one with its lists in full has half of
/// that.
const KEPT_CHARS: usize = 8192;

/// Who judges a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JudgeChoice {
    /// The metrics alone: no key, no third party.
    #[default]
    Local,
    /// Gemini alone; the metrics still find what is no answer at all.
    Gemini,
    /// The metrics, and in each critical aspect the lower of both.
    Both,
}

impl JudgeChoice {
    /// Whether Gemini is asked.
    pub fn asks_gemini(self) -> bool {
        self != Self::Local
    }
}

impl std::str::FromStr for JudgeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "gemini" => Ok(Self::Gemini),
            "both" => Ok(Self::Both),
            _ => Err("a judge is local, gemini or both".to_owned()),
        }
    }
}

impl std::fmt::Display for JudgeChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Gemini => "gemini",
            Self::Both => "both",
        })
    }
}

/// A judge's answer with the words that it follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Normalised.
    pub answer: JudgeAnswer,
    /// What the judge wrote, its first 8 192 characters.
    pub raw: String,
    /// The model that says it wrote it.
    pub model: String,
}

impl Judgement {
    pub(crate) fn new(raw: &str, model: &str, thresholds: JudgeThresholds) -> Self {
        let answer = JudgeAnswer::from_text(raw, thresholds);
        Self { answer, raw: raw.chars().take(KEPT_CHARS).collect(), model: model.to_owned() }
    }
}

/// What a judge is shown to grade one answer.
#[derive(Debug, Clone, Copy)]
pub struct JudgeRequest<'a> {
    /// The task's prompt, where it has one.
    pub prompt: Option<&'a str>,
    /// The conditioning first frame, PNG, where the task has one.
    pub first_frame_png: Option<&'a [u8]>,
    /// The miner's video, MP4.
    pub video_mp4: &'a [u8],
    /// What counts as passed.
    pub thresholds: JudgeThresholds,
}

/// Describes clips and grades answers.
#[async_trait]
pub trait Judge: Send + Sync {
    /// Names the judge in verdict files, e.g. `gemini:gemini-2.5-flash`.
    fn id(&self) -> String;

    /// A prompt of 50 to 90 words for the clip: motion first where the task gives the first frame
    /// too.
    ///
    /// # Errors
    /// The judge could not be asked, or said nothing.
    async fn describe(&self, clip_mp4: &[u8], task: TaskType) -> Result<String, JudgeError>;

    /// The judge's answer, normalised and as it came.
    ///
    /// # Errors
    /// The judge could not be asked, or said nothing.
    async fn judge(&self, request: JudgeRequest<'_>) -> Result<Judgement, JudgeError>;
}

/// Why a judge gave no answer. None of these says anything about a miner, and none carries a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// It could not be reached, or did not answer in time, in all attempts.
    #[error("judge {judge} did not answer in {attempts} attempts: {reason}")]
    Unreachable {
        /// Its id.
        judge: String,
        /// How often it was asked.
        attempts: u32,
        /// The last reason.
        reason: String,
    },
    /// It answered with an error that another attempt would not change.
    #[error("judge {judge} refused with HTTP {status} {code}")]
    Refused {
        /// Its id.
        judge: String,
        /// HTTP status.
        status: u16,
        /// The service's own error code, or nothing.
        code: String,
    },
    /// It answered without any text, for instance because its safety filter stopped it.
    #[error("judge {judge} gave no text ({reason})")]
    NoText {
        /// Its id.
        judge: String,
        /// The service's stated reason.
        reason: String,
    },
    /// The videos are larger than one request may carry.
    #[error("{bytes} bytes of video are more than judge {judge} takes inline")]
    TooLarge {
        /// Its id.
        judge: String,
        /// Bytes before encoding.
        bytes: usize,
    },
    /// The settings make no client.
    #[error("judge settings: {reason}")]
    Settings {
        /// What is wrong, and the accepted form.
        reason: String,
    },
}

//! Judges: vision models that describe a clip for its task and grade an answer to it.
//!
//! A judge that is down, slow or out of quota is our fault: it gives a [`JudgeError`] and nothing
//! is written about any miner. A judge that answers nonsense about one video has been talked into
//! it by that video as likely as not, so that is an answer, and a bad one, exactly as in the
//! reference (see [`JudgeAnswer`]).

mod choice;
mod error;
pub(crate) mod gates;
mod gemini;
pub(crate) mod grade;
mod outcome;
mod task_type;

pub use choice::JudgeChoice;
pub use error::JudgeError;
pub use gemini::{
    GeminiModel, JudgeAnswer, JudgeAspects, JudgeRequest, JudgeThresholds, Judgement,
    MAX_REPLY_BYTES, error_code,
};
pub use outcome::{Outcome, SOURCE_ITSELF, Scored};
pub use task_type::TaskType;

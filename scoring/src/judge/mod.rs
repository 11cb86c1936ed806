//! Judges an answer: gates that it has to pass, a grade from its measures, and a vision model's
//! opinion.
//!
//! A vision model that is down, slow or out of quota is our fault: it causes a [`JudgeError`], and
//! nothing is written about any miner. A vision model that answers nonsense about one video may
//! well have been talked into it by that video, so nonsense counts as a bad answer, exactly as in
//! the reference (see [`JudgeAnswer`]).

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

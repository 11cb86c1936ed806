//! Judges an answer: gates that it has to pass, a grade from its measures, and a vision model's
//! opinion.
//!
//! A vision model that is down, slow or out of quota is our fault: it causes a [`JudgeError`], and
//! nothing is written about any miner. Nonsense reads as a bad answer, exactly as in the reference
//! (see [`JudgeAnswer`]); the caller takes an answer without any grade for none.

mod choice;
mod error;
pub(crate) mod gates;
mod gemini;
pub(crate) mod grade;
mod outcome;
mod task_type;

pub use choice::{JudgeChoice, Needed};
pub use error::JudgeError;
pub use gemini::{
    GeminiModel, JudgeAnswer, JudgeAspects, JudgeRequest, JudgeThresholds, Judgement,
    MAX_REPLY_BYTES, Room, error_code, is_daily_quota, retry_delay,
};
pub use outcome::{Outcome, SOURCE_ITSELF, Scored};
pub use task_type::TaskType;

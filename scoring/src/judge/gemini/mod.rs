//! Google's Gemini as a judge, but for the network: what it is asked, and what its replies say.

mod answer;
mod model;
mod prompts;
mod python;
mod reply;

pub use answer::{JudgeAnswer, JudgeAspects, JudgeThresholds, Judgement};
pub use model::{GeminiModel, JudgeRequest, Room};
pub use reply::{MAX_REPLY_BYTES, error_code, is_daily_quota, retry_delay};

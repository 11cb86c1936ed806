//! Google's Gemini as a judge.

mod answer;
mod client;
mod prompts;
mod python;

pub use answer::{JudgeAnswer, JudgeAspects, JudgeThresholds};
pub use client::{ApiKey, GeminiConfig, GeminiJudge};

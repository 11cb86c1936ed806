//! Sampling: on our turn, pick a clip, ask every valid miner for its continuation, score the
//! answers, publish the verdicts.

mod answer;
mod ask;
mod clip;
pub(crate) mod copies;
mod error;
mod judging;
mod parts;
mod publish;
mod turns;

pub use error::TaskError;
pub use judging::Judging;
pub(crate) use judging::WORKER_COMMAND;
pub use parts::Sampler;

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

pub(crate) use judging::Judging;
pub(crate) use judging::WORKER_COMMAND;
pub(crate) use parts::Sampler;

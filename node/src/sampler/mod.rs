//! Sampling: on our turn, choose a clip, ask every valid miner to continue it, score the answers and
//! publish the verdicts.
//!
//! | file | subject |
//! |---|---|
//! | `turns.rs` | which tasks are ours, and the order of the steps |
//! | `clip.rs` | the task's clip |
//! | `ask.rs`, `answer.rs` | the miners' videos |
//! | `judging.rs` | scores, the judge's opinion, verdicts |
//! | `copies.rs` | videos made from one another |
//! | `publish.rs` | signing, spooling, uploading |

mod answer;
mod ask;
mod clip;
pub(crate) mod copies;
mod error;
mod judging;
mod parts;
mod publish;
mod turns;

pub(crate) use judging::{Judging, WORKER_COMMAND};
pub(crate) use parts::Sampler;

//! Video: a clip is chosen by the seed, every valid miner is asked to recreate it from what it is
//! given, and the answers are scored. Three mechanisms differ in what is given: video, t2v and i2v.
//!
//! | file | subject |
//! |---|---|
//! | `turn.rs` | one task from its clip to its entries |
//! | `known_corpus.rs` | what clips are chosen from |
//! | `ask.rs`, `answer.rs` | the miners' videos |
//! | `requests.rs` | the requests to one miner, and its time |
//! | `course.rs` | what asking has seen so far, and who is asked once more |
//! | `done.rs` | what is done of a task |
//! | `spool.rs` | what is done of a task, on disk |
//! | `memory.rs` | how much of the answers is in memory |
//! | `judge_time.rs` | how long the judge is waited for |
//! | `judging.rs` | scores, the judge's opinion, verdicts |
//! | `copies.rs` | videos made from one another |
//!
//! Whose fault it is that there is no video is decided in `miners/whose_fault.rs`.

mod answer;
mod ask;
pub(crate) mod copies;
mod course;
mod done;
mod judge_time;
mod judging;
mod known_corpus;
mod memory;
mod requests;
mod spool;
#[cfg(test)]
pub(crate) mod tests;
mod turn;

pub(crate) use judging::{Judging, WORKER_COMMAND};
pub(crate) use turn::{Video, VideoParts};

//! What mechanisms share whose miners are asked through their axons, as Bittensor's SDK asks.
//!
//! | file | subject |
//! |---|---|
//! | `admission.rs` | who may be asked: by the chain alone, at a task's first block |
//! | `asking.rs` | all of them, a bounded number at a time, each in its own time |
//! | `reply.rs` | what one of them said, and the status of its entry |
//! | `spool.rs` | what is done of a task, on disk |
//!
//! A mechanism brings its question, and reads the fields that a miner filled in. Its answers are
//! kept as files, so that a restart asks nobody again who has replied, and published, so that
//! others can compute the values again.

mod admission;
mod asking;
#[cfg(test)]
pub(crate) mod fixture;
mod reply;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use admission::{Admission, Admitted, admit, axons, in_order};
pub(crate) use asking::{AskRules, Asking, dendrite};
pub(crate) use reply::{Reply, Said};

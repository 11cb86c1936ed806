//! Motion: miners are sent sound over their axons and answer with the motion of a skeleton, which is
//! compared with a reference. The worked example of a mechanism that pushes a task and scores a file,
//! after Virtuals' A2A subnet.
//!
//! | file | subject |
//! |---|---|
//! | `challenges.rs` | the owner's list of challenges, and which one a task is about |
//! | `synapse.rs` | the question, and the answer in a reply |
//! | `judging.rs` | what an answer is worth, and its entry |
//! | `proof.rs` | what a task's `metadata.json` says |
//! | `turn.rs` | one task from its challenge to its entries |
//! | `recheck.rs` | others' entries computed again |
//! | `audit.rs` | a whole task repeated, by anyone |
//!
//! Reading BVH files and the formula itself are in [`leoma_scoring::motion`].

pub(crate) mod audit;
mod challenges;
mod judging;
mod proof;
mod recheck;
mod synapse;
#[cfg(test)]
mod tests;
mod turn;

pub(crate) use challenges::{ChallengeError, newest};
pub(crate) use proof::Metadata as MotionMetadata;
pub(crate) use recheck::MotionRecheck;
pub(crate) use turn::{Motion, MotionParts};

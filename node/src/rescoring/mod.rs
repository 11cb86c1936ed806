//! Verdicts computed again from a producer's bucket: for peers before they attest, and for
//! `leoma audit --task N --scores`.
//!
//! | file | subject |
//! |---|---|
//! | `known_judge.rs` | whether this build has the judge that an envelope names |
//! | `published.rs` | what a task's bucket holds, bounded and held to what was signed |
//! | `again.rs` | one entry's video scored again |
//! | `compare.rs` | the result beside the entry, with the tolerance |
//! | `audit.rs` | all entries of a task |
//!
//! Nothing here accuses anybody: a result says whether an entry matches, is at the boundary,
//! differs, or cannot be checked, and why.

mod again;
mod audit;
mod compare;
#[cfg(test)]
pub(crate) mod fixture;
mod known_judge;
mod published;

pub(crate) use again::{Again, score_again};
pub(crate) use audit::{EntryReport, Scorers, ScoresReport, audit_scores, file_of};
pub(crate) use compare::Compared;
pub(crate) use known_judge::known_judge;
pub(crate) use published::{
    KeptBy, Objects, Published, Unread, read as read_object, read_task, read_video,
};

//! What pages and the API show of a running validator. Nothing is read until somebody looks.
//!
//! | file | subject |
//! |---|---|
//! | `subnet.rs` | [`Shown`]: the newest view, media, and what is posted |
//! | `snapshot.rs` | from the validator's parts to a snapshot |
//! | `own.rs` | what is wrong with this validator itself |
//! | `online.rs` | which validators work, as `leoma api` sees it |
//! | `verdict.rs` | from a verdict file to what is shown of it |
//! | `epoch.rs` | from an epoch's record to what is shown of it |
//! | `record.rs` | from a task's `metadata.json` to what is shown of it |
//! | `records.rs` | which of these are kept, and how often a bucket is asked |

mod epoch;
mod online;
mod own;
mod record;
mod records;
mod snapshot;
mod subnet;
#[cfg(test)]
mod tests;
mod verdict;

pub(super) use subnet::{Parts, Shown};

//! Models that the judge can use beside the metrics, and how their files get to this machine.
//!
//! | file | holds |
//! |---|---|
//! | `known.rs` | which models there are, and which files each needs |
//! | `lock.rs` | what was pulled: the commit, and size and SHA-256 of every file |
//! | `hub.rs` | the registry: what a commit holds, and the bytes of a file from any place on |
//! | `pull.rs` | from the registry or another folder to this machine |
//! | `verify.rs` | the files against the lock |
//!
//! Nothing is downloaded while a validator runs. A file counts only once its SHA-256 is that of its
//! lock, and a lock's sums are the registry's own where the registry states them.

mod hub;
mod known;
mod lock;
mod pull;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use hub::Hub;
pub(crate) use known::{KNOWN, KnownModel};
pub(crate) use lock::Lock;
pub(crate) use pull::{copy, pull};
pub(crate) use verify::{FileState, state, verify};

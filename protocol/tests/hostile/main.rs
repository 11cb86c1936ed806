//! Hostile peers over real sockets: whatever they do, honest validators stay connected, keep
//! agreeing, and memory stays bounded.
//!
//! The tests take turns in a process of their own, so that each has the machine to itself, and the
//! memory that grows is theirs.
#![cfg(feature = "mesh")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod connections;
#[path = "../protocol/mesh/harness/mod.rs"]
mod harness;
mod messages;
mod siege;

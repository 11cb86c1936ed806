//! The dendrite and the axon over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "../../examples/flood/crowd.rs"]
mod crowd;
mod flood;
mod interop;
mod refusals;
mod wallet;

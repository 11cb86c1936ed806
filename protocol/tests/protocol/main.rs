//! The protocol as another crate sees it. One binary, because linking libp2p takes longer than most
//! tests here; only the tests of hostile peers, which measure their process's memory, have their
//! own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod conformance;
#[cfg(feature = "mesh")]
mod fuzz_corpus;
#[cfg(feature = "mesh")]
mod mesh;
mod python_json;
mod verdict_binding;

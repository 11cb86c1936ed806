//! Tests of scoring through its public interface, in one program: each program would compile the
//! backends' operations again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "test code"
)]

mod aspects;
mod copies;
mod field;
mod hostile;
mod judge;
mod kernels;
mod learned;
mod learned_files;
mod lost_device;
mod metrics;
mod references;
mod support;
mod text_similarity;
mod worker;

/// Big buffers that return to the system after each use cost more than the arithmetic.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

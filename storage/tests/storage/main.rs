//! Tests of storage through its public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "test code")]

mod backends;
mod field;
mod hostile;

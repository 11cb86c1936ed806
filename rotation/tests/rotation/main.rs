//! The rules as a whole: epochs from files to weights, and the vectors of the Python
//! implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod epochs;
mod subnet;
mod vectors;

//! The rules as a whole: epochs from files to weights, the vectors of the Python implementation, and
//! a model of the subnet that the rules must keep in agreement.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod epochs;
mod model;
mod record_epochs;
mod records;
mod scenarios;
mod simulation;
mod subnet;
mod vectors;
mod weekend;

//! Tests of the program and of its public parts, in one program: linking each takes half a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "test code")]

mod containers;
mod double;
mod earlier_state;
mod field;
mod growth;
mod score;
mod wallet;

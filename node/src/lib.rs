//! The Leoma validator.

pub mod chain;
pub mod state;

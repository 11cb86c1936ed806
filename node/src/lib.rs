//! The Leoma validator.

pub mod chain;
pub mod cli;
pub mod config;
pub mod library;
pub mod metrics;
pub mod miners;
pub mod report;
pub mod services;
pub mod state;
pub mod subnet;
pub mod telemetry;
pub mod wallet;

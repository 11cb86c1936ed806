//! The Leoma validator.

pub mod allowlists;
pub mod axons;
pub mod chain;
pub mod cli;
pub mod config;
pub mod corpus;
pub mod epoch;
mod gemini;
pub mod http;
pub mod library;
pub mod metrics;
pub mod miners;
pub mod peers;
pub mod preflight;
pub mod report;
pub mod sampler;
pub mod serve;
pub mod services;
pub mod state;
pub mod status;
pub mod subnet;
pub mod telemetry;
pub mod wallet;
pub mod weights;

//! The Leoma validator.
//!
//! | room | subject |
//! |---|---|
//! | [`cli`] | the commands of the `leoma` binary |
//! | [`board`] | what validators and administrators post |
//! | [`config`] | settings: one table, read in layers, parsed once |
//! | `preflight` | checks of a machine and its accounts before a start |
//! | `serve` | a running validator: opened, joined to the mesh, its loops, its HTTP server |
//! | [`subnet`] | the metagraph, the owner's allowlists, other validators' addresses |
//! | [`verdicts`] | verdict files of all validators: kept, fetched, attested |
//! | `sampler` | our turns: when a task is tried, its file signed and published |
//! | `mechanism` | what a task is: for video its clip, the miners' answers, their scores |
//! | `rescoring` | verdicts computed again from a producer's bucket |
//! | [`corpus`] | source videos with a proof of their origin |
//! | `miners` | which miners count: their commitment, chute and model |
//! | [`weights`] | the winner of an epoch, and its weights on chain |
//! | [`state`] | the database |
//! | `models` | weights of learned judges, pulled from the registry |
//! | `outbound` | requests to services outside the subnet |
//! | `reporting` | what is reported to the API of the subnet's owner |
//! | [`metrics`], `telemetry`, `alarms` | what Prometheus, the log and `/readyz` show |
//! | `disk` | how much room is left |
//!
//! Beside it: `leoma-chain` (`chain/`) and `leoma-wallet` (`wallet/`).

mod alarms;
pub mod board;
pub mod cli;
pub mod config;
pub mod corpus;
mod disk;
#[cfg(test)]
mod field_page;
mod mechanism;
pub mod metrics;
mod miners;
mod models;
mod outbound;
mod preflight;
mod reporting;
mod rescoring;
mod sampler;
mod serve;
pub mod state;
pub mod subnet;
mod telemetry;
pub mod verdicts;
pub mod weights;

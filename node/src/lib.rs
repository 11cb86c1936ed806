//! The Leoma validator.
//!
//! | room | subject |
//! |---|---|
//! | [`cli`] | the commands of the `leoma` binary |
//! | [`config`] | settings: one table, read in layers, parsed once |
//! | `preflight` | checks of a machine and its accounts before a start |
//! | `serve` | a running validator: opened, joined to the mesh, its loops, its HTTP server |
//! | [`subnet`] | the metagraph, the owner's allowlists, other validators' addresses |
//! | [`verdicts`] | verdict files of all validators: kept, fetched, attested |
//! | `sampler` | a task: its clip, the miners' answers, their verdicts |
//! | [`corpus`] | source videos with a proof of their origin |
//! | `miners` | which miners count: their commitment, chute and model |
//! | [`weights`] | the winner of an epoch, and its weights on chain |
//! | [`state`] | the database |
//! | `outbound` | requests to services outside the subnet |
//! | [`metrics`], `telemetry` | what Prometheus and the log are told |
//!
//! Beside it: `leoma-chain` (`chain/`) and `leoma-wallet` (`wallet/`).

pub mod cli;
pub mod config;
pub mod corpus;
pub mod metrics;
mod miners;
mod outbound;
mod preflight;
mod sampler;
mod serve;
pub mod state;
pub mod subnet;
mod telemetry;
pub mod verdicts;
pub mod weights;

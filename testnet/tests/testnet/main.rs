//! Everything that takes the local chain, its storage, services or programs, as one program.
//!
//! | modules | subject |
//! |---|---|
//! | `chain*` | the local chain, and clients that know nothing of this project |
//! | `storage`, `services`, `corpus`, `calibration` | S3, stand-ins, miners, clips, scores |
//! | `allowlists`, `axons`, `commands`, `preflight` | what validators and operators do on chain |
//! | `full_store` | what `leoma api` takes for a whole window |
//! | `bench_mesh`, `namespaces`, `nat` | the mesh on networks of this machine |
//! | `launch` | the launcher, around stand-ins for validators |
//! | `whole_subnet` | validators that mostly wait for blocks; they run beside the others |
//!
//! Tests marked `slow` run with `./test.sh --all` alone. Both programs must be built:
//! `cargo build --workspace --bins`, beside this one or in `LEOMA_BIN_DIR`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "test code")]

mod allowlists;
mod axons;
mod bench_mesh;
mod calibration;
mod chain;
mod chain_controls;
mod chain_pool;
mod chain_process;
mod chain_proxy;
mod chain_python;
mod chain_runtime;
mod chains;
mod cli;
mod commands;
mod corpus;
mod full_store;
mod launch;
mod namespaces;
mod nat;
mod preflight;
mod services;
mod storage;
mod whole_subnet;

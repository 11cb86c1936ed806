//! Checks of everything that a validator needs before it starts: key, chain nodes, subnet, buckets,
//! tools.
//!
//! | file | checks |
//! |---|---|
//! | `run.rs` | all of them, in order |
//! | `check.rs` | the outcome of a check |
//! | `hotkey.rs` | the hotkey's files |
//! | `endpoints.rs` | each configured chain node, and this machine's clock |
//! | `subnet.rs` | the hotkey's place on the subnet and on the allowlist |
//! | `weights.rs` | whether weights can be set |
//! | `mechanism.rs` | which mechanism is served, by which record, and the chain's limits for its weights |
//! | `asked.rs` | what a mechanism needs whose miners are asked through their axons |
//! | `witness.rs` | whether the chain can be told what we hold |
//! | `judge.rs` | the walls around decoders, and one real question to Gemini |
//! | `machine.rs` | configuration, buckets, keys of services, tools |
//! | `room.rs` | disk, memory, and the device that scores |
//! | `market.rs` | one real question to the oracle's feed |
//! | `services.rs` | one real question each to Chutes and Hugging Face |
//! | `addresses.rs` | where the validator listens and is reached, its folder of state |
//!
//! No check changes the chain. In the own bucket they leave the same small object as `leoma serve`.

mod addresses;
mod asked;
mod check;
mod endpoints;
mod hotkey;
mod judge;
mod limit;
mod machine;
mod market;
mod mechanism;
mod room;
mod run;
mod services;
mod subnet;
mod weights;
mod witness;

pub(crate) use check::CheckOutcome;
pub(crate) use hotkey::checks as hotkey_checks;
pub(crate) use run::run;

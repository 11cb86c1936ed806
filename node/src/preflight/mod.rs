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
//! | `machine.rs` | buckets, keys of services, tools |
//!
//! No check changes the chain. In the own bucket they leave the same small object as `leoma serve`.

mod check;
mod endpoints;
mod hotkey;
mod limit;
mod machine;
mod run;
mod subnet;
mod weights;

pub(crate) use check::CheckOutcome;
pub(crate) use hotkey::checks as hotkey_checks;
pub(crate) use run::run;

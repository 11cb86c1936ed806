//! What a validator needs before it starts, looked at piece by piece: key, chain nodes, subnet,
//! buckets, tools.
//!
//! | file | looks at |
//! |---|---|
//! | `run.rs` | everything, in order |
//! | `check.rs` | what a check says |
//! | `hotkey.rs` | the hotkey's files |
//! | `endpoints.rs` | each configured chain node, and this machine's clock |
//! | `subnet.rs` | the hotkey's place on the subnet and on the allowlist |
//! | `weights.rs` | what stands in the way of weights |
//! | `machine.rs` | buckets, keys of services, tools |
//!
//! Nothing here changes the chain. In the own bucket it leaves the small object that `leoma serve`
//! leaves there too.

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

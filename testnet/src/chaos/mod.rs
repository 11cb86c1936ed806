//! A subnet under seeded misfortune: `leoma-testnet chaos`.
//!
//! | part | file |
//! |---|---|
//! | the faults | `fault.rs` |
//! | the faults of each round, drawn from the seed alone | `schedule.rs` |
//! | rounds against real processes | `rounds.rs` |
//! | one fault: order it, look for its effect, end it | `ordered.rs` |
//! | strangers who attack the mesh | `strangers.rs`, `stranger.rs` |
//! | a validator that lies | `liar.rs` |
//! | the audit of the validators' books afterwards | `audit.rs` |
//! | the JSON | `report.rs` |
//!
//! A fault counts as fired when its effect was seen: a peer gone from a status page, a packet
//! dropped, a request that met an ordered answer. A run in which nothing fired shows nothing.

mod args;
mod audit;
mod fault;
mod liar;
mod ordered;
mod report;
mod rounds;
mod schedule;
mod stranger;
mod strangers;
mod tally;

pub use args::{ChaosArgs, run};
pub use audit::{Audit, EpochAudit, audit};
pub use fault::{Attack, Fault, FaultKind};
pub use report::{ChaosReport, FaultCount};

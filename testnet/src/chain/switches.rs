//! What can be switched while a chain runs.

use super::clock::Clock;

/// What can be switched while the chain runs.
#[derive(Debug)]
pub(super) struct Switches {
    pub(super) finality_lag: u32,
    pub(super) finality_stalled: bool,
    pub(super) production_stalled: bool,
    pub(super) clock: Clock,
    /// `spec_version` that the next block puts in force.
    pub(super) upgrade: Option<u32>,
    /// Final states that are kept; `None` keeps all.
    pub(super) kept_states: Option<u32>,
}

//! What can be switched while a chain runs.

use super::clock::Clock;
use node_subtensor_runtime::executor::Orders;

/// What can be switched while the chain runs.
#[derive(Debug)]
pub(super) struct Switches {
    pub(super) finality_lag: u32,
    pub(super) finality_stalled: bool,
    pub(super) production_stalled: bool,
    pub(super) clock: Clock,
    /// What happens in the next block.
    pub(super) orders: Orders,
    /// Final states that are kept; `None` keeps all.
    pub(super) kept_states: Option<u32>,
}

//! Setting weights.
//!
//! | file | subject |
//! |---|---|
//! | `witness.rs` | before each boundary we state on chain what we hold |
//! | `boundary.rs` | what an epoch takes from the chain |
//! | `epoch.rs` | each epoch is computed and decided |
//! | `failure.rs` | why an epoch's weights are not set, and whether it is tried again |
//! | `put.rs` | its weights are set, or committed to |
//! | `renew.rs` | weights on chain are sent again before we count as inactive |
//! | `reveal.rs` | what was committed is revealed |
//! | `on_chain.rs` | what each validator has on chain for an epoch |
//! | `compare.rs` | whether that is what the epoch's files lead to |
//! | `others.rs` | both, read a few times in each epoch for the pages |
//! | `spans.rs` | when witnesses are due, and how long other transactions may live |
//! | `slots.rs` | whether a slot still belongs to the hotkey that earned its weight |

mod boundary;
mod compare;
mod epoch;
mod failure;
mod on_chain;
mod others;
mod put;
mod renew;
mod reveal;
mod slots;
mod spans;
#[cfg(test)]
mod tests;
mod witness;

pub use boundary::{Boundary, limits_of, snapshot_of};
pub(crate) use compare::{Comparison, Expectation};
pub use epoch::WeightSetter;
pub use failure::EpochError;
pub(crate) use on_chain::{SetRow, what_validators_set};
pub(crate) use others::{Others, SeenWeights};
pub use put::{Progress, Target, WEIGHTS_VERSION, Weights, WeightsError, commit_hash};
pub use slots::ChangedSlot;
pub use spans::Spans;
pub use witness::{Held, HeldFiles, WitnessObstacle, Witnesses, witness_obstacle};

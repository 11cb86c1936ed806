//! Setting weights.
//!
//! | file | subject |
//! |---|---|
//! | `epoch.rs`, `kept_back.rs` | each epoch is computed and decided |
//! | `put.rs` | its weights are set, or committed to |
//! | `reveal.rs` | what was committed is revealed |
//! | `slots.rs` | whether a slot still belongs to the hotkey that earned its weight |

mod epoch;
mod kept_back;
mod put;
mod reveal;
mod slots;
#[cfg(test)]
mod tests;

pub use epoch::{EpochError, WeightSetter, snapshot_of};
pub use put::{Progress, Target, Weights, WeightsError, commit_hash};
pub use slots::ChangedSlot;

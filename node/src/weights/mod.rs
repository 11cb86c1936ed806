//! Weights: the winner of each epoch is decided, its weights are put on chain, and what was
//! committed is revealed.

mod epoch;
mod put;
mod reveal;

pub use epoch::{EpochError, WeightSetter, snapshot_of};
pub use put::{Progress, Target, Weights, WeightsError, commit_hash};

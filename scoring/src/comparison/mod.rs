//! One answer against its source clip: the raw numbers, before any policy turns them into scores.

pub(crate) mod block_sums;
mod challenge;
pub(crate) mod clip_features;
pub(crate) mod course;
pub(crate) mod measures;
pub(crate) mod opponents;
pub(crate) mod replayed;
pub(crate) mod resample;

pub use challenge::Challenge;
pub use measures::Measures;

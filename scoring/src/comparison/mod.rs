//! One answer against its source clip: the raw numbers, before any policy turns them into scores.

pub(crate) mod block_sums;
pub(crate) mod clip_features;
pub(crate) mod compare;
pub(crate) mod resample;

pub use compare::Measures;

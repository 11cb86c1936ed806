//! Transactions: how they are encoded, sent and refused.

mod call;
mod log;
pub(crate) mod rejection;
mod submission;

pub use call::{Call, ChainWeights};
pub use log::{MemoryLog, Pending, TransactionLog};
pub use rejection::{Rejection, Remedy};

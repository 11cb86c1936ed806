//! The chain: final blocks, the subnet at a block, what it demands of weights, and the few transactions a validator makes.
//!
//! | file | subject |
//! |---|---|
//! | `endpoint.rs` | [`Chain`], what one node is asked for, and [`Endpoint`], a node behind subxt |
//! | `client.rs` | [`ChainClient`]: one or several of them, with failover and a check on each other |
//! | `call.rs` | transactions by their names |
//! | `submission.rs` | one transaction at a time, and none twice |
//! | `error.rs` | what can go wrong, and what to do then |
//! | `metagraph.rs`, `commitments.rs`, `hyperparameters.rs`, `registration.rs` | what is read |
//!
//! Everything is keyed by name and decoded by the metadata of the block it is read at, so an upgrade that renumbers pallets
//! or errors changes nothing here. Consensus reads take a block hash; nothing that validators must agree on is read at
//! "now".

mod call;
mod client;
mod commitments;
mod endpoint;
mod error;
mod hyperparameters;
mod metagraph;
mod registration;
mod submission;

use std::time::Duration;

use leoma_protocol::{BlockNumber, Digest};

pub use call::{Call, WeightVector};
pub use client::ChainClient;
pub use commitments::{Commitment, CommitmentDecodeError, decode_registration, encode_text_fields};
pub use endpoint::{Chain, Endpoint, HashCommit, Nonces, Signed, TimelockedCommit};
pub use error::{ChainError, Rejection, Remedy, SubmitError};
pub use hyperparameters::{Hyperparameters, SubnetEpoch, WeightMode};
pub use metagraph::{Axon, Metagraph, Neuron};
pub use submission::{MemoryLog, Pending, TransactionLog};

/// Longest wait for one answer of a node, reconnecting included.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A block that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: Digest,
}

//! The chain: final blocks, the subnet at a block, what it demands of weights, and the few
//! transactions a validator makes.
//!
//! | file | subject |
//! |---|---|
//! | `endpoint.rs` | [`Chain`], what one node is asked for, and [`Endpoint`], a node behind subxt |
//! | `client.rs` | [`ChainClient`]: one or several of them, with failover and a check on each other |
//! | `member.rs` | one of them: its connection, its head, its failures |
//! | `heads.rs` | following the newest final block on all of them |
//! | `call.rs` | transactions by their names |
//! | `entries.rs` | entries of storage by their names |
//! | `submission.rs` | one transaction at a time, and none twice |
//! | `error.rs`, `rejection.rs` | what can go wrong, and what helps |
//! | `metagraph.rs`, `commitments.rs`, `hyperparameters.rs`, `registration.rs` | what is read |
//!
//! Everything is keyed by name and decoded by the metadata of the block it is read at, so an
//! upgrade that renumbers pallets or errors changes nothing here. Consensus reads take a block
//! hash; nothing that validators must agree on is read at "now".

mod call;
mod client;
mod commitments;
#[cfg(test)]
mod conformance;
mod endpoint;
mod entries;
mod error;
mod heads;
mod hyperparameters;
mod member;
mod metagraph;
mod registration;
mod rejection;
mod submission;

use std::time::Duration;

use leoma_protocol::{BlockNumber, Digest};

pub use call::{Call, WeightVector};
pub use client::ChainClient;
pub use commitments::{Commitment, CommitmentDecodeError, decode_registration, encode_text_fields};
pub use endpoint::{Chain, Endpoint, HashCommit, Nonces, Signed, TimelockedCommit};
pub use error::{ChainError, SubmitError, causes};
pub use hyperparameters::{Hyperparameters, SubnetEpoch, WeightMode};
pub use member::EndpointStatus;
pub use metagraph::{Axon, Metagraph, Neuron};
pub use rejection::{Rejection, Remedy};
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

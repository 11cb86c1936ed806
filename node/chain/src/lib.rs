//! The chain: final blocks, the subnet at a block, and the few transactions that validators, miners
//! and the subnet's owner make.
//!
//! | folder or file | subject |
//! |---|---|
//! | `endpoint/` | [`ChainClient`]: one or several nodes, with failover and cross-checks |
//! | `read/` | what is read at a block: metagraph, commitments, hyperparameters, costs |
//! | `submit/` | transactions: one at a time, and none twice |
//! | `beacon.rs` | encryption of weights to a round of drand |
//! | `error.rs` | what can go wrong |
//! | `conformance/` | tests against the live chain's metadata |
//!
//! Pallets, calls and storage are named, never numbered, and decoded by the metadata of the block,
//! so an upgrade that renumbers them changes nothing here. Consensus reads take a block hash:
//! nothing that validators must agree on is read at the newest block.

mod beacon;
#[cfg(test)]
mod conformance;
mod endpoint;
mod error;
mod head;
mod read;
mod settings;
mod submit;

pub use beacon::{Beacon, SealError};
pub use endpoint::{
    Chain, ChainClient, Connector, Endpoint, EndpointStatus, HashCommit, Nonces, Signed,
    TimelockedCommit, without_keys,
};
pub use error::{ChainError, SubmitError, causes};
pub use head::Head;
pub use read::{
    Axon, Commitment, CommitmentDecodeError, Hyperparameters, Metagraph, Neuron, PlainCommitment,
    SubnetEpoch, UnreadableCommitment, WeightMode, decode_registration, encode_text_fields,
};
pub use settings::ChainSettings;
pub use submit::{Call, ChainWeights, MemoryLog, Pending, Rejection, Remedy, TransactionLog};

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
    Axon, Commitment, CommitmentDecodeError, Hyperparameters, Metagraph, Neuron, SubnetEpoch,
    WeightMode, decode_registration, encode_text_fields,
};
pub use settings::ChainSettings;
pub use submit::{Call, ChainWeights, MemoryLog, Pending, Rejection, Remedy, TransactionLog};

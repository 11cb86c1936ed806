//! What is read from the chain at a block.

mod commitments;
pub(crate) mod entries;
pub(crate) mod hyperparameters;
pub(crate) mod metagraph;
pub(crate) mod registration;
mod reveals;
pub(crate) mod values;

pub use commitments::{
    Commitment, CommitmentDecodeError, PlainCommitment, UnreadableCommitment, decode_registration,
    encode_text_fields,
};
pub use hyperparameters::{Hyperparameters, SubnetEpoch, WeightMode};
pub use metagraph::{Axon, Metagraph, Neuron};

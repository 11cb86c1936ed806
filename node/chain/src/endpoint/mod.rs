//! The nodes that the chain is reached through.

mod address;
mod client;
mod heads;
mod member;
mod node;
mod source;

pub use address::without_keys;
pub use client::ChainClient;
pub use member::{Connector, EndpointStatus};
#[cfg(test)]
pub(crate) use node::ChainSigner;
pub use node::Endpoint;
pub use source::{Chain, HashCommit, Nonces, Signed, TimelockedCommit};

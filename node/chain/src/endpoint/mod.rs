//! The nodes that the chain is reached through.

mod address;
mod client;
#[cfg(test)]
mod double;
mod heads;
#[cfg(test)]
mod manners;
mod member;
mod node;
mod pace;
mod source;

pub use address::without_keys;
pub use client::ChainClient;
pub use member::{Connector, EndpointStatus};
#[cfg(test)]
pub(crate) use node::ChainSigner;
pub use node::Endpoint;
pub use source::{Chain, HashCommit, Nonces, Signed, TimelockedCommit};

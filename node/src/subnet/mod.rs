//! The subnet: its metagraph, the owner's allowlists, and the addresses of other validators.

pub mod allowlists;
mod axons;
mod boundary;
mod reader;

pub use axons::{Axons, axon_of};
pub use boundary::AllowlistsAt;
pub use reader::{Subnet, SubnetError, SubnetReader, allowlist_of, committed_allowlist};

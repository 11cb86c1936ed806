//! A local Subtensor chain: one process that makes blocks, keeps them in a folder and speaks Substrate's JSON-RPC.
//!
//! | file | subject |
//! |---|---|
//! | `drand.rs` | the randomness beacon |
//! | `journal.rs` | the append-only file of blocks and trie nodes |
//! | `ledger.rs` | blocks by number and hash, state at each of them |
//! | `pool.rs` | transactions that wait for a block |
//! | `producer.rs` | the clock that makes blocks |
//! | `rpc/` | the JSON-RPC server |
//! | `emissions.rs` | what everyone earned, read from a chain that runs |
//!
//! There is one node and no fork: a block is final when it is stored, and the best head is the finalized head.

mod command;
mod drand;
mod emissions;
mod error;
mod journal;
mod ledger;
mod node;
mod pool;
mod producer;
mod rpc;

pub use command::{Args, run};
pub use drand::beacon_public_key;
pub use emissions::{Emissions, EmissionsArgs, EmissionsError, NeuronEmission};
pub use error::ChainError;
pub use node::{ChainConfig, ChainHandle, spawn};
pub use node_subtensor_runtime::{Endowment, Genesis as GenesisConfig, GenesisError, NeuronGenesis, SubnetGenesis};

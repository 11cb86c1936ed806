//! A local Subtensor chain: one process that makes blocks, keeps them in a folder and speaks
//! Substrate's JSON-RPC.
//!
//! | file | subject |
//! |---|---|
//! | `drand.rs` | the randomness beacon |
//! | `journal.rs` | the append-only file of records |
//! | `records.rs` | what a record says |
//! | `entries.rs` | the best chain, its forks and what of it is final |
//! | `ledger.rs` | blocks by number and hash, state at each of them |
//! | `pruning.rs` | forgetting old states |
//! | `pool.rs` | transactions on their way to finality |
//! | `clock.rs` | chain time |
//! | `producer.rs` | making blocks and forks |
//! | `control.rs` | steering: time travel and faults |
//! | `switches.rs`, `shared.rs` | what is switched, and what all parts share |
//! | `rpc/` | the JSON-RPC server |
//! | `emissions.rs` | what everyone earned, read from a chain that runs |
//! | `proxy*.rs` | a faulty endpoint in front of a chain, and its lies |
//! | `command.rs`, `travel.rs`, `bench.rs` | the command line |
//!
//! There is one node. Unless told otherwise a block is final when it is stored; with a finality
//! lag, or while finality is stalled, the newest blocks can be replaced by a fork, which only
//! happens on demand.

mod bench;
mod clock;
mod command;
mod control;
mod drand;
mod emissions;
mod entries;
mod error;
mod journal;
mod ledger;
mod node;
mod pool;
mod producer;
mod proxy;
mod proxy_content;
mod proxy_faults;
mod pruning;
mod records;
mod rpc;
mod shared;
mod switches;
mod travel;

pub use command::{Args, run};
pub use control::{ControlError, Controls, Head, Heads, MAX_GROWTH, MAX_REORG};
pub use drand::beacon_public_key;
pub use emissions::{Emissions, EmissionsError, NeuronEmission};
pub use error::ChainError;
pub use node::{ChainConfig, ChainHandle, spawn};
pub use node_subtensor_runtime::{
    Endowment, Genesis as GenesisConfig, GenesisError, NeuronGenesis, SubnetGenesis,
};
pub use proxy::{FaultProxy, Traffic};
pub(crate) use pruning::DEFAULT_KEPT_STATES;
pub use travel::snapshot;

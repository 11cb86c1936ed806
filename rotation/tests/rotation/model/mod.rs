//! A model of a whole subnet for the agreement rule: a chain that everybody reads late, a mesh that
//! can be cut, validators that follow the rules, and liars that do not. Time is the block; nothing
//! else moves it, and everything random follows from a seed.
//!
//! | part | what it models |
//! |---|---|
//! | `plan.rs` | what a seed sets up: sizes, liars, faults and when they end |
//! | `chain.rs` | commitments with their inclusion blocks, allowlists, state at a block, forks |
//! | `honest.rs` | producing, fetching, attesting, witnessing, computing: by the crate's functions |
//! | `liars.rs` | two files, late files, late votes, false witnesses, evidence after the boundary |
//! | `mutation.rs` | the rule with one part changed, to see that the checks notice |
//! | `state.rs` | everything there is in a run |
//! | `world.rs` | the loop over blocks, the faults, and the checks |
//!
//! Liars know everything, reach everybody through any cut, and choose the block in which their
//! transactions are included. They cannot sign for others. At most f of any list are liars.

mod chain;
mod honest;
mod liars;
mod mutation;
mod plan;
mod random;
mod state;
mod world;

pub(crate) use mutation::Mutation;
pub(crate) use world::{Report, Violation, World};

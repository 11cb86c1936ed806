//! Sampling: on our turn, have the mechanism ask and judge every admitted miner, and publish the
//! verdicts.
//!
//! | file | subject |
//! |---|---|
//! | `turns.rs` | which tasks are ours, and when they are tried |
//! | `turn.rs` | one task from its seed to its signed file |
//! | `budget.rs` | how many blocks it has |
//! | `drafts.rs` | signing, so that a crash leaves the task signable |
//! | `publish.rs` | announcing, uploading |
//!
//! What a task is about is in `mechanism/`.

pub(crate) mod budget;
mod drafts;
mod parts;
mod publish;
mod turn;
mod turns;

pub(crate) use parts::Sampler;
pub(crate) use publish::Publisher;

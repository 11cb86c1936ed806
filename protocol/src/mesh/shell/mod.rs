//! The mesh's task: hands the core what libp2p reports, and carries out what the core decides.
//!
//! | subject | file |
//! |---|---|
//! | starting, the loop, stopping | `run.rs` |
//! | the state, and feeding the core | `state.rs` |
//! | what libp2p reports | `events.rs`, `exchanges.rs` |
//! | what the core wants done | `effects.rs` |
//! | what the validator asks for | `commands.rs` |
//! | direct and relayed connections to a peer | `connections.rs`, `punching.rs` |
//! | events that wait for the validator | `backlog.rs` |
//! | verdict files held for peers | `held.rs` |

mod backlog;
mod commands;
mod connections;
mod effects;
mod events;
mod exchanges;
mod held;
mod punching;
mod run;
mod state;

pub use run::Mesh;

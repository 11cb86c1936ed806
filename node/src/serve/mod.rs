//! A running validator, in four stages.
//!
//! | stage | file |
//! |---|---|
//! | open everything it works with | `open.rs` |
//! | join the mesh | `mesh.rs` |
//! | start the loops | `loops.rs`, those of the mechanism `plugs.rs` |
//! | watch the loops, and end all when one ends | `supervise.rs` |
//!
//! What pages and the API show is in `shown/`, and `alone.rs` shows it
//! without a validator; `stopping.rs` says when a stop costs nothing.
//!
//! HTTP answers from the first moment: until the loops run, `/readyz` names the step of the start
//! that is running.

mod alone;
mod loops;
mod mesh;
mod open;
mod parts;
mod plugs;
mod run;
mod shown;
mod status;
mod stopping;
mod supervise;

pub(crate) use alone::serve_api;
pub(crate) use parts::Parts;
pub(crate) use run::serve;

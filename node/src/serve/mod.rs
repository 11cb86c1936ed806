//! A running validator, in four stages.
//!
//! | stage | file |
//! |---|---|
//! | open everything it works with | `open.rs` |
//! | join the mesh | `mesh.rs` |
//! | start the loops | `loops.rs` |
//! | watch the loops, and end all when one ends | `supervise.rs` |
//!
//! HTTP answers from the first moment: until the loops run, `/readyz` names the step of the start
//! that is running.

mod loops;
mod mesh;
mod open;
mod parts;
mod run;
mod status;
mod supervise;

pub(crate) use parts::Parts;
pub(crate) use run::serve;

//! A running validator, in four stages.
//!
//! | stage | file |
//! |---|---|
//! | everything that it works with is opened | `open.rs` |
//! | the mesh is joined | `mesh.rs` |
//! | the loops are started | `loops.rs` |
//! | the loops are watched, and end together | `supervise.rs` |
//!
//! HTTP answers from the first moment: `/readyz` names the step that the start has reached, and
//! shows `status.rs` once the loops run.

mod loops;
mod mesh;
mod open;
mod parts;
mod run;
mod status;
mod supervise;

pub(crate) use parts::Parts;
pub(crate) use run::serve;

//! What a validator serves over HTTP. It knows nothing of the validator itself: whatever it shows
//! comes from a [`Source`].

mod server;
mod source;

pub use server::{ListenError, bind, serve};
pub use source::{Progress, ReadyCheck, Source, Start};

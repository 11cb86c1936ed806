//! Miners that answer with real videos: honest good ones, honest worse ones, and cheats.
//!
//! A miner gets a first frame and a prompt, as in production. It finds the source clip with that
//! frame, and encodes those five seconds again with the defects of its role.
//!
//! Videos on a local subnet are small: four validators, their judges and all models share a machine.

mod cast;
mod clips;
mod error;
mod render;
mod serve;

pub(crate) use cast::cast;
pub use cast::{Expected, Role};
pub use clips::{ClipIndex, ClipMatch};
pub(crate) use error::CLIP_FRAMES;
pub use error::MinerError;
use error::Result;
pub use render::Renderer;
pub use serve::{Miner, router};

/// Width and height of a video, as the local subnet's validators ask for.
pub const VIDEO: (u32, u32) = (416, 240);

//! Miners that answer with real videos: honest good ones, honest worse ones, and cheats.
//!
//! A miner gets a first frame and a prompt, as in production. It finds the source clip with that
//! frame. An honest one then goes its own way through the scene of that clip, which is kept beside
//! it; a cheat uses what it knows. A clip of the operator's has no known scene, and all that a
//! stand-in can do is to bend it.
//!
//! | file | holds |
//! |---|---|
//! | `cast` | the roles, and how a verdict has to name each |
//! | `recipe` | what each role's video is made of |
//! | `courses` | honest ways through a scene, kept on disk |
//! | `render` | the videos, a few at a time |
//! | `clips` | which clip a picture is from |
//! | `serve` | the endpoint |

mod cast;
mod clips;
mod courses;
mod error;
mod recipe;
mod render;
mod serve;

pub(crate) use cast::cast;
pub use cast::{Expected, Role};
pub use clips::{ClipIndex, ClipMatch};
pub use error::MinerError;
use error::Result;
pub use render::Renderer;
pub(crate) use render::prepare;
pub use serve::{Miner, router};

pub use crate::corpus::VIDEO;

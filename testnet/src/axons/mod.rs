//! Miners that are asked through their axons: `leoma-testnet axons`.
//!
//! Each has a real, strict axon at an address of its own, announces it on the local chain, and
//! answers in the way of its kind: honestly, slowly, badly, or as a cheat. Here are those of the
//! mechanism motion; those of the oracle are in `forecasters/`.
//!
//! | file | subject |
//! |---|---|
//! | `dancer.rs` | the kinds of miners, and what a verdict has to say of each |
//! | `clips.rs` | the challenges: moving skeletons and their sound, drawn from a seed |
//! | `skeleton.rs` | a skeleton as a BVH file |
//! | `answers.rs` | what each kind answers |
//! | `serve.rs` | the axons themselves |
//! | `args.rs` | the command |

mod answers;
mod args;
mod clips;
mod dancer;
mod serve;
mod skeleton;

pub use args::{AxonEntry, AxonsArgs, AxonsConfig, AxonsReport};
pub use clips::{CLIPS, MotionClip, clips};
pub(crate) use dancer::dancers;
pub use dancer::{Dancer, Place};
pub use serve::AxonsError;

//! Motion of a skeleton: reading a stranger's BVH file, where its joints are in each frame, and how
//! far that is from a reference. Pure functions.
//!
//! | file | subject |
//! |---|---|
//! | `bvh.rs` | a file: its skeleton, its channels and its frames, all bounded |
//! | `words.rs`, `fault.rs` | its words, and what is wrong with them |
//! | `pose.rs` | forward kinematics |
//! | `score.rs` | the distance of two clips, and what an answer is worth |
//!
//! ```
//! use leoma_scoring::motion::{Bvh, clip_of_answer, clip_of_reference, distance, value};
//!
//! let reference = std::fs::read("../vectors/motion/ref.bvh")?;
//! let answer = std::fs::read("../vectors/motion/bent.bvh")?;
//! let reference = clip_of_reference(&Bvh::parse(&reference)?)?;
//! let answer = clip_of_answer(&Bvh::parse(&answer)?)?;
//! let found = distance(&answer, &reference);
//! assert!((found - 58.683_545_885_856_72).abs() < 1e-9);
//! assert!(value(Some(found), 3.0) < value(Some(0.0), 3.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bvh;
mod fault;
mod pose;
mod score;
#[cfg(test)]
mod tests;
mod words;

pub use bvh::Bvh;
pub use fault::{BvhError, MAX_BVH_BYTES, MAX_FRAMES, MAX_JOINTS};
pub use pose::{Clip, Point};
pub use score::{
    JOINTS, LONGEST_SECONDS, MAX_DISTANCE, clip_of_answer, clip_of_reference, correctness,
    distance, speed, value,
};

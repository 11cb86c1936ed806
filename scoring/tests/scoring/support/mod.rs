//! What several tests need.

#[cfg(feature = "vulkan")]
pub(crate) mod lavapipe;
pub(crate) mod pictures;
mod studio;
pub(crate) mod weights;

pub(crate) use studio::{Studio, ffmpeg};

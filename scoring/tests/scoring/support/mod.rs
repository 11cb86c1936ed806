//! What several tests need.

use burn_flex::FlexDevice;

#[cfg(feature = "vulkan")]
pub(crate) mod lavapipe;
pub(crate) mod pictures;
mod studio;
pub(crate) mod weights;

pub(crate) use studio::{Studio, ffmpeg};

/// The CPU as burn names it.
pub(crate) fn cpu() -> FlexDevice {
    FlexDevice
}

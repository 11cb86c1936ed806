//! What several tests need.

use burn::DispatchDevice;
use burn::backend::flex::FlexDevice;

pub(crate) mod lavapipe;
pub(crate) mod pictures;
mod studio;
pub(crate) mod weights;

pub(crate) use studio::{Studio, ffmpeg};

/// The CPU as a device of burn's `Dispatch`, whose operations are compiled once, in burn. Those of
/// the backend itself would be compiled anew in this program.
pub(crate) fn cpu() -> DispatchDevice {
    DispatchDevice::Flex(FlexDevice)
}

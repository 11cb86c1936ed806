//! Where the arithmetic runs, and how values get there and back.

mod cuda;
pub(crate) mod transfer;

pub(crate) use cuda::Engine;
pub use cuda::{Device, DeviceChoice, DeviceFault};

//! Where the arithmetic runs, and how values get there and back.

mod cuda;
pub(crate) mod transfer;

pub(crate) use cuda::on_backend;
pub use cuda::{Device, DeviceChoice, DeviceFault};

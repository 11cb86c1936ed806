//! Where the arithmetic runs, and how values get there and back.

mod choice;
mod cuda;
pub(crate) mod transfer;

pub use choice::{Device, DeviceChoice, DeviceFault};
pub(crate) use cuda::on_backend;
pub use transfer::Transfers;

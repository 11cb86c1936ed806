//! Where the arithmetic runs, and how values get there and back.

mod choice;
mod cuda;
pub(crate) mod transfer;

use burn::tensor::backend::Backend;
use std::any::TypeId;

/// Whether a backend's tensors are the CPU's: what is quick there is slow on a device, and the
/// other way round.
pub(crate) fn is_cpu<B: Backend>() -> bool {
    TypeId::of::<B>() == TypeId::of::<burn_flex::Flex>()
}

pub use choice::{Device, DeviceChoice, DeviceFault};
pub(crate) use cuda::on_backend;
pub use transfer::Transfers;

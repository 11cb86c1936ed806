//! Where the arithmetic runs: one binary, chosen at start.

use burn::backend::cuda::CudaDevice;
use burn::backend::flex::FlexDevice;
use burn::{Dispatch, DispatchDevice};
use std::fmt;
use std::str::FromStr;

/// What the operator asks for with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A CUDA device where there is a usable one, else the CPU.
    #[default]
    Auto,
    /// A CUDA device, or refuse to start.
    Cuda,
    /// The CPU.
    Cpu,
}

impl FromStr for DeviceChoice {
    type Err = DeviceFault;

    fn from_str(text: &str) -> Result<Self, DeviceFault> {
        match text {
            "auto" => Ok(Self::Auto),
            "cuda" => Ok(Self::Cuda),
            "cpu" => Ok(Self::Cpu),
            _ => Err(DeviceFault::UnknownChoice { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        })
    }
}

/// Where the arithmetic runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The fused loops of [`crate::metrics::Host`]; tensors, where there are any, on burn's `Flex` backend.
    Cpu,
    /// burn's `Cuda` backend.
    Cuda {
        /// Which device, counted by the driver from 0.
        index: usize,
    },
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { index } => write!(f, "cuda:{index}"),
        }
    }
}

/// Why a device cannot be used. Always this machine's matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFault {
    /// Not one of the three words.
    #[error("unknown device {text:?}: expected auto, cuda or cpu")]
    UnknownChoice {
        /// What was given.
        text: String,
    },
    /// No CUDA driver.
    #[error("no CUDA device: the driver library libcuda is not installed")]
    NoDriver,
    /// No run-time compiler for kernels.
    #[error("no usable CUDA device: the kernel compiler library libnvrtc is not installed")]
    NoCompiler,
    /// The driver is there and does not answer.
    #[error("no CUDA device: the driver answered {reason}")]
    Driver {
        /// The driver's own word.
        reason: String,
    },
    /// The driver knows no device.
    #[error("no CUDA device: the driver sees none (is CUDA_VISIBLE_DEVICES set?)")]
    NoDevice,
    /// A first small computation failed or was wrong.
    #[error("the device {device} failed its first computation: {reason}")]
    Broken {
        /// The device.
        device: Device,
        /// What it did.
        reason: String,
    },
}

/// burn's backend that sends each operation to the device of its tensors. Its default device is CUDA, present or not, so
/// every tensor here names its device.
pub(crate) type Engine = Dispatch;

impl Device {
    /// The device as tensors know it.
    pub(crate) fn handle(self) -> DispatchDevice {
        match self {
            Self::Cpu => DispatchDevice::Flex(FlexDevice),
            Self::Cuda { index } => DispatchDevice::Cuda(CudaDevice { index }),
        }
    }

    /// Turns the operator's choice into a device, asking the driver first: burn's CUDA backend panics without one.
    ///
    /// # Errors
    /// `Cuda` was asked for and is not usable. `Auto` falls back to the CPU instead and logs why.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceFault> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::Cpu),
            DeviceChoice::Cuda => Self::open_cuda(),
            DeviceChoice::Auto => Ok(Self::open_cuda().unwrap_or_else(|fault| {
                tracing::info!(reason = %fault, "scoring on the cpu");
                Self::Cpu
            })),
        }
    }

    fn open_cuda() -> Result<Self, DeviceFault> {
        if count_cuda_devices()? == 0 {
            return Err(DeviceFault::NoDevice);
        }
        let device = Self::Cuda { index: 0 };
        first_computation(&device.handle()).map_err(|reason| DeviceFault::Broken { device, reason })?;
        Ok(device)
    }
}

/// How many CUDA devices can be used here.
///
/// # Errors
/// The driver or the kernel compiler is missing, or the driver does not answer.
pub fn count_cuda_devices() -> Result<usize, DeviceFault> {
    // SAFETY: both functions only try to load a shared library by name.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    if !driver {
        return Err(DeviceFault::NoDriver);
    }
    if !compiler {
        return Err(DeviceFault::NoCompiler);
    }
    let count = cudarc::driver::CudaContext::device_count()
        .map_err(|error| DeviceFault::Driver { reason: format!("{error:?}") })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Compiles and runs one kernel. A panic inside the backend is caught here, once, so that it cannot surprise later.
fn first_computation(device: &DispatchDevice) -> Result<(), String> {
    let sum = std::panic::catch_unwind(|| {
        let ones = burn::tensor::Tensor::<Engine, 1>::ones([1000], device);
        crate::tensors::read((ones * 3.0).sum())
    });
    match sum {
        Ok(values) if values == [3000.0] => Ok(()),
        Ok(values) => Err(format!("1000 times 3 gave {values:?}")),
        Err(_) => Err("the CUDA backend panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_printed_alike() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cuda, DeviceChoice::Cpu] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let error = "gpu".parse::<DeviceChoice>().unwrap_err();
        assert_eq!(error.to_string(), "unknown device \"gpu\": expected auto, cuda or cpu");
    }

    #[test]
    fn a_machine_without_a_driver_gets_the_cpu_or_a_reason_and_never_a_panic() {
        match count_cuda_devices() {
            Ok(count) if count > 0 => println!("skipped: this machine has {count} CUDA devices"),
            _ => {
                assert_eq!(Device::open(DeviceChoice::Auto), Ok(Device::Cpu));
                assert!(Device::open(DeviceChoice::Cuda).unwrap_err().to_string().contains("CUDA device"));
            }
        }
    }
}

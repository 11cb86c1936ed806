//! Which device computes, as the operator chooses it with `--device`.

use std::fmt;
use std::str::FromStr;

/// What the operator asks for with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// Every usable CUDA device, or the CPU where there is none.
    #[default]
    Auto,
    /// CUDA, or refuse to start.
    Cuda {
        /// Only this device, by the driver's number from 0; `None` means all of them.
        index: Option<usize>,
    },
    /// The CPU.
    Cpu,
}

impl FromStr for DeviceChoice {
    type Err = DeviceFault;

    fn from_str(text: &str) -> Result<Self, DeviceFault> {
        let unknown = || DeviceFault::UnknownChoice { text: text.to_owned() };
        match text {
            "auto" => Ok(Self::Auto),
            "cuda" => Ok(Self::Cuda { index: None }),
            "cpu" => Ok(Self::Cpu),
            _ => {
                let digits = text
                    .strip_prefix("cuda:")
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
                let index = digits.and_then(|digits| digits.parse().ok()).ok_or_else(unknown)?;
                Ok(Self::Cuda { index: Some(index) })
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cuda { index: None } => f.write_str("cuda"),
            Self::Cuda { index: Some(index) } => write!(f, "cuda:{index}"),
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

/// A device that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU: the fused loops of [`crate::metrics::Host`], and burn's `Flex` backend for tensors.
    Cpu,
    /// A GPU, through burn's `Cuda` backend.
    Cuda {
        /// The driver's number of it, from 0.
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

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFault {
    /// The choice is not an accepted word.
    #[error("unknown device {text:?}: expected auto, cuda, cuda:N or cpu")]
    UnknownChoice {
        /// The text as given.
        text: String,
    },
    /// The program was built without CUDA.
    #[error("no CUDA device: this program was built without the feature \"cuda\"")]
    NotBuilt,
    /// There is no CUDA driver.
    #[error("no CUDA device: the driver library libcuda is not installed")]
    NoDriver,
    /// There is no run-time compiler for kernels.
    #[error("no usable CUDA device: the kernel compiler library libnvrtc is not installed")]
    NoCompiler,
    /// The driver reported an error.
    #[error("no CUDA device: the driver answered {reason}")]
    Driver {
        /// The driver's error code.
        reason: String,
    },
    /// The driver reports no device.
    #[error("no CUDA device: the driver sees none (is CUDA_VISIBLE_DEVICES set?)")]
    NoDevice,
    /// The driver reports fewer devices.
    #[error("no device cuda:{index}: the driver sees {count}, counted from 0")]
    NoSuchDevice {
        /// The number that was asked for.
        index: usize,
        /// How many devices there are.
        count: usize,
    },
    /// A small first computation failed or gave a wrong result.
    #[error("the device {device} failed its first computation: {reason}")]
    Broken {
        /// The device.
        device: Device,
        /// What happened.
        reason: String,
    },
}

impl From<Device> for DeviceChoice {
    /// This device and no other.
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda { index } => Self::Cuda { index: Some(index) },
        }
    }
}

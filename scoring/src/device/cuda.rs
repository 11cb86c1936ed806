//! Where the arithmetic runs: one binary, chosen at start.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;

use burn::tensor::backend::Backend;

/// What the operator asks for with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A CUDA device where there is a usable one, else the CPU.
    #[default]
    Auto,
    /// CUDA, or refuse to start.
    Cuda {
        /// Only this device, counted by the driver from 0; without it every one there is.
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

/// Where the arithmetic runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The fused loops of [`crate::metrics::Host`]; tensors, where there are any, on burn's `Flex`
    /// backend.
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
    /// Not one of the words.
    #[error("unknown device {text:?}: expected auto, cuda, cuda:N or cpu")]
    UnknownChoice {
        /// What was given.
        text: String,
    },
    /// The program was built without it.
    #[error("no CUDA device: this program was built without the feature \"cuda\"")]
    NotBuilt,
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
    /// There are fewer.
    #[error("no device cuda:{index}: the driver sees {count}, counted from 0")]
    NoSuchDevice {
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A first small computation failed or was wrong.
    #[error("the device {device} failed its first computation: {reason}")]
    Broken {
        /// The device.
        device: Device,
        /// What it did.
        reason: String,
    },
}

/// Evaluates an expression with burn's backend for a [`Device`], under the name `$backend`, and
/// with that backend's own device, under the name `$handle`.
macro_rules! on_backend {
    ($device:expr, $backend:ident, $handle:ident => $work:expr) => {
        match $device {
            $crate::device::Device::Cpu => {
                type $backend = ::burn_flex::Flex;
                let $handle = ::burn_flex::FlexDevice;
                $work
            }
            #[cfg(feature = "cuda")]
            $crate::device::Device::Cuda { index } => {
                type $backend = ::burn_cuda::Cuda;
                let $handle = ::burn_cuda::CudaDevice { index };
                $work
            }
            #[cfg(not(feature = "cuda"))]
            $crate::device::Device::Cuda { .. } => {
                unreachable!("a program that was built without CUDA opens no CUDA device")
            }
        }
    };
}
pub(crate) use on_backend;

impl Device {
    /// Turns the operator's choice into a device and lets it compute something, asking the driver
    /// first: burn's CUDA backend panics without one. Of several devices it is the first;
    /// [`Device::list`] names all.
    ///
    /// # Errors
    /// CUDA was asked for and is not usable. `Auto` falls back to the CPU instead and logs why.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceFault> {
        let opened = Self::list(choice).and_then(|devices| {
            let first = devices.first().copied().ok_or(DeviceFault::NoDevice)?;
            first.compute_first().map(|()| first)
        });
        match (opened, choice) {
            (Err(fault), DeviceChoice::Auto) => {
                tracing::info!(reason = %fault, "scoring on the cpu");
                Ok(Self::Cpu)
            }
            (opened, _) => opened,
        }
    }

    /// The devices that a choice stands for, never none. The driver is asked how many there are;
    /// none of them is used.
    ///
    /// # Errors
    /// CUDA was asked for and is not usable, or not that device. `Auto` falls back to the CPU
    /// instead and logs why.
    pub fn list(choice: DeviceChoice) -> Result<Vec<Self>, DeviceFault> {
        match (choice, list_cuda(choice)) {
            (DeviceChoice::Cpu, _) => Ok(vec![Self::Cpu]),
            (DeviceChoice::Auto, Err(fault)) => {
                tracing::info!(reason = %fault, "scoring on the cpu");
                Ok(vec![Self::Cpu])
            }
            (_, devices) => devices,
        }
    }

    fn compute_first(self) -> Result<(), DeviceFault> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda { .. } => on_backend!(self, B, handle => first_computation::<B>(&handle))
                .map_err(|reason| DeviceFault::Broken { device: self, reason }),
        }
    }
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

fn list_cuda(choice: DeviceChoice) -> Result<Vec<Device>, DeviceFault> {
    if choice == DeviceChoice::Cpu {
        return Ok(Vec::new());
    }
    choose(choice, count_cuda_devices()?)
}

/// Of `count` devices those that the choice names.
fn choose(choice: DeviceChoice, count: usize) -> Result<Vec<Device>, DeviceFault> {
    match choice {
        _ if count == 0 => Err(DeviceFault::NoDevice),
        DeviceChoice::Cuda { index: Some(index) } if index >= count => {
            Err(DeviceFault::NoSuchDevice { index, count })
        }
        DeviceChoice::Cuda { index: Some(index) } => Ok(vec![Device::Cuda { index }]),
        _ => Ok((0..count).map(|index| Device::Cuda { index }).collect()),
    }
}

/// How many CUDA devices can be used here.
///
/// # Errors
/// [`DeviceFault::NotBuilt`].
#[cfg(not(feature = "cuda"))]
fn count_cuda_devices() -> Result<usize, DeviceFault> {
    Err(DeviceFault::NotBuilt)
}

/// How many CUDA devices can be used here.
///
/// # Errors
/// The driver or the kernel compiler is missing, or the driver does not answer.
#[cfg(feature = "cuda")]
fn count_cuda_devices() -> Result<usize, DeviceFault> {
    // SAFETY: both functions only try to load a shared library by name.
    let (driver, compiler) = unsafe {
        (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present())
    };
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

/// Compiles and runs one kernel. A panic inside the backend is caught here, once, so that it cannot
/// surprise later.
fn first_computation<B: Backend>(device: &B::Device) -> Result<(), String> {
    let sum = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let ones = burn::tensor::Tensor::<B, 1>::ones([1000], device);
        crate::device::transfer::read((ones * 3.0).sum())
    }));
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
        let cuda = |index| DeviceChoice::Cuda { index };
        for choice in
            [DeviceChoice::Auto, cuda(None), cuda(Some(0)), cuda(Some(7)), DeviceChoice::Cpu]
        {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let error = "gpu".parse::<DeviceChoice>().unwrap_err();
        assert_eq!(error.to_string(), "unknown device \"gpu\": expected auto, cuda, cuda:N or cpu");
        for odd in ["cuda:", "cuda:+1", "cuda:-1", "cuda:x", "cuda:99999999999999999999", "cpu:0"] {
            assert!(odd.parse::<DeviceChoice>().is_err(), "{odd}");
        }
    }

    #[test]
    fn a_choice_names_one_device_or_all_that_there_are() {
        let [first, second] = [0, 1].map(|index| Device::Cuda { index });
        assert_eq!(choose(DeviceChoice::Cuda { index: None }, 2), Ok(vec![first, second]));
        assert_eq!(choose(DeviceChoice::Auto, 1), Ok(vec![first]));
        assert_eq!(choose(DeviceChoice::Cuda { index: Some(1) }, 2), Ok(vec![second]));
        let fault = choose(DeviceChoice::Cuda { index: Some(2) }, 2).unwrap_err();
        assert_eq!(fault.to_string(), "no device cuda:2: the driver sees 2, counted from 0");
        assert_eq!(choose(DeviceChoice::Auto, 0), Err(DeviceFault::NoDevice));
        for device in [Device::Cpu, first, second] {
            assert_eq!(DeviceChoice::from(device).to_string(), device.to_string());
        }
    }

    #[test]
    fn a_machine_without_a_driver_gets_the_cpu_or_a_reason_and_never_a_panic() {
        match count_cuda_devices() {
            Ok(count) if count > 0 => println!("skipped: this machine has {count} CUDA devices"),
            _ => {
                assert_eq!(Device::open(DeviceChoice::Auto), Ok(Device::Cpu));
                assert_eq!(Device::list(DeviceChoice::Auto), Ok(vec![Device::Cpu]));
                for index in [None, Some(0)] {
                    let fault = Device::open(DeviceChoice::Cuda { index }).unwrap_err();
                    assert!(fault.to_string().contains("CUDA device"), "{fault}");
                }
            }
        }
    }
}

//! Opens devices: asks the CUDA driver which there are, and lets the first one compute.

use super::choice::{Device, DeviceChoice, DeviceFault};
use super::transfer::read;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use std::panic::AssertUnwindSafe;

/// Evaluates an expression with burn's backend for a [`Device`], under the name `$backend`, and
/// with the device as that backend names it, under the name `$handle`.
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
    /// Opens the first device of the operator's choice and lets it compute something. The driver is
    /// asked first, because burn's CUDA backend panics without one. [`Device::list`] names all
    /// devices of a choice.
    ///
    /// # Errors
    /// CUDA was asked for and cannot be used. `Auto` logs why and falls back to the CPU.
    pub(crate) fn open(choice: DeviceChoice) -> Result<Self, DeviceFault> {
        let opened = Self::list(choice).and_then(|devices| {
            let first = devices.first().copied().ok_or(DeviceFault::NoDevice)?;
            first.compute_first().map(|()| first)
        });
        match (opened, choice) {
            (Err(fault), DeviceChoice::Auto) => {
                tracing::info!(reason = %fault, "no usable CUDA device, scoring on the CPU");
                Ok(Self::Cpu)
            }
            (opened, _) => opened,
        }
    }

    /// The devices that a choice stands for, at least one. Only the driver is asked; nothing is
    /// computed.
    ///
    /// # Errors
    /// CUDA was asked for and cannot be used, or that device does not exist. `Auto` logs why and
    /// falls back to the CPU.
    pub fn list(choice: DeviceChoice) -> Result<Vec<Self>, DeviceFault> {
        match (choice, list_cuda(choice)) {
            (DeviceChoice::Cpu, _) => Ok(vec![Self::Cpu]),
            (DeviceChoice::Auto, Err(fault)) => {
                tracing::info!(reason = %fault, "no usable CUDA device, scoring on the CPU");
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

fn list_cuda(choice: DeviceChoice) -> Result<Vec<Device>, DeviceFault> {
    if choice == DeviceChoice::Cpu {
        return Ok(Vec::new());
    }
    choose(choice, count_cuda_devices()?)
}

/// The devices that the choice names, of `count` devices.
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

/// How many CUDA devices this machine has.
///
/// # Errors
/// The driver or the kernel compiler is missing, or the driver reported an error.
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

#[cfg(not(feature = "cuda"))]
fn count_cuda_devices() -> Result<usize, DeviceFault> {
    Err(DeviceFault::NotBuilt)
}

/// Compiles and runs one kernel. A backend that panics is found out here and not in the middle of a
/// task.
fn first_computation<B: Backend>(device: &B::Device) -> Result<(), String> {
    let sum = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let ones = Tensor::<B, 1>::ones([1000], device);
        read((ones * 3.0).sum())
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

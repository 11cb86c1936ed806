//! Does this device compute what the CPU computes?
//!
//! Every metric runs on one synthetic clip on both and is compared. The metrics are chains of tens of operations, which is
//! the point: a compiler of kernels has been seen to get every single operation right and their chain wrong.

use crate::device::Device;
use crate::metrics::{
    FlowSettings, blockiness, chroma_distance, colour_distance, flicker, frame_difference, laplacian_variance,
    lucas_kanade, motion_excess, ms_ssim, noise_sigma, psnr, register, ssim,
};
use crate::tensors::{read, tensor};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Synthetic clip: frames, rows and columns; multi-scale similarity needs 176.
const FRAMES: usize = 3;
const ROWS: usize = 192;
const COLUMNS: usize = 256;
/// Difference from the CPU that counts as rounding, as a part of the value (or of [`SMALL`] below it).
const TOLERANCE: f32 = 1e-4;
/// Values under this are compared in absolute terms.
const SMALL: f32 = 1e-2;

/// The largest difference of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCheck {
    /// The metric.
    pub metric: &'static str,
    /// How many values were compared.
    pub values: usize,
    /// The largest difference, relative to the value.
    pub worst: f32,
}

/// Every metric agrees.
#[derive(Debug, Clone, PartialEq)]
pub struct SelfTestReport {
    /// The device that was tested.
    pub device: Device,
    /// Its differences from the CPU.
    pub checks: Vec<MetricCheck>,
}

/// A device that computes something else.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{device} computes {metric} differently from the CPU: {got} instead of {want} (value {index}, tolerance {TOLERANCE})"
)]
pub struct SelfTestFault {
    /// The device.
    pub device: Device,
    /// The metric.
    pub metric: &'static str,
    /// Which of its values.
    pub index: usize,
    /// The device's value.
    pub got: f32,
    /// The CPU's.
    pub want: f32,
}

/// Compares `device` with the CPU.
pub(crate) fn self_test<B: Backend>(
    name: Device,
    device: &B::Device,
    cpu: &B::Device,
) -> Result<SelfTestReport, SelfTestFault> {
    let want = values::<B>(cpu);
    let got = values::<B>(device);
    let mut checks = Vec::new();
    for ((metric, got), (_, want)) in got.iter().zip(&want) {
        checks.push(check(name, metric, got, want)?);
    }
    Ok(SelfTestReport { device: name, checks })
}

fn check(device: Device, metric: &'static str, got: &[f32], want: &[f32]) -> Result<MetricCheck, SelfTestFault> {
    let mut worst = 0.0;
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let difference = (got - want).abs() / want.abs().max(SMALL);
        if difference.is_nan() || difference > TOLERANCE {
            return Err(SelfTestFault { device, metric, index, got: *got, want: *want });
        }
        worst = f32::max(worst, difference);
    }
    Ok(MetricCheck { metric, values: want.len(), worst })
}

/// A textured picture that moves by a third of a pixel per frame; `blend` mixes in another one.
fn clip(blend: f32, channels: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(FRAMES * channels * ROWS * COLUMNS);
    for frame in 0..FRAMES * channels {
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let (x, y) = (column as f32 + frame as f32 / 3.0, row as f32 - frame as f32 / 5.0);
                let base = 0.5 + 0.2 * (x / 7.0).sin() * (y / 9.0).cos() + 0.15 * ((x + 2.0 * y) / 23.0).sin();
                let other = 0.1 * ((x * y) / 371.0).sin();
                values.push(base + blend * other);
            }
        }
    }
    values
}

/// Every metric's values, in one order on every backend.
fn values<B: Backend>(device: &B::Device) -> Vec<(&'static str, Vec<f32>)> {
    let picture = |blend| tensor::<B, 4>(clip(blend, 1), [FRAMES, 1, ROWS, COLUMNS], device);
    let chroma = |blend| tensor::<B, 4>(clip(blend, 2), [FRAMES, 2, ROWS, COLUMNS], device);
    let (left, right) = (picture(0.0), picture(1.0));
    let steps = |frames: Tensor<B, 4>| (frames.clone().slice([0..FRAMES - 1]), frames.slice([1..FRAMES]));
    let (from, to) = steps(left.clone());
    let flow = lucas_kanade(&from, &to, &FlowSettings::default());
    let shift = register(&left.clone().slice([0..1]), &right.clone().slice([0..1]));
    vec![
        ("ssim", read(ssim(&left, &right))),
        ("ms_ssim", read(ms_ssim(&left, &right))),
        ("psnr", read(psnr(&left, &right))),
        ("laplacian_variance", read(laplacian_variance(&right))),
        ("noise_sigma", read(noise_sigma(&right))),
        ("blockiness", read(blockiness(&right))),
        ("colour_distance", read(colour_distance(&left, &right))),
        ("chroma_distance", read(chroma_distance(&chroma(0.0), &chroma(1.0)))),
        ("frame_difference", read(frame_difference(&right))),
        ("motion_excess", read(motion_excess(&right, &left))),
        ("flicker", read(flicker(&right, &left))),
        ("optical_flow", read(flow.mean_dim(3))),
        ("registration", vec![shift.right as f32, shift.down as f32]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Engine;

    #[test]
    fn the_cpu_agrees_with_itself_on_every_metric() {
        let cpu = Device::Cpu.handle();
        let report = self_test::<Engine>(Device::Cpu, &cpu, &cpu).unwrap();
        assert_eq!(report.checks.len(), 13);
        assert!(report.checks.iter().all(|check| check.values > 0 && check.worst == 0.0), "{report:?}");
    }

    #[test]
    fn a_wrong_value_and_no_value_are_both_refused() {
        let fault = check(Device::Cpu, "ssim", &[0.5, 0.64], &[0.5, 0.942]).unwrap_err();
        assert_eq!((fault.index, fault.metric), (1, "ssim"));
        assert!(check(Device::Cpu, "ssim", &[f32::NAN], &[0.5]).is_err());
        assert!(check(Device::Cpu, "ssim", &[0.50001], &[0.5]).is_ok());
    }
}

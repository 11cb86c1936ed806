//! Whether a device's results agree with the CPU's.
//!
//! Every metric runs on one synthetic clip on both, and the results are compared. Metrics are
//! chains of tens of operations, and that is the point: a kernel compiler has been seen to get
//! every single operation right and a chain of them wrong.
//!
//! Kernels are compiled for shapes, so the measures of a clip of a task's shape are compared too.

use crate::comparison::Measures;
use crate::device::Device;
use crate::metrics::{
    Camera, Grid, Host, Kernels, Psnr, Shift, Tensors, pair_metrics, picture_metrics,
};
use burn::tensor::backend::Backend;

/// The synthetic clip's frames, rows and columns; multi-scale similarity needs sides of 176.
const FRAMES: usize = 4;
const ROWS: usize = 192;
const COLUMNS: usize = 256;
/// The largest difference from the CPU that counts as rounding, relative to the value, or to
/// [`SMALL`] where the value is smaller.
const TOLERANCE: f32 = 1e-4;
/// Differences of smaller values are taken relative to this.
const SMALL: f32 = 1e-2;
/// The same for measures, most of which lie between 0 and 1: a place that falls just above a bound
/// on one side and just below it on the other changes a share by less than the tolerance.
const MEASURE: f32 = 1.0;
/// Flow is kept as one value for each block of this side, in pixels.
const CELL: usize = 4;

/// One metric, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCheck {
    /// The metric's name.
    pub metric: &'static str,
    /// How many values were compared.
    pub values: usize,
    /// The largest difference from the CPU, relative to the value.
    pub worst: f32,
}

/// A self-test that every metric passed.
#[derive(Debug, Clone, PartialEq)]
pub struct SelfTestReport {
    /// The device that was tested.
    pub device: Device,
    /// The metrics, each with its largest difference.
    pub checks: Vec<MetricCheck>,
}

/// A metric that the device computes differently from the CPU.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{device} computes {metric} differently from the CPU: {got} instead of {want} (value {index}, tolerance {TOLERANCE})"
)]
pub struct SelfTestFault {
    /// The device.
    pub device: Device,
    /// The metric.
    pub metric: &'static str,
    /// The index of the value.
    pub index: usize,
    /// The device's value.
    pub got: f32,
    /// The CPU's.
    pub want: f32,
}

/// Compares `device` with the fused loops of the CPU. Where the device is the CPU itself, burn's
/// CPU backend is compared, which no score uses: that checks the loops against the metrics'
/// definition. The metrics of small maps are compared there alone: no score has them from another
/// device. `progress` is called after each metric of the device.
pub(crate) fn self_test<B: Backend>(
    name: Device,
    device: &B::Device,
    progress: &mut dyn FnMut(usize, usize, &str),
) -> Result<SelfTestReport, SelfTestFault> {
    let clips = [clip(0.0), clip(1.0)];
    let maps = Maps::on(name);
    let want = values(&Host, &clips, maps, &mut |_, _| {});
    let mut heard = |done, metric: &str| progress(done, want.len(), metric);
    let got = values(&Tensors::<B>::new(device.clone()), &clips, maps, &mut heard);
    let mut checks = Vec::new();
    for ((metric, got), (_, want)) in got.iter().zip(&want) {
        checks.push(check(name, metric, got, want)?);
    }
    Ok(SelfTestReport { device: name, checks })
}

/// Whether the metrics of small maps are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maps {
    Compared,
    LeftOut,
}

impl Maps {
    fn on(device: Device) -> Self {
        if device == Device::Cpu { Self::Compared } else { Self::LeftOut }
    }
}

fn check(
    device: Device,
    metric: &'static str,
    got: &[f32],
    want: &[f32],
) -> Result<MetricCheck, SelfTestFault> {
    let mut worst = 0.0;
    for index in 0..got.len().max(want.len()) {
        // A missing or surplus value is as wrong as one that is not a number.
        let value = |values: &[f32]| values.get(index).copied().unwrap_or(f32::NAN);
        let (got, want) = (value(got), value(want));
        let difference = difference(got, want, SMALL);
        if difference.is_nan() || difference > TOLERANCE {
            return Err(SelfTestFault { device, metric, index, got, want });
        }
        worst = f32::max(worst, difference);
    }
    Ok(MetricCheck { metric, values: want.len(), worst })
}

/// The difference relative to the value, or to `least` where the value is smaller.
fn difference(got: f32, want: f32, least: f32) -> f32 {
    (got - want).abs() / want.abs().max(least)
}

/// Compares the measures of one clip on `device` with the CPU's.
pub(crate) fn check_measures(
    device: Device,
    got: &Measures,
    want: &Measures,
) -> Result<MetricCheck, SelfTestFault> {
    let (got, want) = (got.named(), want.named());
    let mut worst = 0.0;
    for (index, ((metric, got), (_, want))) in got.into_iter().zip(want.iter().copied()).enumerate()
    {
        let difference = difference(got, want, MEASURE);
        if difference.is_nan() || difference > TOLERANCE {
            return Err(SelfTestFault { device, metric, index, got, want });
        }
        worst = f32::max(worst, difference);
    }
    Ok(MetricCheck { metric: "measures of a task's clip", values: want.len(), worst })
}

/// A textured picture that moves by a third of a pixel per frame. `blend` mixes in another texture.
fn clip(blend: f32) -> Vec<Vec<u8>> {
    let value = |frame: usize, row: usize, column: usize| {
        let (x, y) = (column as f32 + frame as f32 / 3.0, row as f32 - frame as f32 / 5.0);
        let base =
            0.5 + 0.2 * (x / 7.0).sin() * (y / 9.0).cos() + 0.15 * ((x + 2.0 * y) / 23.0).sin();
        let other = 0.1 * ((x * y) / 371.0).sin();
        ((base + blend * other) * 255.0) as u8
    };
    let frame =
        |frame| (0..ROWS * COLUMNS).map(|i| value(frame, i / COLUMNS, i % COLUMNS)).collect();
    (0..FRAMES).map(frame).collect()
}

/// Small maps of two channels, made of the clip's bytes.
fn maps(frames: &[Vec<u8>]) -> Grid {
    let (rows, columns) = (ROWS / CELL, COLUMNS / CELL);
    let values = frames
        .iter()
        .flat_map(|frame| &frame[..2 * rows * columns])
        .map(|byte| f32::from(*byte) / 255.0);
    Grid::new(values.collect(), [2, rows, columns])
}

/// Every metric's values, in one order for all kernels. `done` is called after each metric with the
/// number of metrics so far and its name.
fn values<'a, K: Kernels<'a>>(
    kernels: &K,
    [left, right]: &'a [Vec<Vec<u8>>; 2],
    small: Maps,
    done: &mut dyn FnMut(usize, &'static str),
) -> Vec<(&'static str, Vec<f32>)> {
    let planes =
        |clip: &'a [Vec<u8>]| -> Vec<&'a [u8]> { clip.iter().map(Vec::as_slice).collect() };
    let pictures = |clip: &'a [Vec<u8>]| kernels.pictures(&planes(clip), ROWS, COLUMNS);
    let (left_pictures, right_pictures) = (pictures(left), pictures(right));
    let half = kernels.halved(&right_pictures);
    let shift = kernels.register(&left_pictures, &right_pictures);
    let aside = Shift { right: 3, down: -1 };
    let (cut, fixed) = kernels.align(&left_pictures, &right_pictures, aside);
    let flow = kernels.flow(&half, CELL);
    let mut found = Vec::new();
    let mut add = |metric: &'static str, values: Vec<f32>| {
        found.push((metric, values));
        done(found.len(), metric);
    };
    for metric in pair_metrics::<K>() {
        add(metric.name, (metric.values)(kernels, [&left_pictures, &right_pictures]));
    }
    add("psnr of a part", kernels.measure::<Psnr, 2>([&cut, &fixed]));
    for metric in picture_metrics::<K>() {
        add(metric.name, metric.of_clip(kernels, &right_pictures, &half));
    }
    add("registration", vec![shift.right as f32, shift.down as f32]);
    add("optical_flow", flow.values().to_vec());
    if small == Maps::Compared {
        of_maps(kernels, [maps(left), maps(right)], flow.shape(), &mut add);
    }
    found
}

/// Every metric of small maps. Metrics of motion get other maps than the flow, of its size, so that
/// a difference is reported for the metric it arises in.
fn of_maps<'a, K: Kernels<'a>>(
    kernels: &K,
    [left, right]: [Grid; 2],
    [_, rows, columns]: [usize; 3],
    add: &mut dyn FnMut(&'static str, Vec<f32>),
) {
    let steps = right.values()[..(FRAMES - 1) * 2 * rows * columns].to_vec();
    let field = Grid::new(steps, [2, rows, columns]);
    let camera = |camera: Camera| camera.right.into_iter().chain(camera.down);
    add("distance", kernels.distance(&left, &right));
    add("frame_difference", kernels.frame_difference(&right));
    add("change_from_first", kernels.change_from_first(&right));
    add("flicker", kernels.flicker(&right));
    add("motion_amount", kernels.motion_amount(&field));
    add("motion_smoothness", kernels.motion_smoothness(&field));
    add("camera", kernels.camera(&field).into_iter().flat_map(camera).collect());
    add("correlations", kernels.correlations(&left, &right));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpus_loops_agree_with_its_tensors_on_every_metric() {
        let mut heard = Vec::new();
        let mut progress =
            |done: usize, of: usize, metric: &str| heard.push((done, of, metric.to_owned()));
        let report =
            self_test::<burn_flex::Flex>(Device::Cpu, &burn_flex::FlexDevice, &mut progress)
                .unwrap();
        let all = report.checks.len();
        assert_eq!(heard.len(), all);
        assert_eq!(heard.last(), Some(&(all, all, "correlations".to_owned())));
        assert!(report.checks.iter().all(|check| check.values > 0), "{report:?}");
    }

    #[test]
    fn another_device_is_tested_in_what_it_computes_for_scores() {
        let device = Device::Cuda { index: 0 };
        // burn's CPU backend stands in for the device.
        let report =
            self_test::<burn_flex::Flex>(device, &burn_flex::FlexDevice, &mut |_, _, _| {})
                .unwrap();
        let last = report.checks.last().map(|check| check.metric);
        assert_eq!((report.device, last), (device, Some("optical_flow")));
    }

    #[test]
    fn a_wrong_value_and_no_value_are_both_refused() {
        let fault = check(Device::Cpu, "ssim", &[0.5, 0.64], &[0.5, 0.942]).unwrap_err();
        assert_eq!((fault.index, fault.metric), (1, "ssim"));
        assert!(check(Device::Cpu, "ssim", &[f32::NAN], &[0.5]).is_err());
        assert!(check(Device::Cpu, "ssim", &[], &[0.5]).is_err(), "fewer values");
        assert!(check(Device::Cpu, "ssim", &[0.5, 0.5], &[0.5]).is_err(), "more values");
        assert!(check(Device::Cpu, "ssim", &[0.50001], &[0.5]).is_ok());
    }

    #[test]
    fn a_measure_of_a_tasks_clip_that_differs_is_refused_by_its_name() {
        let want = Measures { detail: 0.8, jump: 20.0, ..Measures::default() };
        let near = Measures { detail: 0.80009, jump: 20.001, ..want };
        let found = check_measures(Device::Cpu, &near, &want).unwrap();
        assert!(found.values > 40 && found.worst > 5e-5, "{found:?}");
        let other = Measures { detail: 0.8002, ..want };
        let fault = check_measures(Device::Cpu, &other, &want).unwrap_err();
        assert_eq!((fault.metric, fault.got, fault.want), ("detail", 0.8002, 0.8));
        let none = Measures { jump: f32::NAN, ..want };
        assert_eq!(check_measures(Device::Cpu, &none, &want).unwrap_err().metric, "jump");
    }
}

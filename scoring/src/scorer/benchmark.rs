//! How long each stage of scoring takes on this machine, for a synthetic clip of a task's size.

use super::fault::ScoreFault;
use super::reference::Reference;
use super::setup::Scorer;
use super::synthetic_clips::source_and_answer;
use crate::device::{Device, Transfers, on_backend};
use crate::media::{Clip, ClipShape, Limits, MediaFault, decode, encode_clip};
use crate::metrics::{Host, Kernels, Tensors, pair_metrics, picture_metrics};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use leoma_protocol::Digest;
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes of a value on a device.
const VALUE_BYTES: u64 = 4;
const CELL: usize = crate::comparison::clip_features::FLOW_CELL;

/// The run times of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The stage's name.
    pub name: &'static str,
    /// The time of each run, in order.
    pub times: Vec<Duration>,
}

impl Stage {
    /// Times `rounds` runs of `work`, after one that warms up.
    fn of<T>(
        name: &'static str,
        rounds: usize,
        mut work: impl FnMut() -> Result<T, ScoreFault>,
    ) -> Result<Self, ScoreFault> {
        black_box(work()?);
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds.max(1) {
            let begun = Instant::now();
            black_box(work()?);
            times.push(begun.elapsed());
        }
        Ok(Self { name, times })
    }

    fn sorted_ms(&self) -> Vec<f64> {
        let mut times: Vec<f64> =
            self.times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The median in milliseconds; of an even number of runs the upper one.
    pub fn median_ms(&self) -> f64 {
        let times = self.sorted_ms();
        times.get(times.len() / 2).copied().unwrap_or(0.0)
    }

    /// The shortest and the longest, in milliseconds.
    pub fn range_ms(&self) -> [f64; 2] {
        let times = self.sorted_ms();
        [times.first(), times.last()].map(|time| time.copied().unwrap_or(0.0))
    }
}

/// The least time that a comparison can take on a device, given that each picture has to pass
/// through its memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Floor {
    /// Bytes that one comparison uploads at least: the luma of the answer, a byte for each pixel.
    /// The source's luma is measured once for all answers.
    pub uploaded_bytes: u64,
    /// Bytes that it moves in the device's memory at least: the uploaded ones written and read
    /// once, their values written once, and read once at full and once at half size.
    pub moved_bytes: u64,
    /// Bytes that the device moves per second, measured by a copy.
    pub bytes_per_second: f64,
    /// Milliseconds that moving them takes.
    pub floor_ms: f64,
}

/// A benchmark's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// The device.
    pub device: Device,
    /// The stages of scoring an answer, then single metrics over all frames.
    pub stages: Vec<Stage>,
    /// The lower bound on CUDA; `None` on the CPU.
    pub floor: Option<Floor>,
    /// What one comparison copies to the device and back; `None` on the CPU.
    pub transfers: Option<Transfers>,
    /// The source as an MP4.
    pub source_mp4: Vec<u8>,
    /// The answer as an MP4.
    pub answer_mp4: Vec<u8>,
    /// The decoded luma of source and answer, frame by frame.
    pub luma: [Vec<u8>; 2],
}

impl Scorer {
    /// Times `rounds` comparisons of a decoded clip.
    ///
    /// # Errors
    /// This machine failed.
    pub fn bench_comparisons(&self, rounds: usize) -> Result<Stage, ScoreFault> {
        let [source, answer] = synthetic_clips()?;
        let reference = self.prepared(source, Digest::of(b"synthetic"))?;
        Stage::of("all metrics", rounds, || self.measure(&reference, answer.clone()))
    }

    /// Times `rounds` runs of decoding, of all metrics, of both, and of each metric by itself.
    ///
    /// # Errors
    /// This machine failed.
    pub fn bench(&self, rounds: usize) -> Result<Bench, ScoreFault> {
        let [source, answer] = synthetic_clips()?;
        let encode = |clip: &Clip| encode_clip(self.ffmpeg(), clip, &Limits::ANSWER);
        let (source_mp4, answer_mp4) = (encode(&source)?, encode(&answer)?);
        let reference = self.reference(&source_mp4)?;
        let answer = decode(self.ffmpeg(), &answer_mp4, &Limits::ANSWER)?;
        let mut stages = vec![
            Stage::of("decode", rounds, || {
                Ok(decode(self.ffmpeg(), &answer_mp4, &Limits::ANSWER)?)
            })?,
            Stage::of("all metrics", rounds, || self.measure(&reference, answer.clone()))?,
            Stage::of("decode and all metrics", rounds, || self.score(&reference, &answer_mp4))?,
            Stage::of("source, once per task", rounds, || self.reference(&source_mp4))?,
        ];
        let clips = [&answer, reference.clip()];
        stages.extend(match self.device() {
            Device::Cpu => metrics(&Host, clips, rounds)?,
            device => {
                on_backend!(device, B, handle => metrics(&Tensors::<B>::new(handle), clips, rounds)?)
            }
        });
        let floor = match self.device() {
            Device::Cpu => None,
            device => Some(on_backend!(device, B, handle => floor::<B>(ClipShape::TASK, &handle))),
        };
        let transfers = match self.device() {
            Device::Cpu => None,
            Device::Cuda { .. } => Some(self.transfers(&reference, &answer)?),
        };
        let luma = [reference.clip(), &answer]
            .map(|clip| (0..clip.len()).flat_map(|i| clip.luma(i)).copied().collect());
        let device = self.device();
        Ok(Bench { device, stages, floor, transfers, source_mp4, answer_mp4, luma })
    }

    /// What one comparison copies.
    fn transfers(&self, reference: &Reference, answer: &Clip) -> Result<Transfers, ScoreFault> {
        let (measured, copied) = Transfers::during(|| self.measure(reference, answer.clone()));
        measured.map(|_| copied)
    }
}

fn synthetic_clips() -> Result<[Clip; 2], ScoreFault> {
    let none = || MediaFault::Encode { complaint: "the synthetic clip has no frames".into() };
    Ok(source_and_answer(ClipShape::TASK).ok_or_else(none)?)
}

/// Times each metric of whole pictures. Reading its result back waits for the device.
fn metrics<'a, K: Kernels<'a>>(
    kernels: &K,
    clips: [&'a Clip; 2],
    rounds: usize,
) -> Result<Vec<Stage>, ScoreFault> {
    let (height, width) = (clips[0].height(), clips[0].width());
    let planes =
        |clip: &'a Clip| (0..clip.len()).map(|index| clip.luma(index)).collect::<Vec<&[u8]>>();
    let [left, right] = clips.map(|clip| kernels.pictures(&planes(clip), height, width));
    let half = kernels.halved(&left);
    let flow = kernels.flow(&half, CELL);
    let time = |name, work: &dyn Fn() -> Vec<f32>| Stage::of(name, rounds, || Ok(work()));
    let mut stages = Vec::new();
    for metric in pair_metrics::<K>() {
        stages.push(time(metric.label, &|| (metric.values)(kernels, [&left, &right]))?);
    }
    for metric in picture_metrics::<K>() {
        stages.push(time(metric.label, &|| metric.of_clip(kernels, &left, &half))?);
    }
    stages.extend([
        time("optical flow, half size", &|| kernels.flow(&half, CELL).values().to_vec())?,
        time("camera", &|| Host.camera(&flow).iter().map(|camera| camera.right[0]).collect())?,
    ]);
    Ok(stages)
}

fn floor<B: Backend>(shape: ClipShape, device: &B::Device) -> Floor {
    let (height, width) = (shape.height as usize, shape.width as usize);
    let full = VALUE_BYTES * u64::from(shape.frames) * (height * width) as u64;
    let half = VALUE_BYTES * u64::from(shape.frames) * (height / 2 * (width / 2)) as u64;
    let uploaded_bytes = full / VALUE_BYTES;
    let moved_bytes = 2 * uploaded_bytes + 2 * full + half;
    let pictures = Tensor::<B, 4>::ones([shape.frames as usize, 1, height, width], device);
    let copy = || {
        let copied = pictures.clone() * 1.5;
        // Reading one value waits for the whole copy.
        black_box(crate::device::transfer::read(copied.slice([0..1, 0..1, 0..1, 0..1])));
    };
    copy();
    let fastest = (0..5).map(|_| {
        let begun = Instant::now();
        copy();
        begun.elapsed().as_secs_f64()
    });
    // Each byte is read once and written once.
    let bytes_per_second = 2.0 * full as f64 / fastest.fold(f64::INFINITY, f64::min).max(1e-9);
    Floor {
        uploaded_bytes,
        moved_bytes,
        bytes_per_second,
        floor_ms: moved_bytes as f64 / bytes_per_second * 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ranges_are_of_the_times() {
        let stage = Stage { name: "x", times: [30, 10, 20].map(Duration::from_millis).to_vec() };
        assert_eq!((stage.median_ms(), stage.range_ms()), (20.0, [10.0, 30.0]));
        assert_eq!(Stage { name: "none", times: Vec::new() }.median_ms(), 0.0);
    }

    #[test]
    fn the_floor_is_the_pictures_through_memory() {
        let shape = ClipShape { width: 64, height: 32, fps: 16, frames: 3 };
        let floor = floor::<burn_flex::Flex>(shape, &burn_flex::FlexDevice);
        let full = 4 * 3 * 64 * 32;
        assert_eq!(floor.uploaded_bytes, full / 4);
        assert_eq!(floor.moved_bytes, 2 * full + full / 2 + full / 4);
        assert!(floor.bytes_per_second > 0.0 && floor.floor_ms > 0.0, "{floor:?}");
    }
}

//! What one answer costs on this machine's CPU, step by step. The limit is the decoder: the rest should not dwarf it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code, reason = "benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use criterion::{Criterion, criterion_group, criterion_main};
use leoma_scoring::media::{Limits, decode};
use leoma_scoring::metrics::ssim;
use leoma_scoring::{AspectPolicy, DeviceChoice, Scorer};
use support::Studio;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn answer(criterion: &mut Criterion) {
    let Some(ffmpeg) = support::ffmpeg() else { return };
    let studio = Studio::new();
    let source = studio.scene("source.mp4");
    let answer = studio.copy("answer.mp4", "source.mp4", "null");
    let clip = decode(&ffmpeg, &source, &Limits::ANSWER).unwrap();
    let device = Default::default();
    let pictures: Vec<f32> =
        (0..81).flat_map(|index| clip.luma(index).iter().map(|byte| f32::from(*byte) / 255.0)).collect();
    let left = Tensor::<Flex, 4>::from_data(TensorData::new(pictures, [81, 1, 480, 832]), &device);
    let right = left.clone() * 0.95;
    let scorer = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    let reference = scorer.reference(&source).unwrap();
    let mut group = criterion.benchmark_group("answer of 81 frames, 832x480");
    group.sample_size(10);
    group.bench_function("decode", |bencher| bencher.iter(|| decode(&ffmpeg, &answer, &Limits::ANSWER).unwrap()));
    group.bench_function("ssim of all frames at full size", |bencher| {
        bencher.iter(|| ssim(&left, &right).into_data());
    });
    group.bench_function("reference", |bencher| bencher.iter(|| scorer.reference(&source).unwrap()));
    group.bench_function("score", |bencher| bencher.iter(|| scorer.score(&reference, &answer).unwrap()));
    group.finish();
}

criterion_group!(benches, answer);
criterion_main!(benches);

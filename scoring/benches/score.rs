//! What one answer costs on this machine's CPU, step by step. `references/bench_peers.py` times
//! what others offer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "benchmark"
)]

#[path = "../tests/scoring/support/studio.rs"]
mod studio;

use burn_flex::Flex;
use criterion::{Criterion, criterion_group, criterion_main};
use leoma_scoring::media::{Clip, Limits, decode};
use leoma_scoring::metrics::{Host, Kernels, Tensors, pair_metrics, picture_metrics};
use leoma_scoring::{AspectPolicy, DeviceChoice, Fingerprint, Scorer};
use std::hint::black_box;
use studio::Studio;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn planes(clip: &Clip) -> Vec<&[u8]> {
    (0..clip.len()).map(|index| clip.luma(index)).collect()
}

/// The largest resident memory of this process so far, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn answer(criterion: &mut Criterion) {
    let Some(ffmpeg) = studio::ffmpeg() else { return };
    let studio = Studio::new();
    let source = studio.scene("source.mp4");
    let answer = studio.copy("answer.mp4", "source.mp4", "null");
    let scorer = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    let reference = scorer.reference(&source).unwrap();
    let clip = decode(&ffmpeg, &answer, &Limits::ANSWER).unwrap();
    scorer.score(&reference, &answer).unwrap();
    println!("peak memory of one source and one answer: {} MiB", peak_memory());
    let mut group = criterion.benchmark_group("answer of 81 frames, 832x480");
    group.sample_size(10);
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode(&ffmpeg, &answer, &Limits::ANSWER).unwrap())
    });
    group.bench_function("all metrics", |bencher| {
        bencher.iter_batched(
            || clip.clone(),
            |clip| scorer.measure(&reference, clip).unwrap(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.bench_function("decode and all metrics", |bencher| {
        bencher.iter(|| scorer.score(&reference, &answer).unwrap());
    });
    group.bench_function("source, once per task", |bencher| {
        bencher.iter(|| scorer.reference(&source).unwrap())
    });
    group.finish();
}

fn metrics<'a, K: Kernels<'a>>(
    criterion: &mut Criterion,
    name: &str,
    kernels: &K,
    clips: [&'a Clip; 2],
) {
    let (height, width) = (clips[0].height(), clips[0].width());
    let [left, right] = clips.map(|clip| kernels.pictures(&planes(clip), height, width));
    let half = kernels.halved(&left);
    // Any flow will do, and the loops compute it fastest.
    let flow = Host.flow(&Host.halved(&Host.pictures(&planes(clips[0]), height, width)), 4);
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    let mut time = |metric: &str, run: &dyn Fn()| {
        group.bench_function(metric, |bencher| bencher.iter(run));
    };
    time("half size", &|| drop(black_box(kernels.halved(&left))));
    for metric in pair_metrics::<K>() {
        time(metric.label, &|| drop(black_box((metric.values)(kernels, [&left, &right]))));
    }
    for metric in picture_metrics::<K>() {
        time(metric.label, &|| drop(black_box(metric.of_clip(kernels, &left, &half))));
    }
    time("optical flow, half size", &|| drop(black_box(kernels.flow(&half, 4))));
    time("camera", &|| drop(black_box(kernels.camera(&flow))));
    group.finish();
}

fn kernels(criterion: &mut Criterion) {
    let Some(ffmpeg) = studio::ffmpeg() else { return };
    let studio = Studio::new();
    let source = decode(&ffmpeg, &studio.scene("source.mp4"), &Limits::ANSWER).unwrap();
    let answer =
        decode(&ffmpeg, &studio.copy("answer.mp4", "source.mp4", "null"), &Limits::ANSWER).unwrap();
    metrics(criterion, "fused loops, 81 frames", &Host, [&answer, &source]);
    // The tensors take several times as long; a name on the command line picks them.
    metrics(
        criterion,
        "burn flex, 81 frames",
        &Tensors::<Flex>::new(Default::default()),
        [&answer, &source],
    );
}

fn copies(criterion: &mut Criterion) {
    let Some(ffmpeg) = studio::ffmpeg() else { return };
    let studio = Studio::new();
    let source = decode(&ffmpeg, &studio.scene("source.mp4"), &Limits::ANSWER).unwrap();
    let flipped = studio.copy("answer.mp4", "source.mp4", "hflip,crop=iw*0.9:ih*0.9,scale=832:480");
    let answers = [
        ("as asked for", source.clone()),
        ("flipped and cropped", decode(&ffmpeg, &flipped, &Limits::ANSWER).unwrap()),
    ];
    let mut group = criterion.benchmark_group("copies");
    group.sample_size(20);
    for (name, answer) in &answers {
        group.bench_function(format!("fingerprint, 81 frames, {name}"), |bencher| {
            bencher.iter(|| Fingerprint::of(answer, &source));
        });
    }
    let [one, other] = answers.map(|(_, answer)| Fingerprint::of(&answer, &source));
    group.bench_function("comparison of two", |bencher| bencher.iter(|| one.distance(&other)));
    group.finish();
}

criterion_group!(benches, answer, kernels, copies);
criterion_main!(benches);

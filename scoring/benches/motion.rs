//! What one answer of motion costs: 10 s of 22 joints at 60 frames a second, from the file's bytes
//! to its value. The limit is 20 ms for all of it.

#![allow(clippy::unwrap_used, missing_docs, reason = "benchmark")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use leoma_scoring::motion::{Bvh, JOINTS, clip_of_answer, clip_of_reference, distance, value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Skeletons of 22 joints, with the names that answers and references have.
const ANSWER: &str = include_str!("../../vectors/motion/same.bvh");
const REFERENCE: &str = include_str!("../../vectors/motion/ref.bvh");
/// Ten seconds.
const FRAMES: usize = 600;
/// Numbers of a frame: six for the root, three for every other joint.
const WIDTH: usize = 3 + 3 * JOINTS.len();

/// A file with this file's skeleton, whose joints swing, all of them `ahead` of themselves.
fn swinging(file: &str, ahead: f64) -> Vec<u8> {
    let (skeleton, _) = file.split_once("MOTION").unwrap();
    let mut swinging = format!("{skeleton}MOTION\nFrames: {FRAMES}\nFrame Time: 0.016667\n");
    for frame in 0..FRAMES {
        for channel in 0..WIDTH {
            let degrees = 30.0 * (0.05 * frame as f64 + channel as f64 + ahead).sin();
            write!(swinging, "{degrees:.6} ").unwrap();
        }
        swinging.push('\n');
    }
    swinging.into_bytes()
}

fn motion(criterion: &mut Criterion) {
    let reference = swinging(REFERENCE, 0.0);
    let reference = clip_of_reference(&Bvh::parse(&reference).unwrap()).unwrap();
    let file = swinging(ANSWER, 0.3);
    let bvh = Bvh::parse(&file).unwrap();
    let answer = clip_of_answer(&bvh).unwrap();
    assert_eq!((answer.frames(), answer.frame(0).len()), (FRAMES, JOINTS.len()));
    assert!(distance(&answer, &reference) > 0.0, "nothing would be compared");

    let mut group = criterion.benchmark_group("a motion of 10 s");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("file to value", |bencher| {
        bencher.iter(|| {
            let bvh = Bvh::parse(black_box(&file)).unwrap();
            let answer = clip_of_answer(&bvh).unwrap();
            value(Some(distance(&answer, &reference)), 3.0)
        });
    });
    group.bench_function("reading", |bencher| {
        bencher.iter(|| Bvh::parse(black_box(&file)).unwrap());
    });
    group.bench_function("forward kinematics", |bencher| {
        bencher.iter(|| clip_of_answer(black_box(&bvh)).unwrap());
    });
    group.bench_function("distance and value", |bencher| {
        bencher.iter(|| value(Some(distance(black_box(&answer), &reference)), 3.0));
    });
    group.finish();
}

criterion_group!(benches, motion);
criterion_main!(benches);

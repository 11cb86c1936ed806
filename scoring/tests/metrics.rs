//! Metrics against numbers computed elsewhere and against pictures whose answer is known.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "test code")]

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use leoma_scoring::metrics::{
    FlowSettings, Shift, align, blockiness, laplacian_variance, lucas_kanade, ms_ssim, noise_sigma, psnr, register,
    ssim,
};

type Picture = Tensor<Flex, 4>;

const HEIGHT: usize = 192;
const WIDTH: usize = 256;

/// What `tests/golden/pictures.py` prints: name, sum of bytes, SSIM, MS-SSIM, PSNR, Laplacian variance, noise.
const GOLDEN: [(&str, u64, [f64; 5]); 4] = [
    ("noise", 6_262_037, [0.5730682098, 0.9535030042, 26.68439019, 0.04327997217, 0.04703277811]),
    ("brighter", 6_633_470, [0.9923120433, 0.9947035788, 29.91023248, 5.748012526e-5, 0.001446429393]),
    ("shifted", 6_275_569, [0.989368473, 0.9908643178, 34.04186904, 0.0001218839761, 0.001118239376]),
    ("smoothed", 6_257_773, [0.9989011849, 0.9999070034, 42.10702399, 0.0001069214491, 0.001283581964]),
];

fn bytes(value: impl Fn(usize, usize) -> f64) -> Vec<u8> {
    let place = |index: usize| value(index / WIDTH, index % WIDTH);
    (0..HEIGHT * WIDTH).map(|index| (place(index) + 0.5).floor().clamp(0.0, 255.0) as u8).collect()
}

fn plain() -> Vec<u8> {
    bytes(|row, column| {
        let (y, x) = (row as f64, column as f64);
        128.0 + 60.0 * (x / 7.0).sin() * (y / 9.0).cos() + 30.0 * ((x + 2.0 * y) / 23.0).sin()
    })
}

fn variant(name: &str, plain: &[u8]) -> Vec<u8> {
    let at = |row: usize, column: usize| f64::from(plain[row % HEIGHT * WIDTH + column % WIDTH]);
    match name {
        "noise" => bytes(|row, column| {
            let noise = (column * 7919 + row * 104_729 + column * row * 31) % 41;
            at(row, column) + noise as f64 - 20.0
        }),
        "brighter" => bytes(|row, column| at(row, column) * 0.9 + 20.0),
        "shifted" => bytes(|row, column| at(row, column + WIDTH - 1)),
        _ => bytes(|row, column| {
            let upright = at(row + HEIGHT - 1, column) + at(row + 1, column);
            let level = at(row, column + WIDTH - 1) + at(row, column + 1);
            ((at(row, column) + upright + level) / 5.0).floor()
        }),
    }
}

fn picture(bytes: &[u8]) -> Picture {
    floats(bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect(), HEIGHT, WIDTH)
}

fn floats(values: Vec<f32>, height: usize, width: usize) -> Picture {
    Tensor::from_data(TensorData::new(values, [1, 1, height, width]), &Default::default())
}

fn value(result: Tensor<Flex, 1>) -> f64 {
    f64::from(result.into_data().iter::<f32>().next().unwrap())
}

#[test]
fn metrics_meet_the_golden_numbers() {
    let plain = plain();
    assert_eq!(plain.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 6_275_569);
    for (name, sum, golden) in GOLDEN {
        let other = variant(name, &plain);
        assert_eq!(other.iter().map(|byte| u64::from(*byte)).sum::<u64>(), sum, "{name}: not the same picture");
        let (left, right) = (picture(&plain), picture(&other));
        let found = [
            value(ssim(&left, &right)),
            value(ms_ssim(&left, &right)),
            value(psnr(&left, &right)),
            value(laplacian_variance(&right)),
            value(noise_sigma(&right)),
        ];
        for (index, (found, golden)) in found.iter().zip(golden).enumerate() {
            assert!(((found - golden) / golden).abs() < 1e-5, "{name}, metric {index}: {found} instead of {golden}");
        }
    }
}

#[test]
fn equal_pictures_are_perfect_and_flat_ones_are_finite() {
    let same = picture(&plain());
    assert!((value(ssim(&same, &same)) - 1.0).abs() < 1e-6);
    assert!((value(ms_ssim(&same, &same)) - 1.0).abs() < 1e-6);
    assert!((value(psnr(&same, &same)) - 100.0).abs() < 1e-3);
    let flat = picture(&vec![77; HEIGHT * WIDTH]);
    for measure in [laplacian_variance, noise_sigma] {
        assert!(value(measure(&flat)).abs() < 1e-9);
    }
    assert!((value(blockiness(&flat)) - 1.0).abs() < 1e-6);
    assert!(value(ssim(&same, &flat)).is_finite() && value(ms_ssim(&same, &flat)).is_finite());
}

#[test]
fn blocks_of_eight_are_seen_and_blocks_elsewhere_are_not() {
    let steps = |offset: usize| {
        let value = |row: usize, column: usize| ((row + offset) / 8 * 37 + (column + offset) / 8 * 53) % 200;
        picture(&bytes(|row, column| value(row, column) as f64))
    };
    assert!(value(blockiness(&steps(0))) > 50.0);
    assert!(value(blockiness(&steps(4))) < 1.0);
}

/// Many waves of different directions: texture at every scale, and known between the pixels.
fn texture(x: f32, y: f32) -> f32 {
    let waves =
        [(0.9, 0.3, 0.0), (-0.4, 0.8, 1.0), (0.25, 0.2, 2.0), (0.6, -0.7, 3.0), (0.1, -0.15, 4.0), (1.3, 0.5, 5.0)];
    0.5 + waves.iter().map(|(a, b, phase): &(f32, f32, f32)| (a * x + b * y + phase).sin() * 0.07).sum::<f32>()
}

/// Two pictures of which the second is the first moved by `motion` at every place.
fn moved(motion: impl Fn(f32, f32) -> (f32, f32)) -> (Picture, Picture) {
    let (height, width) = (120, 160);
    let places = || (0..height).flat_map(|row| (0..width).map(move |column| (column as f32, row as f32)));
    let from = places().map(|(x, y)| texture(x, y)).collect();
    // The second picture shows at (x, y) what the first showed where that point came from.
    let to = places().map(|(x, y)| {
        let (mut source_x, mut source_y) = (x, y);
        for _ in 0..20 {
            let (right, down) = motion(source_x, source_y);
            (source_x, source_y) = (x - right, y - down);
        }
        texture(source_x, source_y)
    });
    (floats(from, height, width), floats(to.collect(), height, width))
}

/// Mean end-point error in pixels, a border of eight pixels left out.
fn flow_error(motion: impl Fn(f32, f32) -> (f32, f32) + Copy) -> f32 {
    let (from, to) = moved(motion);
    let settings = FlowSettings { levels: 3, warps: 5, radius: 7, batch: 8 };
    let flow: Vec<f32> = lucas_kanade(&from, &to, &settings).into_data().iter::<f32>().collect();
    let (mut error, mut count) = (0.0, 0.0);
    for (row, column) in (8..112).flat_map(|row| (8..152).map(move |column| (row, column))) {
        let (right, down) = motion(column as f32, row as f32);
        let index = row * 160 + column;
        error += (flow[index] - right).hypot(flow[160 * 120 + index] - down);
        count += 1.0;
    }
    error / count
}

#[test]
fn flow_finds_shifts_zooms_and_rotations() {
    let shift = flow_error(|_, _| (0.3, -0.2));
    let far = flow_error(|_, _| (4.6, 3.2));
    let zoom = flow_error(|x, y| ((x - 80.0) * 0.02, (y - 60.0) * 0.02));
    let rotation = flow_error(|x, y| ((y - 60.0) * 0.02, (80.0 - x) * 0.02));
    println!("end-point errors: {shift} {far} {zoom} {rotation}");
    assert!(shift < 0.05, "shift {shift}");
    assert!(far < 0.15, "far shift {far}");
    assert!(zoom < 0.15, "zoom {zoom}");
    assert!(rotation < 0.15, "rotation {rotation}");
}

#[test]
fn flow_of_a_picture_without_texture_is_none() {
    let flat = floats(vec![0.5; 120 * 160], 120, 160);
    let flow = lucas_kanade(&flat, &flat, &FlowSettings::default()).abs().max();
    assert!(value(flow) < 1e-6);
}

#[test]
fn a_small_shift_is_registered_and_a_large_one_is_left() {
    let part = |right: f32, down: f32| {
        let places = (0..120).flat_map(|row| (0..160).map(move |column| (column as f32, row as f32)));
        floats(places.map(|(x, y)| texture((x - right) / 3.0, (y - down) / 3.0)).collect(), 120, 160)
    };
    let fixed = part(0.0, 0.0);
    let moved = part(3.0, -2.0);
    let shift = register(&moved, &fixed);
    assert_eq!(shift, Shift { right: 3, down: -2 });
    let (left, right) = align(&moved, &fixed, shift);
    assert!(value(ssim(&left, &right)) > 0.9999);
    assert_eq!(register(&fixed, &fixed), Shift::default());
    let far = register(&part(40.0, 0.0), &fixed);
    assert!(far.right.abs() <= 4 && far.down.abs() <= 4);
}

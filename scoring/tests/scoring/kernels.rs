//! The fused loops of the CPU against the tensors that define the metrics, on random and on extreme
//! pictures.

use crate::support::cpu;
#[cfg(feature = "vulkan")]
use crate::support::lavapipe::on_lavapipe;
use crate::support::pictures;
use burn::tensor::backend::Backend;
use burn_flex::Flex;
#[cfg(feature = "vulkan")]
use burn_wgpu::Vulkan;
use leoma_scoring::metrics::{
    Camera, Grid, Host, Kernels, Psnr, Shift, Tensors, pair_metrics, picture_metrics,
};

/// Differences up to this part of the value count as rounding.
const TOLERANCE: f32 = 2e-5;
const FRAMES: usize = 3;

/// Sides: even, odd, not a multiple of anything, and the least that multi-scale similarity takes.
const SIZES: [(usize, usize); 3] = [(192, 256), (181, 307), (176, 176)];

type Clip = Vec<Vec<u8>>;

/// Pairs of clips that are easy to get wrong.
fn clips(height: usize, width: usize) -> Vec<(&'static str, [Clip; 2])> {
    let clip = |value: &dyn Fn(i64, i64, i64) -> i64| -> Clip {
        (0..FRAMES as i64)
            .map(|frame| pictures::picture(height, width, |x, y| value(frame, x, y)))
            .collect()
    };
    let moving =
        clip(&|frame, x, y| pictures::texture((x + 2 * frame) * 256, y * 256 - frame * 77));
    let noise = |seed: i64| clip(&move |frame, x, y| pictures::lattice(x, y, seed + frame));
    let flat = |value: i64| clip(&move |_, _, _| value);
    let board = clip(&|frame, x, y| (x + y + frame) % 2 * 255);
    let slope = clip(&|frame, x, _| x * 255 / width as i64 + frame);
    vec![
        ("texture and noise", [moving.clone(), noise(5)]),
        ("noise and noise", [noise(11), noise(17)]),
        ("texture and itself", [moving.clone(), moving.clone()]),
        ("black and white", [flat(0), flat(255)]),
        ("flat and texture", [flat(240), moving]),
        ("board and slope", [board, slope]),
    ]
}

fn grid(clip: &Clip, channels: usize, rows: usize, columns: usize, scale: f32) -> Grid {
    let part = clip.iter().flat_map(|frame| &frame[..channels * rows * columns]);
    Grid::new(
        part.map(|byte| (f32::from(*byte) - 128.0) * scale).collect(),
        [channels, rows, columns],
    )
}

/// Every metric's values by name.
fn values<'a, K: Kernels<'a>>(
    kernels: &K,
    [left, right]: &'a [Clip; 2],
    (height, width): (usize, usize),
) -> Vec<(&'static str, Vec<f32>)> {
    let (rows, columns) = (height / 8, width / 8);
    let [left_map, right_map] = [left, right].map(|clip| grid(clip, 1, rows, columns, 1.0 / 255.0));
    let [left_field, right_field] =
        [left, right].map(|clip| grid(&clip[1..].to_vec(), 2, rows, columns, 1.0 / 32.0));
    let pictures = |clip: &'a Clip| {
        let planes: Vec<&[u8]> = clip.iter().map(Vec::as_slice).collect();
        kernels.pictures(&planes, height, width)
    };
    let (left, right) = (pictures(left), pictures(right));
    let (half, right_half) = (kernels.halved(&left), kernels.halved(&right));
    let (moved, fixed) = kernels.align(&left, &right, Shift { right: -4, down: 3 });
    let found = kernels.register(&left, &right);
    let flow = kernels.flow(&half, 4);
    let parts = |camera: &Camera| [camera.right, camera.down].concat();
    let mut values = vec![("psnr of a part", kernels.measure::<Psnr, 2>([&moved, &fixed]))];
    for metric in pair_metrics::<K>() {
        values.push((metric.name, (metric.values)(kernels, [&left, &right])));
    }
    for metric in picture_metrics::<K>() {
        for (full, half) in [(&left, &half), (&right, &right_half)] {
            values.push((metric.name, metric.of_clip(kernels, full, half)));
        }
    }
    values.extend([
        ("register", vec![found.right as f32, found.down as f32]),
        ("flow", flow.values().to_vec()),
        ("flow of each pixel", kernels.flow(&half, 1).values().to_vec()),
        ("distance", kernels.distance(&left_field, &right_field)),
        ("frame_difference", kernels.frame_difference(&left_map)),
        ("change_from_first", kernels.change_from_first(&left_map)),
        ("flicker", kernels.flicker(&left_map)),
        ("motion_amount", kernels.motion_amount(&left_field)),
        ("motion_smoothness", kernels.motion_smoothness(&left_field)),
        ("camera", kernels.camera(&left_field).iter().flat_map(parts).collect()),
        ("correlations", kernels.correlations(&left_map, &right_map)),
    ]);
    values
}

/// Compares the tensors' results with the loops', on pictures of each size.
fn compare<B: Backend>(device: &B::Device, sizes: &[(usize, usize)]) {
    let mut worst = std::collections::BTreeMap::<&str, f32>::new();
    for (height, width) in sizes {
        let size = (*height, *width);
        for (name, clips) in clips(*height, *width) {
            let loops = values(&Host, &clips, size);
            let tensors = values(&Tensors::<B>::new(device.clone()), &clips, size);
            for ((metric, loops), (_, tensors)) in loops.iter().zip(&tensors) {
                assert_eq!(loops.len(), tensors.len(), "{metric}");
                for (index, (a, b)) in loops.iter().zip(tensors).enumerate() {
                    // Pixels of flow and values near 0 are compared in absolute terms.
                    let difference = (a - b).abs() / b.abs().max(1.0);
                    let worst = worst.entry(metric).or_default();
                    *worst = worst.max(difference);
                    assert!(
                        difference <= TOLERANCE,
                        "{metric} of {name}, {size:?}, value {index}: {a} in loops, {b} on tensors"
                    );
                }
            }
        }
    }
    println!("{worst:?}");
}

#[test]
fn loops_and_tensors_give_the_same_values() {
    compare::<Flex>(&cpu(), &SIZES);
}

#[cfg(feature = "vulkan")]
#[test]
fn kernels_of_a_gpu_give_the_same_values_on_vulkan() {
    on_lavapipe("kernels::kernels_of_a_gpu_give_the_same_values_on_vulkan", |device| {
        compare::<Vulkan>(&device, &SIZES[2..])
    });
}

#[test]
fn results_have_the_same_bits_on_any_number_of_threads() {
    let (height, width) = SIZES[1];
    let (_, clips) = clips(height, width).swap_remove(0);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let values = pool.install(|| values(&Host, &clips, (height, width)));
        values.into_iter().flat_map(|(_, values)| values).map(f32::to_bits).collect::<Vec<u32>>()
    };
    let alone = on(1);
    assert!([2, 3, 8].into_iter().all(|threads| on(threads) == alone));
}

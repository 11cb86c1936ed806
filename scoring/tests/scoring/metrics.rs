//! Metrics on pictures and motions whose answer is known.

use crate::support::pictures;
use crate::support::pictures::{HEIGHT, WIDTH, texture};
use leoma_scoring::metrics::{
    Blockiness, Grid, Host, HostPictures, Kernels, MsSsim, Noise, Psnr, Sharpness, Shift,
    recurrence,
};

fn frames(planes: &[Vec<u8>]) -> HostPictures<'_> {
    let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
    Host.pictures(&planes, HEIGHT, WIDTH)
}

fn one(value: impl Fn(i64, i64) -> i64) -> Vec<Vec<u8>> {
    vec![pictures::picture(HEIGHT, WIDTH, value)]
}

#[test]
fn equal_pictures_are_perfect_and_flat_ones_are_finite() {
    let (same, flat) = (vec![pictures::plain()], one(|_, _| 77));
    let (same, flat) = (frames(&same), frames(&flat));
    assert!((Host.measure::<MsSsim, 2>([&same, &same])[0] - 1.0).abs() < 1e-6);
    assert!((Host.measure::<Psnr, 2>([&same, &same])[0] - 100.0).abs() < 1e-3);
    assert!(Host.measure::<Sharpness, 1>([&flat])[0].abs() < 1e-9);
    assert!(Host.measure::<Noise, 1>([&flat])[0].abs() < 1e-9);
    assert!((Host.measure::<Blockiness, 1>([&flat])[0] - 1.0).abs() < 1e-6);
    assert!(Host.measure::<MsSsim, 2>([&same, &flat])[0].is_finite());
}

#[test]
fn blocks_of_eight_are_seen_and_blocks_elsewhere_are_not() {
    let steps =
        |offset: i64| one(move |x, y| ((y + offset) / 8 * 37 + (x + offset) / 8 * 53) % 200);
    assert!(Host.measure::<Blockiness, 1>([&frames(&steps(0))])[0] > 50.0);
    assert!(Host.measure::<Blockiness, 1>([&frames(&steps(4))])[0] < 1.0);
}

#[test]
fn flow_of_a_picture_without_texture_is_none() {
    let flat = [one(|_, _| 128), one(|_, _| 128)].concat();
    assert!(Host.flow(&frames(&flat), 4).values().iter().all(|value| *value == 0.0));
}

#[test]
fn a_small_shift_is_registered_and_a_large_one_is_left() {
    let part = |right: i64, down: i64| one(move |x, y| texture((x - right) * 85, (y - down) * 85));
    let (fixed, moved, far) = (part(0, 0), part(3, -2), part(40, 0));
    let (fixed, moved) = (frames(&fixed), frames(&moved));
    let shift = Host.register(&moved, &fixed);
    assert_eq!(shift, Shift { right: 3, down: -2 });
    let (left, right) = Host.align(&moved, &fixed, shift);
    assert!(Host.measure::<Psnr, 2>([&left, &right])[0] > 40.0);
    assert_eq!(Host.register(&fixed, &fixed), Shift::default());
    let far = Host.register(&frames(&far), &fixed);
    assert!(far.right.abs() <= 4 && far.down.abs() <= 4);
}

/// A pan to the right with something of its own that moves down, and a flash of `flash` in every
/// other frame.
fn pan(speed: i64, flash: i64) -> Vec<Vec<u8>> {
    let value = move |frame: i64, x: i64, y: i64| {
        let itself = (80..140).contains(&x) && (60 + 2 * frame..100 + 2 * frame).contains(&y);
        let (column, row) = if itself { (x + 5000, y - 2 * frame) } else { (x - speed * frame, y) };
        texture(column * 256, row * 256) + frame % 2 * flash
    };
    (0..8).flat_map(|frame| one(move |x, y| value(frame, x, y))).collect()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[test]
fn amount_smoothness_and_camera_are_those_of_the_scene() {
    let [calm, fast, back] = [pan(1, 0), pan(3, 0), pan(-3, 0)];
    let [calm, fast, back] = [&calm, &fast, &back].map(|clip| Host.flow(&frames(clip), 4));
    let amounts = [&calm, &fast].map(|flow| mean(&Host.motion_amount(flow)));
    assert!((1.0..1.3).contains(&amounts[0]) && (2.7..3.1).contains(&amounts[1]), "{amounts:?}");
    assert!(mean(&Host.motion_smoothness(&fast)) > 0.9);
    let zigzag: Vec<f32> =
        fast.maps().zip(back.maps()).flat_map(|(there, back)| [there, back].concat()).collect();
    assert!(mean(&Host.motion_smoothness(&Grid::new(zigzag, fast.shape()))) < 0.15);
    // What moves by itself does not count as the camera's.
    let [_, rows, columns] = fast.shape();
    for camera in Host.camera(&fast) {
        assert!((camera.right[0] - 3.0).abs() < 0.05 && camera.down[0].abs() < 0.05, "{camera:?}");
        assert!((camera.length(rows, columns) - 3.0).abs() < 0.1);
        assert!(camera.zoom(4 * columns).abs() < 1e-3 && camera.roll(4 * columns).abs() < 1e-3);
    }
}

/// Frames at an eighth, as replays and loops are looked for.
fn small(clip: &[Vec<u8>]) -> Grid {
    let (rows, columns) = (HEIGHT / 8, WIDTH / 8);
    let block = |frame: &[u8], row: usize, column: usize| {
        let cells = (0..64).map(|i| (row * 8 + i / 8) * WIDTH + column * 8 + i % 8);
        cells.map(|cell| f32::from(frame[cell])).sum::<f32>() / (64.0 * 255.0)
    };
    let places = || (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let values =
        clip.iter().flat_map(|frame| places().map(|(row, column)| block(frame, row, column)));
    Grid::new(values.collect(), [1, rows, columns])
}

#[test]
fn loops_recur_and_a_pan_does_not() {
    let clip = pan(9, 0);
    let looped: Vec<Vec<u8>> = (0..16).map(|frame| clip[frame % 8].clone()).collect();
    let returns =
        |clip: &[Vec<u8>]| recurrence(&Host.correlations(&small(clip), &small(clip)), clip.len());
    assert!(returns(&clip) < 0.1, "{}", returns(&clip));
    assert!(returns(&looped) > returns(&clip) + 0.2, "{}", returns(&looped));
}

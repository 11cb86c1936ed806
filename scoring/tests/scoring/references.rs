//! Metrics against public implementations: `references/` says how its tables were made.

use crate::support::cpu;
use crate::support::pictures;
use crate::support::pictures::{FLOW_HEIGHT, FLOW_WIDTH, HEIGHT, MOTIONS, WIDTH};
use burn_flex::Flex;
use leoma_scoring::metrics::{
    Blockiness, Grid, Host, Kernels, Tensors, longest_hold, pair_metrics, picture_metrics,
};

/// One line of a table.
struct Entry {
    case: String,
    metric: String,
    reference: String,
    value: f64,
}

fn table(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (rest, value) = line.rsplit_once(',').unwrap();
        let (rest, reference) = rest.rsplit_once(',').unwrap();
        let (case, metric) = rest.rsplit_once(',').unwrap();
        let [case, metric, reference] =
            [case.trim_matches('"'), metric, reference].map(str::to_owned);
        Entry { case, metric, reference, value: value.parse().unwrap() }
    };
    text.lines().skip(1).map(entry).collect()
}

fn near(found: f32, entry: &Entry, tolerance: f64) {
    let (found, Entry { case, metric, reference, value }) = (f64::from(found), entry);
    assert!(
        ((found - value) / value).abs() < tolerance,
        "{metric} of {case}: {found}, {reference} says {value}"
    );
}

fn meets_the_pictures_table<'a, K: Kernels<'a>>(
    kernels: &K,
    base: &'a [u8],
    others: &'a [(Entry, Vec<u8>)],
) {
    let left = kernels.pictures(&[base], HEIGHT, WIDTH);
    let (pairs, singles) = (pair_metrics::<K>(), picture_metrics::<K>());
    for (entry, other) in others {
        // The pictures themselves: to the byte.
        if entry.metric == "sum of bytes" {
            let sum: u64 = other.iter().map(|byte| u64::from(*byte)).sum();
            assert_eq!(sum as f64, entry.value, "{}", entry.case);
            continue;
        }
        let right = kernels.pictures(&[other], HEIGHT, WIDTH);
        let pair = pairs.iter().find(|metric| metric.name == entry.metric);
        let single = singles.iter().find(|metric| metric.name == entry.metric);
        let of_pair = pair.map(|metric| (metric.values)(kernels, [&left, &right]));
        let found = of_pair.unwrap_or_else(|| (single.unwrap().values)(kernels, [&right]));
        near(found[0], entry, 1e-5);
    }
}

#[test]
fn picture_metrics_meet_scikit_image_piq_opencv_and_scipy() {
    let base = pictures::plain();
    let entries = table(include_str!("../../references/tables/pictures.csv"));
    let others: Vec<(Entry, Vec<u8>)> = entries
        .into_iter()
        .map(|entry| (pictures::variant(&entry.case), entry))
        .map(|(a, b)| (b, a))
        .collect();
    assert!(others.len() > 40);
    meets_the_pictures_table(&Host, &base, &others);
    meets_the_pictures_table(&Tensors::<Flex>::new(cpu()), &base, &others);
}

/// Mean end-point error in pixels, a border of 16 pixels left out.
fn end_point_error(flow: &Grid, motion: [i64; 6]) -> f64 {
    let plane = FLOW_HEIGHT * FLOW_WIDTH;
    let inner = (16..FLOW_HEIGHT - 16)
        .flat_map(|row| (16..FLOW_WIDTH - 16).map(move |column| (row, column)));
    let errors: Vec<f64> = inner
        .map(|(row, column)| {
            let (right, down) = pictures::truth(motion, column, row);
            let index = row * FLOW_WIDTH + column;
            let (found_right, found_down) = (flow.values()[index], flow.values()[plane + index]);
            (f64::from(found_right) - right).hypot(f64::from(found_down) - down)
        })
        .collect();
    errors.iter().sum::<f64>() / errors.len() as f64
}

#[test]
fn flow_is_as_near_the_truth_as_that_of_scikit_image_and_opencv() {
    let entries = table(include_str!("../../references/tables/flow.csv"));
    for (name, motion) in MOTIONS {
        let [first, second] = pictures::moved(motion);
        let kernels = Tensors::<Flex>::new(cpu());
        let pair = kernels.pictures(&[&first, &second], FLOW_HEIGHT, FLOW_WIDTH);
        let on_tensors = end_point_error(&kernels.flow(&pair, 1), motion);
        let pair = Host.pictures(&[&first, &second], FLOW_HEIGHT, FLOW_WIDTH);
        let error = end_point_error(&Host.flow(&pair, 1), motion);
        assert!(
            (error - on_tensors).abs() < 1e-4,
            "{name}: {error} in loops, {on_tensors} on tensors"
        );
        let of = |reference: &str| {
            entries
                .iter()
                .find(|entry| entry.case == name && entry.reference == reference)
                .unwrap()
                .value
        };
        let (ilk, dis) = (of("scikit-image ILK"), of("OpenCV DIS medium"));
        println!("{name}: end-point error {error:.4} px; ILK {ilk:.4}, DIS {dis:.4}");
        assert!(error < 0.06, "{name}: {error}");
        assert!(error < 1.05 * ilk.max(dis), "{name}: {error}, ILK {ilk}, DIS {dis}");
    }
}

#[test]
fn the_camera_is_found_beside_what_moves_by_itself_as_opencv_finds_it() {
    let entries = table(include_str!("../../references/tables/camera.csv"));
    let (rows, columns) = (60, 104);
    let noise = pictures::field(rows, columns);
    for (name, right, down) in [
        ("pan", [1.5, 0.0, 0.0], [-0.5, 0.0, 0.0]),
        ("zoom", [0.25, 3.0, 0.0], [0.0, 0.0, 3.0]),
        ("roll", [0.0, 0.0, -2.0], [0.0, 2.0, 0.0]),
    ] {
        let value = |index: usize, [middle, across, downward]: [f32; 3], by_itself: f32| {
            let (row, column) = (index % (rows * columns) / columns, index % columns);
            let (x, y) = ((column as f32 - 51.5) / 52.0, (row as f32 - 29.5) / 52.0);
            let moves = (20..50).contains(&row) && (20..72).contains(&column);
            middle
                + across * x
                + downward * y
                + noise[index] / 32.0
                + if moves { by_itself } else { 0.0 }
        };
        let plane = rows * columns;
        let flow: Vec<f32> = (0..plane)
            .map(|index| value(index, right, 4.0))
            .chain((plane..2 * plane).map(|index| value(index, down, 3.0)))
            .collect();
        let flow = Grid::new(flow, [2, rows, columns]);
        for camera in [Host.camera(&flow)[0], Tensors::<Flex>::new(cpu()).camera(&flow)[0]] {
            for (side, found, known) in
                [("right", camera.right, right), ("down", camera.down, down)]
            {
                for ((part, found), known) in
                    ["middle", "across", "downward"].into_iter().zip(found).zip(known)
                {
                    let wanted = format!("{side} {part}");
                    let opencv =
                        entries.iter().find(|e| e.case == name && e.metric == wanted).unwrap();
                    assert!(
                        (f64::from(found) - opencv.value).abs() < 0.03,
                        "{name}, {wanted}: {found}"
                    );
                    assert!((found - known).abs() < 0.03, "{name}, {wanted}: {found}, not {known}");
                }
            }
        }
    }
}

#[test]
fn blocks_and_freezes_are_seen_where_ffmpeg_sees_them() {
    let entries = table(include_str!("../../references/tables/ffmpeg.csv"));
    let blocks: Vec<&Entry> = entries.iter().filter(|entry| entry.metric == "blockiness").collect();
    let ours = |entry: &Entry| {
        let picture = if entry.case == "blocks0" {
            pictures::plain()
        } else {
            pictures::variant(&entry.case)
        };
        Host.measure::<Blockiness, 1>([&Host.pictures(&[&picture], HEIGHT, WIDTH)])[0]
    };
    assert_eq!(blocks.len(), 4);
    for pair in blocks.windows(2) {
        assert!(pair[0].value < pair[1].value && ours(pair[0]) < ours(pair[1]), "{}", pair[1].case);
    }
    // Sixty frames of a pan that halts from the 20th to the 45th, under noise of one level.
    let frames: Vec<f32> = (0..60_i64)
        .flat_map(|frame| {
            let place = frame.min(20) + (frame - 45).max(0);
            let value = |x: i64, y: i64| {
                texture(x + 2 * place, y) + pictures::lattice(x, y, 1000 + frame) % 3 - 1
            };
            pictures::picture(96, 128, value)
        })
        .map(|byte| f32::from(byte) / 255.0)
        .collect();
    let steps = Host.frame_difference(&Grid::new(frames, [1, 96, 128]));
    let moving = vec![steps[0]; steps.len()];
    let of = |metric: &str| entries.iter().find(|entry| entry.metric == metric).unwrap().value;
    let longest = longest_hold(&steps, &moving) * steps.len() as f32;
    assert!(
        (f64::from(longest) - (of("freeze end") - of("freeze start"))).abs() <= 1.0,
        "{longest} steps"
    );
}

fn texture(x: i64, y: i64) -> i64 {
    pictures::texture(x * 256, y * 256)
}

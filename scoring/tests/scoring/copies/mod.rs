//! Copies of a video are found however they are disguised, and honest answers to one task are told
//! apart.
//!
//! `cargo test -p leoma-scoring --test scoring copies:: -- --nocapture` prints the distances.

mod scenes;

use crate::support;
use crate::support::Studio;
use leoma_scoring::Fingerprint;
use leoma_scoring::media::{Clip, Ffmpeg, Limits, decode};
use scenes::{Model, Scene, Thing};

const THINGS: &[Thing] = &[
    Thing { at: [200.0, 200.0], size: [70.0, 90.0], speed: [3.0, 0.3] },
    Thing { at: [560.0, 330.0], size: [110.0, 60.0], speed: [-2.0, -1.0] },
    Thing { at: [420.0, 120.0], size: [40.0, 40.0], speed: [0.5, 2.5] },
];

const SCENES: [Scene; 6] = [
    Scene {
        name: "fine texture, pan",
        octaves: &[(8, 2.0), (16, 3.0), (32, 4.0), (64, 5.0)],
        contrast: 180.0,
        pan: [3.0, 0.5],
        zoom: 0.0,
        things: &[],
        found_to: 34,
    },
    Scene {
        name: "soft forms, slow pan",
        octaves: &[(24, 1.0), (64, 2.0), (128, 3.0)],
        contrast: 180.0,
        pan: [1.0, 0.3],
        zoom: 0.0,
        things: &[],
        found_to: 34,
    },
    Scene {
        name: "still camera, three things",
        octaves: &[(16, 1.0), (64, 2.0), (128, 2.0)],
        contrast: 120.0,
        pan: [0.0, 0.0],
        zoom: 0.0,
        things: THINGS,
        found_to: 34,
    },
    Scene {
        name: "fast pan, things",
        octaves: &[(8, 1.0), (32, 3.0), (128, 4.0)],
        contrast: 180.0,
        pan: [8.0, 0.0],
        zoom: 0.0,
        things: THINGS,
        found_to: 34,
    },
    Scene {
        name: "faint zoom",
        octaves: &[(16, 1.0), (32, 2.0), (64, 3.0)],
        contrast: 130.0,
        pan: [0.0, 0.0],
        zoom: 0.003,
        things: &[],
        found_to: 34,
    },
    // The limit: nothing smaller than a twentieth of the picture, moving a pixel a frame.
    Scene {
        name: "blurred forms, slow pan",
        octaves: &[(32, 1.0), (64, 2.0), (128, 3.0)],
        contrast: 180.0,
        pan: [1.0, 0.3],
        zoom: 0.0,
        things: &[],
        found_to: 30,
    },
];

const SOURCE: Model = Model { seed: 1, bend: 0.0, haste: 0.0 };

const MODELS: [Model; 6] = [
    Model { seed: 11, bend: 6.0, haste: 0.0 },
    Model { seed: 12, bend: 8.0, haste: 0.0 },
    Model { seed: 13, bend: 8.0, haste: 0.05 },
    Model { seed: 14, bend: 10.0, haste: -0.08 },
    Model { seed: 15, bend: 12.0, haste: 0.0 },
    Model { seed: 16, bend: 7.0, haste: -0.04 },
];

const EDITS: &[(&str, &str, u32)] = &[
    ("crf 18", "null", 18),
    ("crf 28", "null", 28),
    ("crf 34", "null", 34),
    ("640x368 and back", "scale=640:368,scale=832:480", 23),
    ("416x240 and back", "scale=416:240,scale=832:480", 23),
    ("middle 90 %", "crop=iw*0.9:ih*0.9,scale=832:480", 23),
    ("corner 90 %", "crop=iw*0.9:ih*0.9:0:0,scale=832:480", 23),
    ("corner 95 %", "crop=iw*0.95:ih*0.95:iw*0.05:0,scale=832:480", 23),
    ("90 % of the width", "crop=iw*0.9:ih,scale=832:480", 23),
    ("mirrored", "hflip", 23),
    ("brightness +0.08", "eq=brightness=0.08", 23),
    ("contrast 1.25", "eq=contrast=1.25", 23),
    ("gamma 1.3", "eq=gamma=1.3", 23),
    ("gamma 0.75", "eq=gamma=0.75", 23),
    ("grain", "noise=alls=12:allf=t", 23),
    ("speed 1.1", "setpts=0.9*PTS,fps=16,tpad=stop_mode=clone:stop=10", 23),
    ("speed 0.9", "setpts=1.1*PTS,fps=16", 23),
    (
        "mirrored, middle 90 %, gamma 1.2, crf 30",
        "hflip,crop=iw*0.9:ih*0.9,scale=832:480,eq=gamma=1.2",
        30,
    ),
    (
        "corner 90 %, speed 0.9, contrast, crf 30",
        "crop=iw*0.9:ih*0.9:0:0,scale=832:480,eq=contrast=1.2,setpts=1.1*PTS,fps=16",
        30,
    ),
    (
        "mirrored, middle 90 %, speed 1.1, crf 34",
        "hflip,crop=iw*0.9:ih*0.9,scale=832:480,setpts=0.9*PTS,fps=16,tpad=stop_mode=clone:stop=10",
        34,
    ),
];

fn write_raw(studio: &Studio, clip: &Clip) {
    let mut bytes = Vec::new();
    for index in 0..clip.len() {
        let (blue, red) = clip.chroma(index);
        bytes.extend_from_slice(clip.luma(index));
        bytes.extend_from_slice(blue);
        bytes.extend_from_slice(red);
    }
    std::fs::write(studio.path("raw.yuv"), bytes).unwrap();
}

fn edited(studio: &Studio, ffmpeg: &Ffmpeg, (_, filter, crf): &(&str, &str, u32)) -> Clip {
    let mp4 = studio.make(
        "copy.mp4",
        "-f rawvideo -pix_fmt yuv420p -s 832x480 -r 16 -i {}/raw.yuv",
        &format!(
            "-vf {filter} -frames:v 81 -c:v libx264 -preset veryfast -crf {crf} -pix_fmt yuv420p"
        ),
    );
    decode(ffmpeg, &mp4, &Limits::ANSWER).unwrap()
}

/// Compares all videos of one scene; the distances are printed and compared with the limit.
fn compare_all(scene: &Scene) {
    let Some(ffmpeg) = support::ffmpeg() else { return };
    let studio = Studio::new();
    let source = scene.played(SOURCE);
    let replay = Fingerprint::of(&source, &source);
    let prints: Vec<Fingerprint> =
        MODELS.iter().map(|model| Fingerprint::of(&scene.played(*model), &source)).collect();
    let mut table =
        format!("{}\n  honest answers, from the source and from each other\n", scene.name);
    for (index, print) in prints.iter().enumerate() {
        let distances: Vec<u8> =
            prints[..index].iter().map(|other| other.distance(print)).collect();
        let told: Vec<String> = distances.iter().map(|distance| format!("{distance:3}")).collect();
        table += &format!(
            "    {:2} px {:3} | {}\n",
            MODELS[index].bend,
            replay.distance(print),
            told.join(" ")
        );
        assert!(distances.iter().all(|distance| *distance >= Fingerprint::COPY_BELOW), "{table}");
    }
    table += "  copies of the second\n";
    let original = scene.played(MODELS[1]);
    write_raw(&studio, &original);
    for edit in EDITS {
        let copy = Fingerprint::of(&edited(&studio, &ffmpeg, edit), &source);
        let likeness = prints[1].likeness(&copy);
        let others = prints.iter().enumerate().filter(|(index, _)| *index != 1);
        let nearest = others.map(|(_, other)| other.distance(&copy)).min().unwrap_or(255);
        table += &format!(
            "    {:45} {:3}, next {nearest}: {}\n",
            edit.0,
            likeness.distance,
            likeness.told("it")
        );
        assert_eq!(likeness.distance, copy.distance(&prints[1]), "the other way round");
        assert!(likeness.is_copy() || edit.2 > scene.found_to, "{table}");
        assert!(nearest >= Fingerprint::COPY_BELOW, "{table}");
    }
    println!("{table}");
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn fine_texture_in_a_pan() {
    compare_all(&SCENES[0]);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn soft_forms_in_a_slow_pan() {
    compare_all(&SCENES[1]);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn things_before_a_still_camera() {
    compare_all(&SCENES[2]);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn things_in_a_fast_pan() {
    compare_all(&SCENES[3]);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn a_faint_zoom() {
    compare_all(&SCENES[4]);
}

#[test]
#[ignore = "slow: run by ./test.sh --all"]
fn blurred_forms_in_a_slow_pan() {
    compare_all(&SCENES[5]);
}

//! From a task's `metadata.json` to what is shown of it.

use std::collections::BTreeMap;

use leoma_protocol::{FileId, Hotkey};
use leoma_scoring::{Measures, TaskType, held_to};
use leoma_storage::Challenge;
use leoma_web::view::{HeldTo, Measure, TaskRecord};
use serde_json::Value;

use crate::config::Plug;
use crate::corpus::{Evidence, Seed, TaskMetadata};
use crate::mechanism::motion::MotionMetadata;
use crate::mechanism::oracle::OracleMetadata;

/// Most answers of a task whose measures are shown: as many as a subnet has miners. A stranger
/// wrote them.
const MAX_ANSWERS: usize = 256;
/// Most measures that are shown of an answer.
const MAX_MEASURES: usize = 200;

/// Longest text of a moment that is shown.
const MAX_MOMENT_CHARS: usize = 40;

/// What is shown of a task's metadata, as this mechanism writes it; `None` if it is of another task
/// or sampler, or cannot be read.
pub(super) fn shown(
    plug: Plug,
    bytes: &[u8],
    id: FileId,
    allowlist: Option<String>,
) -> Option<TaskRecord> {
    let record = match plug {
        Plug::Video => of_video(bytes, id),
        Plug::Motion => of_motion(bytes, id),
        Plug::Oracle => of_oracle(bytes, id),
    }?;
    Some(TaskRecord { allowlist, ..record })
}

fn of_video(bytes: &[u8], id: FileId) -> Option<TaskRecord> {
    let metadata: TaskMetadata = serde_json::from_slice(bytes).ok()?;
    if metadata.task_id != id.task_id || metadata.validator != id.producer {
        return None;
    }
    let clip = &metadata.clip;
    let [fps, frames, width, height] = clip.shape;
    let proof = vec![
        seed(&clip.seed),
        ("Source video", clip.key.to_string()),
        ("Its SHA-256", clip.source_sha256.to_string()),
        ("Skipped before it", clip.skipped.len().to_string()),
        ("Shot", format!("{} of {}", clip.shot + 1, clip.shots.len())),
        ("Start", format!("{} ms, {} ms into the shot", clip.start_ms, clip.offset_ms)),
        ("Shape", format!("{frames} frames of {width}x{height} at {fps} a second")),
        ("Clip's SHA-256", clip.clip_sha256.to_string()),
        ("First frame's SHA-256", clip.first_frame_sha256.to_string()),
        ("ffmpeg", clip.ffmpeg.clone()),
    ];
    Some(TaskRecord {
        prompt: metadata.prompt.clone(),
        task_type: metadata.task.to_string(),
        proof,
        measures: measured(&metadata.evidence, metadata.task),
        allowlist: None,
    })
}

fn of_motion(bytes: &[u8], id: FileId) -> Option<TaskRecord> {
    let metadata: MotionMetadata = serde_json::from_slice(bytes).ok()?;
    if metadata.task_id != id.task_id || metadata.validator != id.producer {
        return None;
    }
    let drawn = &metadata.challenge;
    let Challenge { audio, animation } = &drawn.challenge;
    let proof = vec![
        seed(&drawn.seed),
        ("List's SHA-256", drawn.list_sha256.to_string()),
        ("Position", format!("{} of {} challenges", drawn.index, drawn.challenges)),
        ("Sound", audio.key.to_string()),
        ("Its SHA-256", audio.sha256.to_string()),
        ("Reference", animation.key.to_string()),
        ("Its SHA-256", animation.sha256.to_string()),
        ("Time for an answer", format!("{} ms", metadata.timeout_ms)),
    ];
    let measures = metadata.evidence.iter().take(MAX_ANSWERS).map(|(miner, found)| {
        let measures = [
            ("distance", found.distance),
            ("correctness", found.correctness),
            ("speed", found.speed),
            ("frames", found.frames as f64),
        ];
        let measure =
            |(name, value): (&str, f64)| Measure { name: name.to_owned(), value, held_to: None };
        (miner.to_string(), measures.into_iter().map(measure).collect::<Vec<Measure>>())
    });
    let measures = measures.collect();
    Some(TaskRecord { task_type: "motion".to_owned(), proof, measures, ..TaskRecord::default() })
}

fn of_oracle(bytes: &[u8], id: FileId) -> Option<TaskRecord> {
    let metadata: OracleMetadata = serde_json::from_slice(bytes).ok()?;
    if metadata.task_id != id.task_id || metadata.validator != id.producer {
        return None;
    }
    let [first, last] = metadata.plan.read;
    let proof = vec![
        seed(&metadata.seed),
        ("That block's clock", format!("{} ms since 1970", metadata.plan.start_ms)),
        ("Forecasts begin", metadata.timestamp.chars().take(MAX_MOMENT_CHARS).collect()),
        ("Prices read", format!("{} from {first} to {last} s since 1970", metadata.closes.len())),
    ];
    Some(TaskRecord { task_type: "oracle".to_owned(), proof, ..TaskRecord::default() })
}

fn seed(seed: &Seed) -> (&'static str, String) {
    ("Seed", format!("block {}, hash {}", seed.block, seed.hash))
}

/// What was measured of each answer, by hotkey.
fn measured(
    evidence: &BTreeMap<Hotkey, Evidence>,
    task: TaskType,
) -> BTreeMap<String, Vec<Measure>> {
    let measured = evidence.iter().filter_map(|(miner, evidence)| {
        Some((miner.to_string(), measures(evidence.measures.as_ref()?, task)))
    });
    measured.take(MAX_ANSWERS).collect()
}

/// What the subnet's policy holds an answer to, then the raw numbers. Another release may have
/// measured other things: then the numbers alone.
fn measures(raw: &Value, task: TaskType) -> Vec<Measure> {
    let held = serde_json::from_value::<Measures>(raw.clone());
    let held = held.map(|measures| held_to(&measures, task)).unwrap_or_default();
    let thousandths = |bound: i32| f64::from(bound) / 1000.0;
    let held = held.into_iter().map(|one| Measure {
        name: one.name.to_owned(),
        value: f64::from(one.value),
        held_to: Some(HeldTo {
            aspect: one.aspect,
            none: thousandths(one.ramp.none),
            full: thousandths(one.ramp.full),
            points: one.points,
        }),
    });
    let members = raw.as_object().into_iter().flatten();
    let number = |(name, value): (&String, &Value)| {
        Some(Measure { name: name.clone(), value: value.as_f64()?, held_to: None })
    };
    held.chain(members.filter_map(number)).take(MAX_MEASURES).collect()
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{BlockNumber, Digest, Netuid, TaskId};
    use serde_json::json;

    use super::*;

    #[test]
    fn measures_of_this_release_come_with_their_bounds_and_others_as_numbers() {
        let raw = serde_json::to_value(Measures { held: 0.3, ..Measures::default() }).unwrap();
        let shown = measures(&raw, TaskType::Ti2v);
        let held = shown.iter().find(|one| one.name == "held" && one.held_to.is_some()).unwrap();
        let bounds = held.held_to.unwrap();
        assert_eq!((bounds.aspect, bounds.none, bounds.full), ("motion_quality", 0.45, 0.1));
        assert!((bounds.points - 42.86).abs() < 0.1, "{}", bounds.points);
        assert!(shown.iter().any(|one| one.name == "held" && one.held_to.is_none()));
        let other = measures(&json!({ "drift": 0.5, "odd": "x" }), TaskType::Ti2v);
        assert_eq!(other.len(), 1);
        assert!(other[0].held_to.is_none());
    }

    #[test]
    fn no_more_is_kept_of_what_a_stranger_wrote_than_a_subnet_has_miners() {
        let many: serde_json::Map<String, Value> =
            (0..300).map(|number| (format!("m{number}"), json!(number))).collect();
        let evidence = Evidence { measures: Some(many.into()), judge: None };
        let of = |number: u16| {
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            (Hotkey::from_bytes(bytes), evidence.clone())
        };
        let shown = measured(&(0..300).map(of).collect(), TaskType::Ti2v);
        assert_eq!(shown.len(), MAX_ANSWERS);
        assert!(shown.values().all(|measures| measures.len() == MAX_MEASURES));
    }

    const ID: FileId = FileId { task_id: TaskId(7), producer: Hotkey::from_bytes([1; 32]) };

    /// What the metadata of every mechanism says.
    fn with_task(mut own: Value) -> Vec<u8> {
        own["task_id"] = json!(ID.task_id);
        own["validator"] = json!(ID.producer);
        own["netuid"] = json!(Netuid(99));
        own["genesis"] = json!(Digest::of(b"chain"));
        own["block"] = json!(BlockNumber(701));
        serde_json::to_vec(&own).unwrap()
    }

    fn seed_of() -> Value {
        json!({ "block": BlockNumber(700), "hash": Digest::of(b"hash") })
    }

    fn value_of(record: &TaskRecord, name: &str) -> String {
        let mut values = record.proof.iter().filter(|(of, _)| *of == name);
        values.next().map(|(_, value)| value.clone()).unwrap()
    }

    #[test]
    fn a_task_of_motion_is_shown_by_its_challenge_and_what_values_follow_from() {
        let miner = Hotkey::from_bytes([9; 32]);
        let file = |key: &str| json!({ "key": key, "sha256": Digest::of(b"file"), "size": 5 });
        let bytes = with_task(json!({
            "schema": "leoma.motion/1",
            "judge": "motion/1",
            "timeout_ms": 30_000,
            "challenge": {
                "seed": seed_of(),
                "list_sha256": Digest::of(b"list"),
                "challenges": 12,
                "index": 3,
                "challenge": { "animation": file("a.bvh"), "audio": file("a.wav") },
            },
            "evidence": {
                (miner.to_string()): {
                    "frames": 60, "distance": 0.25, "correctness": 0.8, "speed": 0.9,
                },
            },
        }));
        let list = Some("a".repeat(64));
        let record = shown(Plug::Motion, &bytes, ID, list.clone()).unwrap();
        assert_eq!((&*record.task_type, &record.allowlist), ("motion", &list));
        assert_eq!(value_of(&record, "Sound"), "a.wav");
        assert_eq!(value_of(&record, "Position"), "3 of 12 challenges");
        let measures = &record.measures[&miner.to_string()];
        assert_eq!((&*measures[0].name, measures[0].value), ("distance", 0.25));
        let other = FileId { task_id: TaskId(8), ..ID };
        assert!(shown(Plug::Motion, &bytes, other, None).is_none());
        assert!(shown(Plug::Video, &bytes, ID, None).is_none());
    }

    #[test]
    fn a_task_of_the_oracle_is_shown_by_its_moment_and_no_text_of_a_stranger_is_endless() {
        let bytes = with_task(json!({
            "schema": "leoma.oracle/1",
            "seed": seed_of(),
            "plan": {
                "start_ms": 1_736_519_701_000_u64,
                "begin": 1_736_520_000,
                "read": [1_736_500_800, 1_736_519_700],
                "session": "open",
            },
            "timestamp": "t".repeat(5000),
            "closes": { "1736519400": 6, "1736519700": 5 },
            "heard": {},
        }));
        let record = shown(Plug::Oracle, &bytes, ID, None).unwrap();
        assert_eq!(record.task_type, "oracle");
        assert_eq!(value_of(&record, "Forecasts begin").len(), MAX_MOMENT_CHARS);
        let prices = value_of(&record, "Prices read");
        assert_eq!(prices, "2 from 1736500800 to 1736519700 s since 1970");
    }
}

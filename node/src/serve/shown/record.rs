//! From a task's `metadata.json` to what is shown of it.

use std::collections::BTreeMap;

use leoma_protocol::{FileId, Hotkey};
use leoma_scoring::{Measures, TaskType, held_to};
use leoma_web::view::{HeldTo, Measure, TaskRecord};
use serde_json::Value;

use crate::corpus::{Evidence, TaskMetadata};

/// Most answers of a task whose measures are shown: as many as a subnet has miners. A stranger
/// wrote them.
const MAX_ANSWERS: usize = 256;
/// Most measures that are shown of an answer.
const MAX_MEASURES: usize = 200;

/// What is shown of a task's metadata; `None` if it is of another task or sampler, or cannot be
/// read.
pub(super) fn shown(bytes: &[u8], id: FileId, allowlist: Option<String>) -> Option<TaskRecord> {
    let metadata: TaskMetadata = serde_json::from_slice(bytes).ok()?;
    if metadata.task_id != id.task_id || metadata.validator != id.producer {
        return None;
    }
    let clip = &metadata.clip;
    let [fps, frames, width, height] = clip.shape;
    let proof = vec![
        ("Seed", format!("block {}, hash {}", clip.seed.block, clip.seed.hash)),
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
        allowlist,
    })
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
}

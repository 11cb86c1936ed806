//! From a verified verdict file to what is shown of it.

use leoma_protocol::verdict::{AspectScores, VerdictEntry, VerifiedVerdict};
use leoma_scoring::JudgeChoice;
use leoma_web::view::{Entry, Needed, Verdict};

/// What is shown of a file. Entries are sorted by the hotkey's text.
pub(super) fn shown(file: &VerifiedVerdict) -> Verdict {
    let envelope = file.envelope.as_ref().map(|signed| &signed.envelope);
    let judge = envelope.map_or_else(String::new, |envelope| envelope.judge.clone());
    let asked = JudgeChoice::needed(&judge);
    let needed = Needed { overall: asked.overall, aspects: asked.aspects, measure: asked.measure };
    let mut entries: Vec<Entry> = file.entries.iter().map(entry).collect();
    entries.sort_by(|a, b| a.miner.cmp(&b.miner));
    Verdict {
        task_id: file.id.task_id.0,
        producer: file.id.producer.to_string().into(),
        digest: file.digest.to_string(),
        block: envelope.map_or(0, |envelope| envelope.block.0),
        judge,
        needed,
        entries,
    }
}

fn entry(entry: &VerdictEntry) -> Entry {
    Entry {
        miner: entry.hotkey.to_string().into(),
        passed: entry.passed,
        status: entry.status.as_str().to_owned(),
        confidence: entry.confidence,
        reasoning: entry.reasoning.clone(),
        latency_ms: entry.latency_ms,
        score: entry.score,
        aspects: entry.aspect_scores.as_ref().map(aspects).unwrap_or_default(),
        model_revision: entry.model_revision.clone(),
        video_sha256: entry.video_sha256.map(|digest| digest.to_string()),
    }
}

fn aspects(scores: &AspectScores) -> Vec<(&'static str, u16)> {
    vec![
        ("first_frame_fidelity", scores.first_frame_fidelity),
        ("prompt_adherence", scores.prompt_adherence),
        ("motion_quality", scores.motion_quality),
        ("temporal_consistency", scores.temporal_consistency),
        ("visual_quality", scores.visual_quality),
        ("camera_composition", scores.camera_composition),
    ]
}

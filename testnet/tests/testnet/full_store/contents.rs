//! What validators make and say of the tasks of a full store, as large as the real things.

use bytes::Bytes;
use leoma::corpus::{ClipProof, CorpusId, Evidence, PROOF_SCHEMA, Seed, TaskMetadata};
use leoma_protocol::verdict::{AspectScores, EntryStatus, VerdictDraft, VerdictEntry};
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Network};
use leoma_scoring::{Measures, TaskType};
use leoma_web::{ReportedMiner, Sample};

/// Blocks of a task.
pub(super) const INTERVAL: u64 = 10;
pub(super) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub(super) const CHUTE: &str = "7c1f0f2e-9d1a-4a39-8f3e-000000000000";
/// The judge's words on an answer are about this long.
const REASON_CHARS: usize = 120;
const LATENCY_MS: u16 = 61_000;

/// A file with an entry for each miner, as large as real ones.
pub(super) fn draft(network: Network, id: FileId, miners: &[Hotkey]) -> VerdictDraft {
    let entry = |(number, miner): (usize, &Hotkey)| {
        let passed = !(id.task_id.0 as usize + number).is_multiple_of(3);
        let status = if passed { EntryStatus::Passed } else { EntryStatus::Failed };
        VerdictEntry {
            passed,
            model_revision: Some(REVISION.to_owned()),
            video_sha256: Some(Digest::of(&number.to_be_bytes())),
            score: Some(731),
            aspect_scores: Some(AspectScores::default()),
            fingerprint: Some(vec![7; 256]),
            ..VerdictEntry::unusable(*miner, status, "r".repeat(REASON_CHARS), LATENCY_MS.into())
        }
    };
    VerdictDraft {
        network,
        task_id: id.task_id,
        params: ConsensusParams::default().digest(),
        judge: "local/1".into(),
        block: BlockNumber(id.task_id.0 * INTERVAL + 1),
        metadata_sha256: None,
        entries: miners.iter().enumerate().map(entry).collect(),
    }
}

/// A task's `metadata.json`, with every measure of every answer.
pub(super) fn metadata(network: Network, id: FileId, miners: &[Hotkey]) -> Bytes {
    let some = Digest::of(b"some");
    let evidence = Evidence {
        measures: Some(serde_json::to_value(Measures::default()).unwrap()),
        judge: None,
    };
    let clip = ClipProof {
        schema: PROOF_SCHEMA,
        seed: Seed { block: BlockNumber(id.task_id.0 * INTERVAL), hash: some },
        corpus: CorpusId::Manifest { sha256: some, videos: 1 },
        skipped: Vec::new(),
        index: 0,
        key: "clips/harbour.mp4".parse().unwrap(),
        source_sha256: some,
        source_bytes: 1 << 20,
        shots: vec![[0, 9_000]],
        nonrigid: None,
        shot: 0,
        start_ms: 2_000,
        offset_ms: 2_000,
        shape: [16, 81, 832, 480],
        clip_sha256: some,
        first_frame_sha256: some,
        ffmpeg: "7.1".to_owned(),
    };
    let metadata = TaskMetadata {
        task_id: id.task_id,
        netuid: network.netuid,
        genesis: network.genesis,
        validator: id.producer,
        block: BlockNumber(id.task_id.0 * INTERVAL + 1),
        task: TaskType::default(),
        prompt: Some("A boat turns in the harbour".to_owned()),
        judge: "local/1".to_owned(),
        clip,
        evidence: miners.iter().map(|miner| (*miner, evidence.clone())).collect(),
    };
    serde_json::to_vec(&metadata).unwrap().into()
}

/// What a validator posts of its verdict.
pub(super) fn sample(id: FileId, miner: &Hotkey) -> Sample {
    Sample {
        task_id: id.task_id.0,
        miner_hotkey: miner.to_string(),
        prompt: "A boat turns in the harbour".to_owned(),
        s3_bucket: "leoma-validator".to_owned(),
        s3_prefix: format!("{}/", id.task_id),
        passed: true,
        confidence: Some(90),
        reasoning: Some("r".repeat(REASON_CHARS)),
        latency_ms: Some(LATENCY_MS.into()),
        original_artifacts: None,
        generated_artifacts: None,
        presentation_order: None,
        evaluation_signature: None,
    }
}

/// What a validator reports of the miner in slot `uid`.
pub(super) fn reported(uid: u16, miner: &Hotkey) -> ReportedMiner {
    ReportedMiner {
        uid,
        miner_hotkey: miner.to_string(),
        model_name: Some(format!("miner/leoma-{miner}")),
        model_revision: Some(REVISION.to_owned()),
        model_hash: Some("5".repeat(64)),
        chute_id: Some(CHUTE.to_owned()),
        chute_slug: Some(format!("leoma-{uid}")),
        block: Some(5),
        is_valid: true,
        invalid_reason: None,
    }
}

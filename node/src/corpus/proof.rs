//! What a task's `metadata.json` says of the clip: everything that is needed to make the choice
//! again.

use std::collections::BTreeMap;

use leoma_protocol::{BlockNumber, Digest, Hotkey, Netuid, TaskId};
use leoma_scoring::TaskType;
use leoma_scoring::media::{ClipShape, Segment};
use leoma_storage::Key;
use serde::{Deserialize, Serialize};

use super::reading::{CorpusId, Expectation, SkipReason};

/// The version of a proof in which every shot may be drawn.
pub const PROOF_SCHEMA: u32 = 1;
/// The version of a proof with [`ClipProof::nonrigid`], by which shots are passed over: a release
/// that does not know them would draw another clip.
const PROOF_WITH_CHALLENGES: u32 = 2;

/// Whether this release reads a proof of this version.
pub(crate) fn is_known_schema(schema: &serde_json::Value) -> bool {
    *schema == PROOF_SCHEMA || *schema == PROOF_WITH_CHALLENGES
}

/// The version of a proof, by whether shots were passed over.
pub(super) const fn schema_of(has_challenges: bool) -> u32 {
    if has_challenges { PROOF_WITH_CHALLENGES } else { PROOF_SCHEMA }
}
/// Largest `metadata.json` that is read: a prompt and a proof have a few KiB, the evidence of 256
/// answers a few MiB.
pub const MAX_PROOF_BYTES: u64 = 4 << 20;

/// A task's `metadata.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMetadata {
    /// The task.
    pub task_id: TaskId,
    /// The subnet.
    pub netuid: Netuid,
    /// The chain.
    pub genesis: Digest,
    /// Who sampled.
    pub validator: Hotkey,
    /// The chain's head when the task was taken up.
    pub block: BlockNumber,
    /// What miners were given.
    #[serde(default)]
    pub task: TaskType,
    /// What they were asked for, where the task has a prompt.
    #[serde(default)]
    pub prompt: Option<String>,
    /// What judged.
    pub judge: String,
    /// The clip, and how it was chosen.
    pub clip: ClipProof,
    /// What verdicts follow from, for each miner that sent a video.
    #[serde(default)]
    pub evidence: BTreeMap<Hotkey, Evidence>,
}

/// What one verdict follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The raw measures by name, where the video was measured.
    pub measures: Option<serde_json::Value>,
    /// The judge's own words, where one was asked.
    pub judge: Option<JudgeEvidence>,
}

/// A judge's answer as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeEvidence {
    /// The model that says it wrote it.
    pub model: String,
    /// Its first 8 192 characters.
    pub raw: String,
}

/// How a clip was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipProof {
    /// [`PROOF_SCHEMA`], or 2 where `nonrigid` is there.
    pub schema: u32,
    /// What the choice follows from.
    pub seed: Seed,
    /// What was chosen from.
    pub corpus: CorpusId,
    /// The videos that came before in the draw and could not be used.
    pub skipped: Vec<Skipped>,
    /// Position of the video in the corpus.
    pub index: usize,
    /// The video's key.
    pub key: Key,
    /// SHA-256 of the video.
    pub source_sha256: Digest,
    /// Size of the video in bytes.
    pub source_bytes: u64,
    /// The shots that a clip could be cut from, `[first usable millisecond, first one that is
    /// not]`.
    pub shots: Vec<[u64; 2]>,
    /// How much moves by itself in each shot, in thousandths of a pixel per six frames, where the
    /// corpus says it. Shots below [`super::LEAST_NONRIGID`] were passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonrigid: Option<Vec<u32>>,
    /// Position of the clip's shot among them.
    pub shot: usize,
    /// Start of the clip in the video, in milliseconds.
    pub start_ms: u64,
    /// Start of the clip in its shot, in milliseconds.
    pub offset_ms: u64,
    /// Frames per second, number of frames, width and height in pixels.
    pub shape: [u32; 4],
    /// SHA-256 of `original_clip.mp4`.
    pub clip_sha256: Digest,
    /// SHA-256 of `first_frame.png`.
    pub first_frame_sha256: Digest,
    /// Version of the ffmpeg that found the shots (where the corpus does not name them) and cut the
    /// clip.
    pub ffmpeg: String,
}

/// The block that a choice follows from: the task's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Its number.
    pub block: BlockNumber,
    /// Its hash.
    pub hash: Digest,
}

/// A video that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its position in the corpus.
    pub index: usize,
    /// Its key.
    pub key: Key,
    /// Why.
    pub reason: SkipReason,
}

impl ClipProof {
    /// The shape of the clip.
    pub const fn clip_shape(&self) -> ClipShape {
        let [fps, frames, width, height] = self.shape;
        ClipShape { width, height, fps, frames }
    }

    /// The shots as the scorer knows them.
    pub fn segments(&self) -> Vec<Segment> {
        segments(&self.shots)
    }

    /// What the video's bytes must be.
    pub const fn expectation(&self) -> Expectation {
        Expectation { size: self.source_bytes, sha256: Some(self.source_sha256) }
    }
}

/// Shots as the scorer knows them.
pub(super) fn segments(shots: &[[u64; 2]]) -> Vec<Segment> {
    shots
        .iter()
        .map(|[start_ms, end_ms]| Segment { start_ms: *start_ms, end_ms: *end_ms })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other programs read these words.
    #[test]
    fn reasons_and_corpora_are_written_by_name() {
        let json = |value: &dyn erased::Json| value.json();
        let sha256 = Digest([0; 32]);
        let zeros = "0".repeat(64);
        for (value, expected) in [
            (&SkipReason::Missing as &dyn erased::Json, "{\"kind\":\"missing\"}".to_owned()),
            (&SkipReason::NoShot, "{\"kind\":\"no_shot\"}".to_owned()),
            (
                &SkipReason::OtherBytes("x".into()),
                "{\"kind\":\"other_bytes\",\"detail\":\"x\"}".to_owned(),
            ),
            (
                &CorpusId::Manifest { sha256, videos: 3 },
                format!("{{\"kind\":\"manifest\",\"sha256\":\"{zeros}\",\"videos\":3}}"),
            ),
        ] {
            assert_eq!(json(value), expected);
        }
    }

    mod erased {
        pub(super) trait Json {
            fn json(&self) -> String;
        }
        impl<T: serde::Serialize> Json for T {
            fn json(&self) -> String {
                serde_json::to_string(self).unwrap()
            }
        }
    }
}

//! The choice of a task's clip made again, step by step, by anyone who can read the buckets.
//!
//! | step | holds when | cannot be checked when |
//! |---|---|---|
//! | `metadata` | the file is there, of this task, and has a proof | it is gone |
//! | `seed_block` | the seed is the task's first block | the allowlist of the task is not known |
//! | `seed_hash` | the chain has this hash for it | no chain and no hash is given |
//! | `corpus` | the bucket has the list that the choice names | it changed since |
//! | `video` | the draw gives this video, after those skipped | the list is not there any more |
//! | `skipped` | each is unusable here too | it is gone, was out of reach, or another ffmpeg looked at it |
//! | `source` | the video's bytes are those of the proof | it is gone |
//! | `shots` | they are those of the manifest, or found again | another ffmpeg found them |
//! | `segment` | the draw gives this shot and this millisecond | - |
//! | `clip` | `original_clip.mp4` is the file of the proof | it is gone |
//! | `cut` | the same cut made here shows the same frames | a file is missing |
//! | `first_frame` | `first_frame.png` is the clip's first frame | another ffmpeg wrote other bytes |
//! | `duplicates` | who is called a copy is one by the verdict file's fingerprints, and nobody else is | it has none, or the clip is gone |
//!
//! `duplicates` is left out where the bucket has no verdict file of the task. Which of two miners
//! committed earlier is not in that file, so that this step does not check it.
//!
//! Encoders differ between machines, so a cut is compared frame by frame in decoded luma, unless
//! its bytes are the same.

mod copies;
mod media;
mod steps;

use bytes::Bytes;
use leoma_protocol::{BlockNumber, Digest, Network, TaskId};
use leoma_scoring::media::{Ffmpeg, Limits};
use leoma_storage::{Bucket, CorpusManifest, SourceBucket, StoreError, TaskKey, TaskObject};
use serde::Serialize;

use super::proof::{ClipProof, CorpusId, MAX_PROOF_BYTES, SkipReason, TaskMetadata};
use super::reading::Corpus;

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not: this is not the choice that the seed makes.
    Fail,
    /// Something that is needed is not at hand. It says nothing against the sampler.
    Unchecked,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub step: &'static str,
    /// What came of it.
    pub outcome: Verdict,
    /// What was found.
    pub finding: String,
}

impl Step {
    fn pass(step: &'static str, finding: impl Into<String>) -> Self {
        Self { step, outcome: Verdict::Pass, finding: finding.into() }
    }

    fn fail(step: &'static str, finding: impl Into<String>) -> Self {
        Self { step, outcome: Verdict::Fail, finding: finding.into() }
    }

    fn unchecked(step: &'static str, finding: impl Into<String>) -> Self {
        Self { step, outcome: Verdict::Unchecked, finding: finding.into() }
    }
}

/// Something that the audit compares with, or why it does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It is known.
    Value(T),
    /// It is not.
    Unknown(String),
}

/// What a task is checked against.
#[derive(Debug)]
pub struct TaskAudit<'a> {
    /// The task.
    pub task_id: TaskId,
    /// Chain and subnet that it must be of.
    pub network: Network,
    /// The bucket of the validator that sampled it.
    pub bucket: &'a Bucket,
    /// The source bucket.
    pub source: &'a SourceBucket,
    /// The task's first block.
    pub start_block: Known<BlockNumber>,
    /// That block's hash.
    pub seed_hash: Known<Digest>,
    /// Smallest and largest video that the subnet takes from a listing.
    pub listed_bytes: (u64, u64),
    /// What looks at videos here.
    pub ffmpeg: Ffmpeg,
}

/// What an audit came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The task.
    pub task_id: TaskId,
    /// The proof that was checked, where there is one.
    pub clip: Option<ClipProof>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl AuditReport {
    /// Number of steps with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Verdict) -> usize {
        self.steps.iter().filter(|step| step.outcome == outcome).count()
    }
}

impl TaskAudit<'_> {
    /// Checks everything that can be checked; what a bucket does not give is a step that could not
    /// be.
    pub async fn run(&self) -> AuditReport {
        let (metadata, first) = self.metadata().await;
        let mut steps = vec![first];
        let Some(TaskMetadata { clip: proof, validator: sampler, .. }) = metadata else {
            return AuditReport { task_id: self.task_id, clip: None, steps };
        };
        steps.push(steps::seed_block(&proof, &self.start_block));
        steps.push(steps::seed_hash(&proof, &self.seed_hash));
        let (corpus, step) = self.corpus(&proof).await;
        steps.push(step);
        steps.push(steps::video(&proof, corpus.as_ref()));
        let shots_of = |index: usize| {
            corpus.as_ref().and_then(|corpus| corpus.videos.get(index)?.shots.clone())
        };
        for skipped in &proof.skipped {
            let named = corpus.as_ref().and_then(|corpus| corpus.videos.get(skipped.index));
            steps.push(match named {
                Some(video) => self.skipped(&proof, skipped, video).await,
                None => Step::unchecked(
                    "skipped",
                    format!("{}: the corpus of then is not known", skipped.key),
                ),
            });
        }
        let (source, step) = self.source(&proof).await;
        steps.push(step);
        steps.push(self.shots(&proof, shots_of(proof.index), source.clone()).await);
        steps.push(steps::segment(&proof));
        let (clip, step) = self.object("clip", TaskObject::OriginalClip, proof.clip_sha256).await;
        steps.push(step);
        steps.push(self.cut(&proof, source, clip.clone()).await);
        let (picture, step) =
            self.object("first_frame", TaskObject::FirstFrame, proof.first_frame_sha256).await;
        let duplicates = self.duplicates(sampler, clip.clone()).await;
        steps.push(match (picture, clip) {
            (Some(picture), Some(clip)) => self.first_frame(&proof, picture, clip).await,
            (Some(_), None) => Step::unchecked(
                "first_frame",
                "the clip that it should be the first frame of is not known",
            ),
            _ => step,
        });
        steps.extend(duplicates);
        AuditReport { task_id: self.task_id, clip: Some(proof), steps }
    }

    async fn read(&self, object: TaskObject, max_bytes: u64) -> Result<Option<Bytes>, StoreError> {
        self.bucket.get(&TaskKey::new(self.task_id, object).into(), max_bytes).await
    }

    async fn metadata(&self) -> (Option<TaskMetadata>, Step) {
        const NAME: &str = "metadata";
        let bytes = match self.read(TaskObject::Metadata, MAX_PROOF_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let finding =
                    format!("{} has no metadata.json of task {}", self.bucket.name(), self.task_id);
                return (None, Step::unchecked(NAME, finding));
            }
            Err(StoreError::TooLarge { limit, .. }) => {
                return (None, Step::fail(NAME, format!("it has more than {limit} bytes")));
            }
            Err(error) => return (None, Step::unchecked(NAME, error.to_string())),
        };
        match steps::metadata(&bytes, self.task_id, self.network) {
            Ok(metadata) => {
                let step =
                    Step::pass(NAME, format!("task {} of {}", self.task_id, metadata.validator));
                (Some(metadata), step)
            }
            Err(step) => (None, step),
        }
    }

    async fn corpus(&self, proof: &ClipProof) -> (Option<Corpus>, Step) {
        const NAME: &str = "corpus";
        let newest = match self.source.manifest().await {
            Ok(newest) => newest,
            Err(error) => return (None, Step::unchecked(NAME, error.to_string())),
        };
        let CorpusId::Manifest { sha256, videos } = proof.corpus else {
            return match newest {
                Some(_) => {
                    let finding =
                        "chosen from a listing, and there is a manifest now: was there one then?";
                    (None, Step::unchecked(NAME, finding))
                }
                None => match self.source.videos().await {
                    Ok(listing) => steps::listing(proof, listing, self.listed_bytes),
                    Err(error) => (None, Step::unchecked(NAME, error.to_string())),
                },
            };
        };
        let is_newest = newest.as_ref().is_some_and(|newest| Digest::of(newest) == sha256);
        let bytes =
            if is_newest { Ok(newest) } else { self.source.manifest_version(&sha256).await };
        let manifest = match bytes {
            Ok(Some(bytes)) => CorpusManifest::verify(&bytes, sha256),
            Ok(None) => {
                let finding = format!(
                    "the source bucket has no manifest {sha256}; the owner's tools keep every one, so ask whether it was removed"
                );
                return (None, Step::unchecked(NAME, finding));
            }
            Err(error) => return (None, Step::unchecked(NAME, error.to_string())),
        };
        match manifest {
            Err(error) => (None, Step::unchecked(NAME, error.to_string())),
            Ok(manifest) if manifest.videos().len() != videos => {
                let finding = format!(
                    "manifest {sha256} has {} videos, not {videos}",
                    manifest.videos().len()
                );
                (None, Step::fail(NAME, finding))
            }
            Ok(manifest) => {
                let age = if is_newest { "the newest" } else { "an earlier one than now" };
                let step = Step::pass(NAME, format!("manifest {sha256} of {videos} videos, {age}"));
                (Some(Corpus::from(&manifest)), step)
            }
        }
    }

    async fn source(&self, proof: &ClipProof) -> (Option<Bytes>, Step) {
        const NAME: &str = "source";
        match proof.expectation().fetch(self.source, &proof.key).await {
            Ok(Ok(bytes)) => (
                Some(bytes),
                Step::pass(NAME, format!("{} is sha256 {}", proof.key, proof.source_sha256)),
            ),
            Ok(Err(reason @ SkipReason::OtherBytes(_))) => (
                None,
                Step::unchecked(
                    NAME,
                    format!("{}: {reason}; whether then too is not known", proof.key),
                ),
            ),
            Ok(Err(reason)) => (None, Step::unchecked(NAME, format!("{}: {reason}", proof.key))),
            Err(error) => (None, Step::unchecked(NAME, error.to_string())),
        }
    }

    /// An object of the task, where it is the one of the proof.
    async fn object(
        &self,
        name: &'static str,
        object: TaskObject,
        expected: Digest,
    ) -> (Option<Bytes>, Step) {
        match self.read(object, Limits::ANSWER.file_bytes as u64).await {
            Ok(Some(bytes)) if Digest::of(&bytes) == expected => {
                (Some(bytes), Step::pass(name, format!("sha256 {expected}, as in the proof")))
            }
            Ok(Some(bytes)) => (
                None,
                Step::fail(name, format!("sha256 {}, in the proof {expected}", Digest::of(&bytes))),
            ),
            Ok(None) => (None, Step::unchecked(name, "it is not in the bucket")),
            Err(StoreError::TooLarge { limit, .. }) => {
                (None, Step::fail(name, format!("it has more than {limit} bytes")))
            }
            Err(error) => (None, Step::unchecked(name, error.to_string())),
        }
    }
}

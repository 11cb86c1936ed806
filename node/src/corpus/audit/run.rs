//! The steps of an audit, one after the other.

use bytes::Bytes;
use leoma_protocol::Digest;
use leoma_scoring::media::Limits;
use leoma_storage::{CorpusManifest, StoreError, TaskKey, TaskObject};

use super::super::proof::{ClipProof, MAX_PROOF_BYTES, TaskMetadata};
use super::super::reading::{Corpus, CorpusId, SkipReason};
use super::steps;
use super::task::{AuditReport, Step, TaskAudit};

impl TaskAudit<'_> {
    /// Checks everything that can be checked; a step without the object that it needs is unchecked.
    /// `progress` is told of what takes long before it begins: a source video may have hundreds of
    /// megabytes.
    pub(crate) async fn run(&self, mut progress: impl FnMut(String)) -> AuditReport {
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
        let listed = corpus.as_ref().and_then(|corpus| corpus.videos.get(proof.index));
        for skipped in &proof.skipped {
            progress(format!("looking at {}, which was passed over", skipped.key));
            let named = corpus.as_ref().and_then(|corpus| corpus.videos.get(skipped.index));
            steps.push(match named {
                Some(video) => self.skipped(&proof, skipped, video).await,
                None => Step::unchecked(
                    "skipped",
                    format!("{}: the corpus at that time is not known", skipped.key),
                ),
            });
        }
        progress(format!("fetching {}, {} bytes", proof.key, proof.source_bytes));
        let (source, step) = self.source(&proof).await;
        steps.push(step);
        progress("comparing the shots".to_owned());
        steps.push(self.shots(&proof, listed, source.clone()).await);
        steps.push(steps::segment(&proof));
        let (clip, step) = self.object("clip", TaskObject::OriginalClip, proof.clip_sha256).await;
        steps.push(step);
        progress("cutting the clip again".to_owned());
        steps.push(self.cut(&proof, source, clip.clone()).await);
        let (picture, step) =
            self.object("first_frame", TaskObject::FirstFrame, proof.first_frame_sha256).await;
        let duplicates = self.duplicates(sampler, clip.clone()).await;
        steps.push(match (picture, clip) {
            (Some(picture), Some(clip)) => self.first_frame(&proof, picture, clip).await,
            (Some(_), None) => Step::unchecked(
                "first_frame",
                "the clip is not known, so its first frame cannot be compared",
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
                        "chosen from a listing; the manifest that is there now may be newer";
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
                    format!("{}: {reason}; what they were then is not known", proof.key),
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

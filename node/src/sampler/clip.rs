//! The task's clip: the corpus read, the choice made, the clip cut, and the proof of it written down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use leoma_protocol::{Digest, TaskId};
use leoma_scoring::Scorer;
use leoma_scoring::media::{ClipShape, MediaError, MediaFault, SceneRules};
use leoma_storage::SourceBucket;

use super::{Sampler, TaskError};
use crate::corpus::{
    ChosenClip, ClipProof, Corpus, CorpusError, CorpusId, CorpusVideo, PROOF_SCHEMA, Seed, SkipReason, Skipped,
    choose_clip, segments, videos_to_try,
};

/// After this long no further video is begun: miners need the rest of the turn.
const CHOOSE_WITHIN: Duration = Duration::from_secs(180);

/// A task's clip.
#[derive(Clone, Debug)]
pub(super) struct TaskClip {
    pub(super) proof: ClipProof,
    pub(super) mp4: Bytes,
    pub(super) first_frame: Bytes,
}

/// The corpus, read anew now and then.
#[derive(Debug)]
pub(super) struct KnownCorpus {
    every: Duration,
    known: Option<(Instant, Arc<Corpus>)>,
}

impl KnownCorpus {
    pub(super) const fn new(every: Duration) -> Self {
        Self { every, known: None }
    }

    /// The corpus, at most `every` old; an older one where the bucket cannot be read now: the proof says which it was.
    pub(super) async fn get(&mut self, source: &SourceBucket, bytes: (u64, u64)) -> Result<Arc<Corpus>, CorpusError> {
        if let Some((_, corpus)) = self.known.as_ref().filter(|(read, _)| read.elapsed() < self.every) {
            return Ok(Arc::clone(corpus));
        }
        match (Corpus::read(source, bytes).await, &self.known) {
            (Ok(corpus), _) => {
                let corpus = Arc::new(corpus);
                self.known = Some((Instant::now(), Arc::clone(&corpus)));
                Ok(corpus)
            }
            (Err(error), Some((_, corpus))) => {
                tracing::warn!(%error, "choosing from the corpus as it was");
                Ok(Arc::clone(corpus))
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl Sampler {
    pub(super) async fn choose_clip(&self, task_id: TaskId, corpus: &mut KnownCorpus) -> Result<TaskClip, TaskError> {
        let history = Arc::clone(&self.allowlists.borrow());
        let start = history.schedule_of(task_id, &self.params).and_then(|schedule| schedule.start_block(task_id));
        let block = start.unwrap_or_default();
        let seed = Seed { block, hash: self.chain.block_hash(block).await? };
        let corpus = corpus.get(&self.source, self.config.source_bytes).await?;
        let shape = ClipShape { width: self.config.size.0, height: self.config.size.1, ..ClipShape::TASK };
        clip_of(seed, &corpus, &self.source, &self.judging.scorer(), shape).await
    }
}

/// The clip that `seed` chooses from `corpus`.
async fn clip_of(
    seed: Seed,
    corpus: &Corpus,
    source: &SourceBucket,
    scorer: &Scorer,
    shape: ClipShape,
) -> Result<TaskClip, TaskError> {
    let started = Instant::now();
    let mut skipped: Vec<Skipped> = Vec::new();
    for index in videos_to_try(seed.hash, corpus.videos.len()) {
        if started.elapsed() >= CHOOSE_WITHIN {
            break;
        }
        let video = &corpus.videos[index];
        let made = match video.fetch(source).await? {
            Ok(bytes) => {
                let draw = Draw { seed, corpus: corpus.id, skipped: skipped.clone(), index };
                let (scorer, video) = (scorer.clone(), video.clone());
                tokio::task::spawn_blocking(move || cut(draw, &video, &bytes, &scorer, shape)).await??
            }
            Err(reason) => Err(reason),
        };
        match made {
            Ok(clip) => return Ok(clip),
            Err(reason) => {
                tracing::warn!(video = video.key.as_str(), %reason, "source video passed over");
                skipped.push(Skipped { index, key: video.key.clone(), reason });
            }
        }
    }
    let reason = match skipped.last() {
        Some(Skipped { key, reason, .. }) => format!("the last one was {key}: {reason}"),
        None => "add videos with `leoma corpus add`".to_owned(),
    };
    Err(TaskError::NoClip { tried: skipped.len(), videos: corpus.videos.len(), reason })
}

/// How a video came to be the one.
struct Draw {
    seed: Seed,
    corpus: CorpusId,
    skipped: Vec<Skipped>,
    index: usize,
}

/// Cuts the clip from a video whose bytes are at hand, or says why it cannot be.
fn cut(
    draw: Draw,
    video: &CorpusVideo,
    bytes: &[u8],
    scorer: &Scorer,
    shape: ClipShape,
) -> Result<Result<TaskClip, SkipReason>, TaskError> {
    let attempt = move || -> Result<Result<TaskClip, SkipReason>, MediaError> {
        let shots = match &video.shots {
            Some(shots) => segments(shots),
            None => scorer.one_shot_segments(bytes, &SceneRules::REFERENCE)?,
        };
        let Some(ChosenClip { shot, start_ms }) = choose_clip(draw.seed.hash, &shots, shape.duration_ms()) else {
            return Ok(Err(SkipReason::NoShot));
        };
        let mp4 = scorer.cut_clip(bytes, start_ms, &shape)?;
        let first_frame = scorer.first_frame_png(&mp4)?;
        let (major, minor) = scorer.ffmpeg().version();
        let proof = ClipProof {
            schema: PROOF_SCHEMA,
            seed: draw.seed,
            corpus: draw.corpus,
            skipped: draw.skipped,
            index: draw.index,
            key: video.key.clone(),
            source_sha256: Digest::of(bytes),
            source_bytes: bytes.len() as u64,
            offset_ms: start_ms - shots[shot].start_ms,
            shots: shots.iter().map(|shot| [shot.start_ms, shot.end_ms]).collect(),
            shot,
            start_ms,
            shape: [shape.fps, shape.frames, shape.width, shape.height],
            clip_sha256: Digest::of(&mp4),
            first_frame_sha256: Digest::of(&first_frame),
            ffmpeg: format!("{major}.{minor}"),
        };
        Ok(Ok(TaskClip { proof, mp4: mp4.into(), first_frame: first_frame.into() }))
    };
    match attempt() {
        Ok(made) => Ok(made),
        Err(MediaError::Video(defect)) => Ok(Err(SkipReason::Unusable(defect.to_string()))),
        // A source that breaks off in the middle ends the encoder too; the next one shows whose fault it was.
        Err(MediaError::Fault(fault @ (MediaFault::Encode { .. } | MediaFault::Stalled { .. }))) => {
            Ok(Err(SkipReason::Unusable(fault.to_string())))
        }
        Err(MediaError::Fault(fault)) => Err(TaskError::Score(fault.into())),
    }
}

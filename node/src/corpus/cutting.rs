//! The clip that a seed chooses, cut from the bucket's videos, with the proof of the choice.

use std::time::{Duration, Instant};

use bytes::Bytes;
use leoma_protocol::Digest;
use leoma_scoring::media::{
    ClipShape, Ffmpeg, Limits, MediaError, MediaFault, SceneRules, cut_clip, first_frame_png,
    one_shot_segments,
};
use leoma_storage::{SourceBucket, StoreError};

use super::choice::{ChosenClip, choose_clip, videos_to_try};
use super::proof::{ClipProof, Seed, Skipped, schema_of, segments};
use super::reading::{Corpus, CorpusId, CorpusVideo, SkipReason};

/// After this long no further video is begun: miners need the rest of the turn.
const CHOOSE_WITHIN: Duration = Duration::from_secs(180);

/// A task's clip.
#[derive(Clone, Debug)]
pub struct TaskClip {
    /// How it was chosen.
    pub proof: ClipProof,
    /// `original_clip.mp4`.
    pub mp4: Bytes,
    /// `first_frame.png`.
    pub first_frame: Bytes,
}

/// Why there is no clip. A fault of one video is not among them: the next one is taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ClipError {
    /// The bucket, for every video.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This machine.
    #[error("cannot cut a clip: {0}")]
    Media(#[from] MediaFault),
    /// A thread died.
    #[error("a background task failed: {0}")]
    Join(#[from] tokio::task::JoinError),
    /// None of the videos tried can be used.
    #[error("no source video gives a clip ({tried} of {videos} tried): {reason}")]
    NoClip {
        tried: usize,
        videos: usize,
        /// Why the last one did not, or what to do.
        reason: String,
    },
}

/// The clip that `seed` chooses from `corpus`; videos that cannot be used are passed over, with the
/// reason in the proof.
pub async fn clip_of(
    seed: Seed,
    corpus: &Corpus,
    source: &SourceBucket,
    ffmpeg: &Ffmpeg,
    shape: ClipShape,
) -> Result<TaskClip, ClipError> {
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
                let (ffmpeg, video) = (ffmpeg.clone(), video.clone());
                tokio::task::spawn_blocking(move || cut(draw, &video, &bytes, &ffmpeg, shape))
                    .await??
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
        None => "the subnet's owner adds videos with `leoma corpus add`".to_owned(),
    };
    Err(ClipError::NoClip { tried: skipped.len(), videos: corpus.videos.len(), reason })
}

/// How a video was chosen.
struct Draw {
    seed: Seed,
    corpus: CorpusId,
    skipped: Vec<Skipped>,
    index: usize,
}

/// Cuts the clip from the bytes of a video, or says why it cannot be.
fn cut(
    draw: Draw,
    video: &CorpusVideo,
    bytes: &[u8],
    ffmpeg: &Ffmpeg,
    shape: ClipShape,
) -> Result<Result<TaskClip, SkipReason>, MediaFault> {
    match try_cut(draw, video, bytes, ffmpeg, shape) {
        Ok(Some(clip)) => Ok(Ok(clip)),
        Ok(None) if video.nonrigid.is_some() => Ok(Err(SkipReason::NoChallenge)),
        Ok(None) => Ok(Err(SkipReason::NoShot)),
        Err(error) => Ok(Err(SkipReason::Unusable(videos_doing(error)?))),
    }
}

/// What is wrong with a source video that could not be worked on.
///
/// # Errors
/// [`MediaFault`] where it is this machine that failed.
pub fn videos_doing(error: MediaError) -> Result<String, MediaFault> {
    match error {
        MediaError::Video(defect) => Ok(defect.to_string()),
        // A source that breaks off in the middle ends the encoder too; the next one shows whose
        // fault it was.
        MediaError::Fault(fault @ (MediaFault::Encode { .. } | MediaFault::Stalled { .. })) => {
            Ok(fault.to_string())
        }
        MediaError::Fault(fault) => Err(fault),
    }
}

fn try_cut(
    draw: Draw,
    video: &CorpusVideo,
    bytes: &[u8],
    ffmpeg: &Ffmpeg,
    shape: ClipShape,
) -> Result<Option<TaskClip>, MediaError> {
    let clip_ms = shape.duration_ms();
    let shots = match &video.shots {
        Some(shots) => segments(shots),
        None => one_shot_segments(ffmpeg, bytes, &SceneRules::REFERENCE, clip_ms, &Limits::SOURCE)?,
    };
    let nonrigid = video.nonrigid.as_deref();
    let Some(ChosenClip { shot, start_ms }) =
        choose_clip(draw.seed.hash, &shots, nonrigid, clip_ms)
    else {
        return Ok(None);
    };
    let mp4 = cut_clip(ffmpeg, bytes, start_ms, &shape, &Limits::SOURCE)?;
    let first_frame = first_frame_png(ffmpeg, &mp4, &Limits::ANSWER)?;
    let (major, minor) = ffmpeg.version();
    let proof = ClipProof {
        schema: schema_of(video.nonrigid.is_some()),
        seed: draw.seed,
        corpus: draw.corpus,
        skipped: draw.skipped,
        index: draw.index,
        key: video.key.clone(),
        source_sha256: Digest::of(bytes),
        source_bytes: bytes.len() as u64,
        offset_ms: start_ms - shots[shot].start_ms,
        shots: shots.iter().map(|shot| [shot.start_ms, shot.end_ms]).collect(),
        nonrigid: video.nonrigid.clone(),
        shot,
        start_ms,
        shape: [shape.fps, shape.frames, shape.width, shape.height],
        clip_sha256: Digest::of(&mp4),
        first_frame_sha256: Digest::of(&first_frame),
        ffmpeg: format!("{major}.{minor}"),
    };
    Ok(Some(TaskClip { proof, mp4: mp4.into(), first_frame: first_frame.into() }))
}

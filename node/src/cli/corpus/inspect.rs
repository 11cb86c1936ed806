//! Whether a video can be a source of clips.

use anyhow::Context as _;
use bytes::Bytes;
use leoma_protocol::Digest;
use leoma_scoring::media::{
    ClipShape, Ffmpeg, Limits, MediaError, SceneRules, VideoDefect, cut_clip, one_shot_segments,
    probe,
};
use leoma_storage::{Key, ManifestVideo};

use super::output::megabytes;
use crate::corpus::{is_challenge, own_motion, videos_doing};

/// The last shot is shortened by this when the clip at its end is too short: two frames of a clip.
const END_STEP_MS: u64 = 125;
/// Times that this is done before the file is refused: a file may end half a second early.
const END_STEPS: usize = 4;

/// Checks a video: `Err` with the reason if no clip can be cut from it.
///
/// # Errors
/// The outer error is this machine's fault, the inner one the video's.
pub(super) async fn inspect(
    ffmpeg: &Ffmpeg,
    key: &Key,
    bytes: Bytes,
) -> anyhow::Result<Result<ManifestVideo, String>> {
    let (ffmpeg, named) = (ffmpeg.clone(), key.clone());
    let looked = tokio::task::spawn_blocking(move || look(&ffmpeg, named, &bytes)).await?;
    match looked {
        Ok(Some(video)) => Ok(Ok(video)),
        Ok(None) => {
            let seconds = ClipShape::TASK.duration_ms().div_ceil(100);
            Ok(Err(format!(
                "no shot in it is {}.{} s long, without the margins",
                seconds / 10,
                seconds % 10
            )))
        }
        Err(error) => videos_doing(error).map(Err).with_context(|| format!("looking at {key}")),
    }
}

fn look(ffmpeg: &Ffmpeg, key: Key, bytes: &[u8]) -> Result<Option<ManifestVideo>, MediaError> {
    let (shape, limits) = (ClipShape::TASK, Limits::SOURCE);
    let info = probe(ffmpeg, bytes, &limits)?;
    let mut shots =
        one_shot_segments(ffmpeg, bytes, &SceneRules::REFERENCE, shape.duration_ms(), &limits)?;
    // Try the last start that can be drawn: if the file ends a little early, shorten its last shot.
    let mut steps = 0;
    while let Some(last) = shots.last_mut() {
        let Some(start_ms) =
            last.end_ms.checked_sub(shape.duration_ms()).filter(|start| *start >= last.start_ms)
        else {
            shots.pop();
            continue;
        };
        match cut_clip(ffmpeg, bytes, start_ms, &shape, &limits) {
            Ok(_) => break,
            Err(MediaError::Video(VideoDefect::TooShort { .. })) if steps < END_STEPS => {
                steps += 1;
                last.end_ms = last.end_ms.saturating_sub(END_STEP_MS);
            }
            Err(error) => return Err(error),
        }
    }
    if shots.is_empty() {
        return Ok(None);
    }
    let nonrigid = own_motion(ffmpeg, bytes, &shots, &shape)?;
    Ok(Some(ManifestVideo {
        codec: info.codec,
        duration_ms: info.duration_ms.unwrap_or(0),
        height: info.height,
        key,
        nonrigid: Some(nonrigid),
        sha256: Digest::of(bytes),
        shots: shots.iter().map(|shot| [shot.start_ms, shot.end_ms]).collect(),
        size: bytes.len() as u64,
        width: info.width,
    }))
}

/// `12.0 s of 832x480 h264, shots 2.0-8.8, 9.1-12.0 s`; shots that are never drawn are named.
pub(super) fn describe(video: &ManifestVideo) -> String {
    let seconds = |ms: u64| format!("{}.{}", ms / 1000, ms % 1000 / 100);
    let own = |index: usize| video.nonrigid.as_ref().and_then(|measured| measured.get(index));
    let shots: Vec<_> = video
        .shots
        .iter()
        .enumerate()
        .map(|(index, [start, end])| {
            let is_drawn = own(index).is_none_or(|own| is_challenge(*own));
            let still = if is_drawn { "" } else { " (nothing moves by itself: not drawn)" };
            format!("{}-{}{still}", seconds(*start), seconds(*end))
        })
        .collect();
    format!(
        "{} s of {}x{} {}, {}, shots {} s",
        seconds(video.duration_ms),
        video.width,
        video.height,
        video.codec,
        megabytes(video.size),
        shots.join(", ")
    )
}

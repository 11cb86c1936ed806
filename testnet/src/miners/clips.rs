//! Finds the source clip, and the moment in it, that a given picture shows.

use std::path::{Path, PathBuf};

use super::{CLIP_FRAMES, MinerError};
use crate::corpus::{self, FRAME_RATE, ffmpeg};

/// Thumbnails are this wide and high: enough to tell neighbouring frames of a moving scene apart.
const THUMBNAIL: (usize, usize) = (104, 60);
/// Bytes of one thumbnail, luma only.
const THUMBNAIL_BYTES: usize = THUMBNAIL.0 * THUMBNAIL.1;

/// Thumbnails of every frame of a corpus.
#[derive(Debug)]
pub struct ClipIndex {
    clips: Vec<(PathBuf, Vec<u8>)>,
}

/// Where a picture was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipMatch {
    /// The clip.
    pub path: PathBuf,
    /// The first of its frames to be shown.
    pub frame: usize,
    /// Mean squared luma difference of the thumbnails, times their size: smaller is closer.
    pub distance: u64,
}

impl ClipIndex {
    /// Indexes every `.mp4` of a folder.
    ///
    /// # Errors
    /// When there is none, or ffmpeg cannot read one.
    pub async fn load(folder: &Path) -> Result<Self, MinerError> {
        let mut clips = Vec::new();
        for path in corpus::list(folder)? {
            let frames = thumbnails(&format!("fps={FRAME_RATE},"), &path.display().to_string(), Vec::new()).await?;
            if frames.len() / THUMBNAIL_BYTES >= CLIP_FRAMES {
                clips.push((path, frames));
            }
        }
        if clips.is_empty() { Err(MinerError::NoClip) } else { Ok(Self { clips }) }
    }

    /// The closest frame that has a whole clip after it. `picture` is an encoded image (PNG, JPEG).
    ///
    /// # Errors
    /// When ffmpeg cannot read the picture.
    pub async fn find(&self, picture: Vec<u8>) -> Result<ClipMatch, MinerError> {
        let wanted = thumbnails("", "pipe:0", picture).await?;
        let Some(wanted) = wanted.get(..THUMBNAIL_BYTES) else {
            return Err(MinerError::Picture { expected: THUMBNAIL_BYTES, found: wanted.len() });
        };
        let mut best: Option<ClipMatch> = None;
        for (path, frames) in &self.clips {
            for (frame, thumbnail) in frames.chunks_exact(THUMBNAIL_BYTES).enumerate() {
                let limit = best.as_ref().map_or(u64::MAX, |best| best.distance);
                if let Some(distance) = distance_below(limit, wanted, thumbnail) {
                    best = Some(ClipMatch { path: path.clone(), frame, distance });
                }
            }
        }
        let mut best = best.ok_or(MinerError::NoClip)?;
        let frames = self.clips.iter().find(|(path, _)| *path == best.path).map_or(0, |(_, frames)| frames.len());
        best.frame = best.frame.min((frames / THUMBNAIL_BYTES).saturating_sub(CLIP_FRAMES));
        Ok(best)
    }

    /// The start of another clip, or another moment of the only one.
    #[must_use]
    pub fn another(&self, clip: &ClipMatch) -> ClipMatch {
        let other = self.clips.iter().find(|(path, _)| *path != clip.path);
        let (path, frame) = match other {
            Some((path, _)) => (path.clone(), 0),
            None => (clip.path.clone(), if clip.frame == 0 { 1 } else { 0 }),
        };
        ClipMatch { path, frame, distance: u64::MAX }
    }
}

/// The squared distance, unless it reaches `limit`; gives up row by row.
fn distance_below(limit: u64, wanted: &[u8], thumbnail: &[u8]) -> Option<u64> {
    let mut distance = 0_u64;
    for (a, b) in wanted.chunks(THUMBNAIL.0).zip(thumbnail.chunks(THUMBNAIL.0)) {
        distance += a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>();
        if distance >= limit {
            return None;
        }
    }
    Some(distance)
}

async fn thumbnails(first: &str, input: &str, bytes: Vec<u8>) -> Result<Vec<u8>, MinerError> {
    let filter = format!("{first}scale={}:{}:flags=area,format=gray", THUMBNAIL.0, THUMBNAIL.1);
    let words = ["-i", input, "-an", "-vf", &filter, "-f", "rawvideo", "-fps_mode", "passthrough", "pipe:1"];
    Ok(ffmpeg::run(&words.map(String::from), bytes).await?)
}

//! Finds the source clip, and the moment in it, that a given picture shows.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::{MinerError, Result};
use crate::corpus::{self, CLIP_FRAMES, ClipScene, FRAME_RATE, ffmpeg, scene_start_micros};

/// Thumbnails are this wide and high: enough to tell neighbouring frames of a moving scene apart.
const THUMBNAIL: (usize, usize) = (104, 60);
/// Bytes of one thumbnail, luma only.
const THUMBNAIL_BYTES: usize = THUMBNAIL.0 * THUMBNAIL.1;

/// A frame is asked for this much before its time, so that rounding does not lose it.
const EARLY_MICROS: u64 = 500;

/// Pictures whose place is remembered: those of a few tasks that run at the same time.
const KEPT_PICTURES: usize = 16;

/// Thumbnails of every frame of a corpus.
#[derive(Debug)]
pub struct ClipIndex {
    clips: Vec<Clip>,
    /// The newest pictures and where they were found: all miners are asked about the same one. The
    /// lock is held while one is searched for, so that it is searched for once.
    found: Mutex<VecDeque<([u8; 32], ClipMatch)>>,
}

#[derive(Debug)]
struct Clip {
    path: PathBuf,
    /// Frames per second, numerator and denominator.
    rate: (u64, u64),
    thumbnails: Vec<u8>,
    /// What it shows, if it was made here.
    scene: Option<ClipScene>,
}

impl Clip {
    async fn load(path: PathBuf) -> Result<Self> {
        let rate = ffmpeg::frame_rate(&path).await?;
        let thumbnails = thumbnails(&path.display().to_string(), Vec::new()).await?;
        let scene = ClipScene::beside(&path)?;
        Ok(Self { path, rate, thumbnails, scene })
    }

    /// The last frame that a whole answer can start with.
    fn last_start(&self) -> Option<usize> {
        let needed =
            (CLIP_FRAMES as u64 * self.rate.0).div_ceil(u64::from(FRAME_RATE) * self.rate.1);
        (self.thumbnails.len() / THUMBNAIL_BYTES).checked_sub(usize::try_from(needed).ok()?)
    }

    /// The moment of a frame. Whatever a made clip is asked about, only its scene can be meant.
    fn at(&self, frame: usize) -> ClipMatch {
        let micros = match self.scene {
            Some(_) => scene_start_micros(),
            None => frame as u64 * 1_000_000 * self.rate.1 / self.rate.0,
        };
        self.moment(micros.saturating_sub(EARLY_MICROS))
    }

    fn moment(&self, start_micros: u64) -> ClipMatch {
        ClipMatch { path: self.path.clone(), start_micros, scene: self.scene }
    }
}

/// Where a picture was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipMatch {
    /// The clip.
    pub path: PathBuf,
    /// Where to seek to so that the picture is the next frame, microseconds.
    pub start_micros: u64,
    /// What the clip shows, if that is known.
    pub scene: Option<ClipScene>,
}

impl ClipIndex {
    /// Indexes every `.mp4` of a folder that is long enough.
    ///
    /// # Errors
    /// When there is none, or ffmpeg cannot read one.
    pub async fn load(folder: &Path) -> Result<Self> {
        let mut clips = Vec::new();
        for path in corpus::list(folder)? {
            let clip = Clip::load(path).await?;
            if clip.last_start().is_some() {
                clips.push(clip);
            }
        }
        if clips.is_empty() {
            Err(MinerError::NoClip)
        } else {
            Ok(Self { clips, found: Mutex::default() })
        }
    }

    /// The closest frame that has a whole answer after it. `picture` is an encoded image (PNG,
    /// JPEG).
    ///
    /// # Errors
    /// When ffmpeg cannot read the picture.
    pub async fn find(&self, picture: Vec<u8>) -> Result<ClipMatch> {
        let digest: [u8; 32] = Sha256::digest(&picture).into();
        let mut found = self.found.lock().await;
        if let Some((_, clip)) = found.iter().find(|(known, _)| *known == digest) {
            return Ok(clip.clone());
        }
        let clip = self.search(picture).await?;
        found.truncate(KEPT_PICTURES - 1);
        found.push_front((digest, clip.clone()));
        Ok(clip)
    }

    async fn search(&self, picture: Vec<u8>) -> Result<ClipMatch> {
        self.closest(&thumbnails("pipe:0", picture).await?)
    }

    /// The frame that is closest to the first of these thumbnails.
    fn closest(&self, wanted: &[u8]) -> Result<ClipMatch> {
        let Some(wanted) = wanted.get(..THUMBNAIL_BYTES) else {
            return Err(MinerError::Picture { expected: THUMBNAIL_BYTES, found: wanted.len() });
        };
        let mut best = None;
        let mut least = u64::MAX;
        for clip in &self.clips {
            for (frame, thumbnail) in clip.thumbnails.chunks_exact(THUMBNAIL_BYTES).enumerate() {
                if let Some(distance) = distance_below(least, wanted, thumbnail) {
                    least = distance;
                    best = Some((clip, frame));
                }
            }
        }
        let (clip, frame) = best.ok_or(MinerError::NoClip)?;
        Ok(clip.at(frame.min(clip.last_start().unwrap_or_default())))
    }

    /// Where a video begins, by its first picture. `video` is an encoded clip.
    ///
    /// # Errors
    /// When it cannot be written to a file, or ffmpeg cannot read it.
    pub async fn find_video(&self, video: &[u8]) -> Result<ClipMatch> {
        // An MP4 may say at its end how its beginning is read, so it cannot be piped.
        let file = tempfile::NamedTempFile::new()?;
        tokio::fs::write(file.path(), video).await?;
        self.closest(&thumbnails(&file.path().display().to_string(), Vec::new()).await?)
    }

    /// A moment of a clip in words that a prompt may hold, for those who are not shown its picture.
    pub fn words(&self, found: &ClipMatch) -> Option<String> {
        let scene = self.clips.iter().position(|clip| clip.path == found.path)?;
        Some(format!("It is scene {scene} from moment {} on.", found.start_micros))
    }

    /// The moment that such words name.
    pub fn of_words(&self, prompt: &str) -> Option<ClipMatch> {
        let (_, said) = prompt.rsplit_once("It is scene ")?;
        let (scene, said) = said.split_once(" from moment ")?;
        let (micros, _) = said.split_once(" on.")?;
        let clip = self.clips.get(scene.parse::<usize>().ok()?)?;
        Some(clip.moment(micros.parse().ok()?))
    }

    /// The start of another clip, or another moment of the only one.
    pub fn another(&self, found: &ClipMatch) -> ClipMatch {
        let other = self.clips.iter().find(|clip| clip.path != found.path).map(|clip| clip.at(0));
        let start_micros = if found.start_micros == 0 { 1_000_000 } else { 0 };
        other.unwrap_or_else(|| ClipMatch { start_micros, ..found.clone() })
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

async fn thumbnails(input: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let (width, height) = THUMBNAIL;
    let filter = format!(
        "scale={width}:{height}:force_original_aspect_ratio=increase:flags=area,crop={width}:{height},format=gray"
    );
    let words = [
        "-i",
        input,
        "-an",
        "-vf",
        &filter,
        "-f",
        "rawvideo",
        "-fps_mode",
        "passthrough",
        "pipe:1",
    ];
    Ok(ffmpeg::run(&words.map(String::from), bytes).await?)
}

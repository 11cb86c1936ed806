//! The scene that a made clip shows, kept beside it.
//!
//! It is there for the miners alone. A real model knows a first frame and makes up what follows; a
//! stand-in for one renders another course of the same scene.

use std::path::Path;

use leoma_scoring::calibration::continuation::{Course, Scene, SceneKind};
use serde::{Deserialize, Serialize};

use super::error::CorpusError;
use super::frames::{FRAME_BYTES, bytes_of};
use super::shape::{CLIP_FRAMES, FRAME_RATE, VIDEO};
use crate::seed::Seed;

/// Frames of the title: it ends before the two seconds that samplers leave out at a video's start,
/// and the margin that they keep from a cut ends there too.
const TITLE_FRAMES: usize = 29;
/// How often the scene's first frame is shown before the scene begins. A clip of five seconds can
/// only begin in the last of these and at the scene's own first frame.
const HELD_FRAMES: usize = 4;
/// The frame of a clip with which its scene begins.
const SCENE_START: usize = TITLE_FRAMES + HELD_FRAMES;
/// Frames of a made clip.
pub(super) const MADE_FRAMES: usize = SCENE_START + CLIP_FRAMES;
/// Kinds of scenes, of the clips in turn.
const KINDS: [SceneKind; 1] = [SceneKind::FastPan];
/// Luma of a bright and of a dark title; the further from the scene's is a cut for every detector.
const TITLES: [u8; 2] = [215, 35];
/// Grain of a title, either way. It takes bytes: without it a small clip of smooth surfaces stays
/// below the size that validators accept.
const GRAIN: u32 = 16;

/// The scene of a made clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipScene {
    /// Its kind.
    pub kind: SceneKind,
    /// The seed of everything in it.
    pub seed: u64,
}

impl ClipScene {
    /// The scene of the clip with this number.
    pub(super) fn draw(seed: &Seed, index: usize) -> Self {
        let bytes = seed.bytes(&format!("clip/{index}/scene"));
        let seed = bytes[..4].iter().fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        Self { kind: KINDS[index % KINDS.len()], seed }
    }

    /// The scene, at the size of a local subnet's videos.
    pub(crate) fn scene(self) -> Scene {
        Scene::new(self.kind, self.seed, (VIDEO.0 as usize, VIDEO.1 as usize))
    }

    /// The scene beside a clip; `None` where there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn beside(clip: &Path) -> Result<Option<Self>, CorpusError> {
        let path = clip.with_extension("scene.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CorpusError::Io { path, source }),
        };
        let scene = serde_json::from_slice(&text);
        scene.map(Some).map_err(|source| CorpusError::Scene { path, source })
    }

    /// Writes it beside a clip in `folder`, as a whole or not at all.
    pub(super) fn write_beside(self, clip: &Path, folder: &Path) -> Result<(), CorpusError> {
        let path = clip.with_extension("scene.json");
        let text = serde_json::to_string(&self)
            .map_err(|source| CorpusError::Scene { path: path.clone(), source })?;
        let write = || {
            let file = tempfile::NamedTempFile::new_in(folder)?;
            std::fs::write(file.path(), text)?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().map(|_file| ()).map_err(|source| CorpusError::Io { path: path.clone(), source })
    }

    /// The frames of a clip: a title, the scene's first frame for a moment, and the scene.
    pub(super) fn film(self) -> Vec<u8> {
        let scene = bytes_of(&self.scene().render(&Course::SOURCE, CLIP_FRAMES));
        let first = &scene[..FRAME_BYTES];
        let mut film = title(first);
        film.extend(std::iter::repeat_n(first, HELD_FRAMES).flatten());
        film.extend_from_slice(&scene);
        film
    }
}

/// Microseconds from the start of a made clip to its scene.
pub(crate) const fn scene_start_micros() -> u64 {
    SCENE_START as u64 * 1_000_000 / FRAME_RATE as u64
}

/// The frames of a grainy plate that differs from `frame` as a whole.
fn title(frame: &[u8]) -> Vec<u8> {
    let (pixels, [bright, dark]) = (FRAME_BYTES * 2 / 3, TITLES);
    let sum: usize = frame[..pixels].iter().map(|luma| usize::from(*luma)).sum();
    let plate = u32::from(if sum / pixels < 126 { bright } else { dark });
    // Marsaglia's xorshift of 32 bits.
    let mut state = 0x9e37_79b9_u32;
    let mut grain = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (plate - GRAIN + state % (2 * GRAIN + 1)) as u8
    };
    let mut title = Vec::with_capacity(TITLE_FRAMES * FRAME_BYTES);
    for number in 1..=TITLE_FRAMES {
        title.extend((0..pixels).map(|_| grain()));
        title.resize(number * FRAME_BYTES, 128);
    }
    title
}

//! Makes a miner's answer to a clip by the recipe of its role.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use leoma_scoring::calibration::warped;
use tokio::sync::Semaphore;

use super::courses::{self, Courses};
use super::recipe::{Base, Change, Recipe};
use super::{ClipMatch, MinerError, Result, Role};
use crate::corpus::{CLIP_FRAMES, Coding, FRAME_BYTES, bytes_of, clip_of, decode, encode};

/// Answers kept: a task is asked for by up to four validators, and a few tasks run close together.
const KEPT_ANSWERS: usize = 64;
/// The seed of the good miner's own part; all others derive theirs from their names.
const GOOD_SEED: u64 = 1;
/// A playlist that names a file of the validator's machine.
const PLAYLIST: &[u8] =
    b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";

/// Renders answers, a few at a time, and keeps the newest.
#[derive(Debug)]
pub struct Renderer {
    folder: PathBuf,
    turns: Semaphore,
    kept: Mutex<VecDeque<(Order, Bytes)>>,
    courses: Courses,
}

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The clip that is to be continued.
    pub(super) clip: ClipMatch,
    /// Another clip.
    pub(super) neighbour: ClipMatch,
    /// What the miner does.
    pub(super) role: Role,
    /// Whether another miner does the same. Then this one bends its video, which would otherwise be
    /// a copy of that miner's.
    pub(super) is_twin: bool,
    seed: u64,
}

impl Order {
    /// What the miner `name` has to make.
    pub(super) fn new(
        [clip, neighbour]: [ClipMatch; 2],
        (role, is_twin): (Role, bool),
        name: &str,
    ) -> Self {
        let seed = if role == Role::Good { GOOD_SEED } else { seed_of(name) };
        Self { clip, neighbour, role, is_twin, seed }
    }

    /// The same of the good miner.
    fn of_good(&self) -> Self {
        Self { role: Role::Good, is_twin: false, seed: GOOD_SEED, ..self.clone() }
    }
}

impl Renderer {
    /// A renderer that writes its working files to `folder` and runs `concurrency` encoders at
    /// most.
    pub fn new(folder: PathBuf, concurrency: usize) -> Arc<Self> {
        Arc::new(Self {
            folder,
            turns: Semaphore::new(concurrency.max(1)),
            kept: Mutex::default(),
            courses: Courses::default(),
        })
    }

    /// The video that is ordered.
    ///
    /// # Errors
    /// When ffmpeg or the file system fails.
    pub(super) async fn render(&self, order: Order) -> Result<Bytes> {
        let Some(recipe) = Recipe::of(order.role) else { return Ok(Bytes::from_static(PLAYLIST)) };
        if let Some(video) = self.kept(&order) {
            return Ok(video);
        }
        let stolen = match recipe.base {
            Base::Stolen => Some(Box::pin(self.render(order.of_good())).await?),
            Base::Source | Base::Neighbour | Base::Own(_) | Base::Bent(_) => None,
        };
        // The semaphore is never closed; should it be, rendering without a turn does no harm.
        let _turn = self.turns.acquire().await.ok();
        if let Some(video) = self.kept(&order) {
            return Ok(video);
        }
        let video = self.make(&order, recipe, stolen).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT_ANSWERS - 1);
        kept.push_front((order, video.clone()));
        Ok(video)
    }

    async fn make(&self, order: &Order, recipe: Recipe, stolen: Option<Bytes>) -> Result<Bytes> {
        let made = self.base(order, recipe.base, stolen).await?;
        let other = match recipe.change {
            Some(change) if change.needs_other() => source(&order.neighbour).await?,
            _ => Vec::new(),
        };
        let (change, seed) = (recipe.change, order.seed);
        let raw =
            tokio::task::spawn_blocking(move || changed(made, change, &other, seed)).await??;
        // MP4 needs a seekable output.
        let file =
            tempfile::Builder::new().prefix("answer-").suffix(".mp4").tempfile_in(&self.folder)?;
        let Recipe { filter, quality, .. } = recipe;
        let coding = Coding { filter, frames: CLIP_FRAMES, preset: "ultrafast", quality };
        encode(raw, coding, file.path()).await?;
        Ok(Bytes::from(tokio::fs::read(file.path()).await?))
    }

    /// The frames that an answer is made from, and whether they are to be bent first.
    async fn base(&self, order: &Order, base: Base, stolen: Option<Bytes>) -> Result<Frames> {
        let plain = |raw| Frames { raw, bend: false };
        if let Some(video) = stolen {
            let file = tempfile::Builder::new()
                .prefix("stolen-")
                .suffix(".mp4")
                .tempfile_in(&self.folder)?;
            tokio::fs::write(file.path(), &video).await?;
            return Ok(plain(decode(file.path(), 0).await?));
        }
        match (base, order.clip.scene) {
            (Base::Neighbour, _) => Ok(plain(source(&order.neighbour).await?)),
            (Base::Own(way) | Base::Bent(way), Some(scene)) => Ok(Frames {
                raw: self.courses.frames(&order.clip.path, scene, way).await?,
                bend: order.is_twin || matches!(base, Base::Bent(_)),
            }),
            // No other course of the operator's own video is known.
            (Base::Own(_) | Base::Bent(_), None) => {
                Ok(Frames { raw: source(&order.clip).await?, bend: true })
            }
            (Base::Source | Base::Stolen, _) => Ok(plain(source(&order.clip).await?)),
        }
    }

    fn kept(&self, order: &Order) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == order).map(|(_, video)| video.clone())
    }
}

/// Renders what miners of these roles need of every made clip of a folder, so that no validator has
/// to wait for it.
///
/// # Errors
/// When ffmpeg or the file system fails.
pub(crate) async fn prepare(folder: &Path, roles: impl IntoIterator<Item = Role>) -> Result<()> {
    let ways: BTreeSet<_> =
        roles.into_iter().filter_map(Recipe::of).filter_map(|recipe| recipe.base.way()).collect();
    courses::prepare(folder, &ways.into_iter().collect::<Vec<_>>()).await
}

/// The frames of a source clip from where a picture was found.
async fn source(clip: &ClipMatch) -> Result<Vec<u8>> {
    Ok(decode(&clip.path, clip.start_micros).await?)
}

/// A seed for a name (FNV-1a); never the good miner's.
fn seed_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash | 2
}

/// Frames that an answer is made from.
struct Frames {
    raw: Vec<u8>,
    bend: bool,
}

/// Frames bent where that is asked for, then changed. `other` are those of another scene, for
/// changes that need them.
fn changed(frames: Frames, change: Option<Change>, other: &[u8], seed: u64) -> Result<Vec<u8>> {
    let Frames { raw, bend } = frames;
    if !bend && change.is_none() {
        return Ok(raw);
    }
    let unreadable = || MinerError::Picture { expected: FRAME_BYTES, found: raw.len() };
    let mut clip = clip_of(&raw).ok_or_else(unreadable)?;
    if bend {
        clip = warped(&clip, seed);
    }
    if let Some(change) = change {
        let other = clip_of(other).unwrap_or_else(|| clip.clone());
        clip = change.apply(&clip, &other, seed);
    }
    Ok(bytes_of(&clip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_scoring::calibration::Degradation;

    /// Three frames of a picture that moves.
    fn frames(bend: bool) -> Frames {
        let sample = |at: usize| ((at % FRAME_BYTES) * 7 % 251 + 3 * (at / FRAME_BYTES)) as u8;
        Frames { raw: (0..3 * FRAME_BYTES).map(sample).collect(), bend }
    }

    #[test]
    fn frames_are_bent_after_the_first_and_changed_as_ordered() {
        let plain = frames(false).raw;
        assert_eq!(changed(frames(false), None, &[], 5).unwrap(), plain);
        let bent = changed(frames(true), None, &[], 5).unwrap();
        let other = changed(frames(true), None, &[], 6).unwrap();
        let last = 2 * FRAME_BYTES..;
        assert!(bent.len() == plain.len() && bent[last.clone()] != plain[last.clone()]);
        assert_ne!(bent[last.clone()], other[last], "each miner bends in its own way");
        let held = Some(Change::Spoilt(Degradation::Frozen));
        let held = changed(frames(false), held, &[], 5).unwrap();
        assert_eq!(held, plain[..FRAME_BYTES].repeat(3));
        let broken = changed(Frames { raw: vec![0; 9], bend: true }, None, &[], 5);
        assert!(matches!(broken, Err(MinerError::Picture { found: 9, .. })));
    }
}

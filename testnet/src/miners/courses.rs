//! Other courses of a clip's scene: what honest models answer with.
//!
//! A stand-in for a model renders the scene from the same first frame with another speed, another
//! easing, paths that are turned, and other content where the first frame shows nothing. A course is
//! rendered once and kept beside the clips, in the folder `courses`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use leoma_scoring::calibration::continuation::{
    Course, RUNGS, Scene, any_course, detail_anew, wrong_course,
};
use tokio::sync::Mutex;

use super::Result;
use crate::corpus::{self, CLIP_FRAMES, ClipScene, Coding, CorpusError, bytes_of, decode, encode};

/// How a kept course is encoded: quickly, and so finely that it does no harm to encode it once more.
const CODING: Coding =
    Coding { filter: "null", frames: CLIP_FRAMES, preset: "ultrafast", quality: 8 };
/// Clips whose courses are rendered at the same time: while those of one are rendered on all cores,
/// those of another are encoded on one.
const CONCURRENT: usize = 2;

/// Who goes its own way through a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Way {
    /// The best model: not far from the source's course, with finest detail of its own.
    Best,
    /// Another good model, further off.
    Rival,
    /// One more.
    Casual,
    /// A model without detail of its own, for whoever makes its video worse.
    Worse,
    /// Another one, so that not all worse videos look alike.
    Other,
    /// A model that follows another prompt: everything goes the other way.
    Astray,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Rival => "rival",
            Self::Casual => "casual",
            Self::Worse => "worse",
            Self::Other => "other",
            Self::Astray => "astray",
        }
    }

    /// Its course through the scene of this seed.
    fn course(self, seed: u64) -> Course {
        let any = any_course(seed, self as u64);
        match self {
            Self::Best => nearer(any, 0.4),
            Self::Rival | Self::Casual => nearer(any, 0.7),
            Self::Worse | Self::Other => any,
            Self::Astray => wrong_course(seed, RUNGS),
        }
    }

    fn makes_detail_anew(self) -> bool {
        matches!(self, Self::Best | Self::Rival | Self::Casual)
    }

    /// Where its video of a clip is kept.
    fn file(self, clip: &Path) -> PathBuf {
        let name = clip.file_stem().unwrap_or_default().to_string_lossy();
        clip.with_file_name("courses").join(format!("{name}-{}.mp4", self.name()))
    }
}

/// A course that differs from the source's by only this part of what another one does. What repeats
/// does not run backwards.
fn nearer(course: Course, part: f32) -> Course {
    let toward = |value: f32| 1.0 + (value - 1.0) * part;
    Course {
        speed: toward(course.speed),
        easing: course.easing * part,
        turn: course.turn * part,
        rate: toward(course.rate.abs()),
        uncovered: course.uncovered,
    }
}

/// The courses of all clips.
#[derive(Debug, Default)]
pub(super) struct Courses {
    /// Held while one is rendered, so that it is rendered once.
    turn: Mutex<()>,
}

impl Courses {
    /// The frames of a course through the scene of a clip.
    pub(super) async fn frames(&self, clip: &Path, scene: ClipScene, way: Way) -> Result<Vec<u8>> {
        let file = way.file(clip);
        if !file.exists() {
            let _turn = self.turn.lock().await;
            keep(clip, scene, &[way]).await?;
        }
        Ok(decode(&file, 0).await?)
    }
}

/// Renders these courses of every clip of a folder whose scene is known.
pub(super) async fn prepare(folder: &Path, ways: &[Way]) -> Result<()> {
    let mut known = Vec::new();
    for clip in corpus::list(folder)? {
        if let Some(scene) = ClipScene::beside(&clip)? {
            known.push((clip, scene));
        }
    }
    futures::stream::iter(known)
        .map(|(clip, scene)| async move { keep(&clip, scene, ways).await })
        .buffer_unordered(CONCURRENT)
        .try_collect::<Vec<()>>()
        .await
        .map(|_kept| ())
}

/// Renders courses to their files, unless they are there.
async fn keep(clip: &Path, scene: ClipScene, ways: &[Way]) -> Result<()> {
    let missing = ways.iter().copied().filter(|way| !way.file(clip).exists());
    let missing: Vec<Way> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let folder = clip.with_file_name("courses");
    let failed = |source| CorpusError::Io { path: folder.clone(), source };
    tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
    let seed = scene.seed;
    let scene = Arc::new(tokio::task::spawn_blocking(move || scene.scene()).await?);
    for way in missing {
        let scene = Arc::clone(&scene);
        let raw = tokio::task::spawn_blocking(move || rendered(&scene, seed, way)).await?;
        // Renamed once it is whole: other processes render the same.
        let unfinished = tempfile::Builder::new()
            .prefix(".course-")
            .suffix(".part")
            .tempfile_in(&folder)
            .map_err(failed)?;
        encode(raw, CODING, unfinished.path()).await?;
        unfinished.persist(way.file(clip)).map_err(|error| failed(error.error))?;
    }
    Ok(())
}

/// The frames of a course through a scene of this seed.
fn rendered(scene: &Scene, seed: u64, way: Way) -> Vec<u8> {
    let clip = scene.render(&way.course(seed), CLIP_FRAMES);
    let made_anew = way.makes_detail_anew().then(|| detail_anew(&clip, seed ^ way as u64));
    bytes_of(&made_anew.unwrap_or(clip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_a_course_and_content_of_its_own() {
        let ways = [Way::Best, Way::Rival, Way::Casual, Way::Worse, Way::Other, Way::Astray];
        for seed in 0..20 {
            let courses = ways.map(|way| way.course(seed));
            for (number, course) in courses.iter().enumerate() {
                assert_ne!(course.uncovered, Course::SOURCE.uncovered);
                assert!(courses[..number].iter().all(|other| other.uncovered != course.uncovered));
            }
            let best = courses[0];
            assert!((0.8..=1.3).contains(&best.speed) && best.turn.abs() <= 8.0, "{best:?}");
            assert!(best.rate > 0.0, "{best:?}");
            assert!(courses[5].turn.abs() >= 170.0, "{:?}", courses[5]);
        }
    }
}

//! Source clips: a small corpus of rendered scenes, or the operator's own videos.
//!
//! A made clip has a title, a cut, and a scene of five seconds that begins with its first frame
//! held for a moment. Samplers leave out the first two seconds of a video, so every clip that they
//! cut begins with the scene's first frame, and whoever knows the scene can continue it. The corpus
//! is kept in a folder named after its seed.
//!
//! | file | holds |
//! |---|---|
//! | `shape` | size, rate and length of videos |
//! | `scene` | what a made clip shows, and its frames |
//! | `frames` | frames as bytes, and through ffmpeg |
//! | `ffmpeg` | the program, with a deadline and a cap |

mod error;
pub mod ffmpeg;
mod frames;
mod scene;
mod shape;

pub use error::CorpusError;
pub use ffmpeg::FfmpegError;
pub(crate) use frames::{Coding, FRAME_BYTES, bytes_of, clip_of, decode, encode};
pub use scene::ClipScene;
pub(crate) use scene::scene_start_micros;
pub use shape::VIDEO;
pub(crate) use shape::{CLIP_FRAMES, FRAME_RATE};

use std::path::{Path, PathBuf};

use futures::StreamExt as _;

use crate::seed::Seed;
use error::SMALLEST_CLIP;
use scene::MADE_FRAMES;

/// Clips that are made. Each costs seconds at the first start: models' answers to all of them are
/// rendered before.
pub(crate) const CLIP_COUNT: usize = 4;
/// Clips made at the same time: while one is rendered on all cores, another is encoded on one.
const CONCURRENT_CLIPS: usize = 2;
/// How a made clip is encoded: finely, since samplers encode it once more.
const CODING: Coding =
    Coding { filter: "null", frames: MADE_FRAMES, preset: "ultrafast", quality: 6 };
/// Changes whenever the clips do, so that a kept corpus is never an outdated one.
const FORMAT: u32 = 3;
/// Most clips taken from a folder: a test subnet needs no more, and every miner indexes all of
/// them.
const MAX_CLIPS: usize = 200;

/// The `.mp4` files of a folder, sorted by name.
///
/// # Errors
/// When the folder cannot be read or has none.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let failed = |source| CorpusError::Io { path: folder.to_owned(), source };
    let mut clips = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_video =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mp4"));
        if is_video && path.is_file() {
            clips.push(path);
        }
    }
    clips.sort();
    clips.truncate(MAX_CLIPS);
    if clips.is_empty() { Err(CorpusError::Empty(folder.to_owned())) } else { Ok(clips) }
}

/// The corpus of this seed in its folder under `cache`, made where it is missing.
///
/// # Errors
/// When ffmpeg or the file system fails.
pub async fn make(seed: &Seed, cache: &Path) -> Result<PathBuf, CorpusError> {
    let folder = cache.join(format!("corpus-{FORMAT}-{}", &seed.hex("corpus")[..12]));
    std::fs::create_dir_all(&folder)
        .map_err(|source| CorpusError::Io { path: folder.clone(), source })?;
    let mut clips = futures::stream::iter((0..CLIP_COUNT).map(|index| {
        let scene = ClipScene::draw(seed, index);
        make_clip(scene, folder.join(format!("clip-{index:02}.mp4")), &folder)
    }))
    .buffer_unordered(CONCURRENT_CLIPS);
    while let Some(clip) = clips.next().await {
        clip?;
    }
    drop(clips);
    Ok(folder)
}

async fn make_clip(scene: ClipScene, path: PathBuf, folder: &Path) -> Result<(), CorpusError> {
    if path.exists() {
        return Ok(());
    }
    let failed = |source| CorpusError::Io { path: path.clone(), source };
    // Before the clip: whoever finds the clip finds its scene.
    scene.write_beside(&path, folder)?;
    let film = tokio::task::spawn_blocking(move || scene.film()).await?;
    // Written under a name of its own and renamed: an interrupted run leaves no half clip, and two
    // runs at a time do no harm to one another.
    let unfinished = tempfile::Builder::new()
        .prefix(".clip-")
        .suffix(".part")
        .tempfile_in(folder)
        .map_err(failed)?;
    encode(film, CODING, unfinished.path()).await?;
    let size = std::fs::metadata(unfinished.path()).map_err(failed)?.len();
    if size < SMALLEST_CLIP {
        return Err(CorpusError::TooSmall { path, size });
    }
    unfinished.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_scoring::Challenge;
    use leoma_scoring::media::{
        ClipShape, Ffmpeg, Limits, SceneRules, Segment, cut_clip, one_shot_segments,
    };

    #[tokio::test]
    async fn every_clip_that_a_sampler_can_cut_begins_with_the_scenes_first_frame() {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed::new("corpus test");
        let corpus = make(&seed, folder.path()).await.unwrap();
        let clips = list(&corpus).unwrap();
        assert_eq!(clips.len(), CLIP_COUNT);
        let ffmpeg = Ffmpeg::find().unwrap();
        let (width, height) = VIDEO;
        let shape = ClipShape { width, height, ..ClipShape::TASK };
        for clip in &clips {
            let film = std::fs::read(clip).unwrap();
            let (rules, limits) = (SceneRules::REFERENCE, Limits::SOURCE);
            let shots =
                one_shot_segments(&ffmpeg, &film, &rules, shape.duration_ms(), &limits).unwrap();
            assert_eq!(shots, [Segment { start_ms: 2000, end_ms: 7125 }], "{}", clip.display());
            let scene = decode(clip, scene_start_micros() - 500).await.unwrap();
            assert_eq!(scene.len(), CLIP_FRAMES * FRAME_BYTES);
            let first = clip_of(&scene).unwrap();
            for start in [2000, 2001, 2062] {
                let cut = cut_clip(&ffmpeg, &film, start, &shape, &limits).unwrap();
                let cut = leoma_scoring::media::decode(&ffmpeg, &cut, &Limits::ANSWER).unwrap();
                let apart = cut.luma(0).iter().zip(first.luma(0)).map(|(a, b)| a.abs_diff(*b));
                let apart: u32 = apart.map(u32::from).sum();
                assert!(apart < 3 * cut.luma(0).len() as u32, "{apart} from {start} ms on");
            }
            assert!(Challenge::of(&first).is_one(), "{}", clip.display());
        }
        let before = std::fs::metadata(&clips[0]).unwrap().modified().unwrap();
        assert_eq!(make(&seed, folder.path()).await.unwrap(), corpus);
        assert_eq!(
            std::fs::metadata(&clips[0]).unwrap().modified().unwrap(),
            before,
            "a kept corpus is made again"
        );
    }

    #[test]
    fn a_scene_is_known_where_it_stands_beside_its_clip() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip-00.mp4");
        assert_eq!(ClipScene::beside(&clip).unwrap(), None);
        let scene = ClipScene::draw(&Seed::new("x"), 3);
        scene.write_beside(&clip, folder.path()).unwrap();
        assert_eq!(ClipScene::beside(&clip).unwrap(), Some(scene));
        assert!(folder.path().join("clip-00.scene.json").exists());
        std::fs::write(folder.path().join("clip-00.scene.json"), "{").unwrap();
        assert!(matches!(ClipScene::beside(&clip), Err(CorpusError::Scene { .. })));
    }

    #[test]
    fn a_folder_without_videos_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(list(folder.path()), Err(CorpusError::Empty(_))));
        assert!(matches!(list(&folder.path().join("none")), Err(CorpusError::Io { .. })));
    }
}

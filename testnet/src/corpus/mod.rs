//! Source clips: a small corpus made with ffmpeg, or the operator's own videos.
//!
//! A made clip is 12 s long, 832x480, 16 frames per second, with one cut; the longer of
//! its two scenes holds a one-shot clip of five seconds that starts two seconds in. The corpus is
//! kept in a folder named after its seed.

pub mod ffmpeg;
mod scenes;

pub use ffmpeg::FfmpegError;
pub(crate) use scenes::{FRAME_RATE, Light, Scene};

use std::path::{Path, PathBuf};

use futures::StreamExt as _;

use crate::seed::Seed;

/// Clips that are made: each scene kind is seen, and tasks in a row seldom meet the same clip.
pub(crate) const CLIP_COUNT: usize = 6;
/// Length of a made clip.
pub(crate) const CLIP_SECONDS: f64 = 12.0;
/// Length of the shorter scene: between these.
const SHORT_SCENE_SECONDS: (f64, f64) = (3.2, 4.2);
/// Validators take source clips of at least 1 MB.
const SMALLEST_CLIP: u64 = 1_000_000;
/// Clips made at the same time; each ffmpeg uses more than one core.
const CONCURRENT_CLIPS: usize = 2;
/// Changes whenever the scenes do, so that a kept corpus is never an outdated one.
const FORMAT: u32 = 2;
/// Most clips taken from a folder: a test subnet needs no more, and every miner indexes all of
/// them.
const MAX_CLIPS: usize = 200;

/// Why a corpus could not be made or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CorpusError {
    /// A folder or file could not be handled.
    #[error("corpus: {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// ffmpeg failed.
    #[error("corpus: {0}")]
    Ffmpeg(#[from] FfmpegError),
    /// The folder holds no video.
    #[error("corpus: {0} holds no .mp4 file")]
    Empty(PathBuf),
    /// A made clip is smaller than validators accept.
    #[error("corpus: {path} has {size} bytes; validators need at least {SMALLEST_CLIP}")]
    TooSmall { path: PathBuf, size: u64 },
}

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
    let mut clips =
        futures::stream::iter((0..CLIP_COUNT).map(|index| make_clip(seed, index, &folder)))
            .buffer_unordered(CONCURRENT_CLIPS);
    while let Some(clip) = clips.next().await {
        clip?;
    }
    drop(clips);
    Ok(folder)
}

async fn make_clip(seed: &Seed, index: usize, folder: &Path) -> Result<(), CorpusError> {
    let path = folder.join(format!("clip-{index:02}.mp4"));
    let failed = |source| CorpusError::Io { path: path.clone(), source };
    if path.exists() {
        return Ok(());
    }
    // Written under a name of its own and renamed: an interrupted run leaves no half clip, and two
    // runs at a time do no harm to one another.
    let unfinished = tempfile::Builder::new()
        .prefix(".clip-")
        .suffix(".part")
        .tempfile_in(folder)
        .map_err(failed)?;
    ffmpeg::run(&clip_arguments(seed, index, unfinished.path()), Vec::new()).await?;
    let size = std::fs::metadata(unfinished.path()).map_err(failed)?.len();
    if size < SMALLEST_CLIP {
        return Err(CorpusError::TooSmall { path, size });
    }
    unfinished.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn clip_arguments(seed: &Seed, index: usize, output: &Path) -> Vec<String> {
    let name = |part: &str| format!("clip/{index}/{part}");
    let short = seed.between(&name("short"), SHORT_SCENE_SECONDS.0, SHORT_SCENE_SECONDS.1);
    let short = (short * f64::from(FRAME_RATE)).round() / f64::from(FRAME_RATE);
    let (first, second) = if index.is_multiple_of(2) {
        (short, CLIP_SECONDS - short)
    } else {
        (CLIP_SECONDS - short, short)
    };
    let (light, other) = if index.is_multiple_of(3) {
        (Light::Day, Light::Night)
    } else {
        (Light::Night, Light::Day)
    };
    // The long scene goes through all kinds; the short one is any other kind.
    let kinds = Scene::ALL;
    let long = kinds[index % kinds.len()];
    let rest: Vec<_> = kinds.into_iter().filter(|&scene| scene != long).collect();
    let brief = seed.pick(&name("brief"), &rest).copied().unwrap_or(Scene::Pan);
    let (opening, closing) = if first < second { (brief, long) } else { (long, brief) };
    let graph = format!(
        "{};{};[a][b]concat=n=2:v=1[v]",
        opening.graph(seed, &name("a"), light, first, "a"),
        closing.graph(seed, &name("b"), other, second, "b"),
    );
    let mut arguments: Vec<String> =
        ["-filter_complex", &graph, "-map", "[v]", "-an"].map(String::from).to_vec();
    let encoder = "-c:v libx264 -preset veryfast -tune fastdecode -crf 14 -g 32 -pix_fmt yuv420p -movflags +faststart -f mp4";
    arguments.extend(encoder.split(' ').map(String::from));
    arguments.extend(["-t".into(), format!("{CLIP_SECONDS}"), output.display().to_string()]);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frame numbers at which ffmpeg's scene score passes 0.18.
    async fn cuts(path: &Path) -> Vec<u32> {
        let filter = "select='gt(scene,0.18)',metadata=print:file=-";
        let path = path.display().to_string();
        let words = ["-i", &path, "-vf", filter, "-f", "null", "-"].map(String::from);
        let text = String::from_utf8(ffmpeg::run(&words, Vec::new()).await.unwrap()).unwrap();
        let times =
            text.split("pts_time:").skip(1).map(|rest| rest.split_whitespace().next().unwrap());
        times
            .map(|time| (time.parse::<f64>().unwrap() * f64::from(FRAME_RATE)).round() as u32)
            .collect()
    }

    #[tokio::test]
    async fn each_clip_has_one_cut_and_a_scene_of_seven_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed::new("corpus test");
        let corpus = make(&seed, folder.path()).await.unwrap();
        let clips = list(&corpus).unwrap();
        assert_eq!(clips.len(), CLIP_COUNT);
        for clip in &clips {
            let cuts = cuts(clip).await;
            assert_eq!(cuts.len(), 1, "{} has cuts at {cuts:?}", clip.display());
            let frames = CLIP_SECONDS as u32 * FRAME_RATE;
            assert!(cuts[0].max(frames - cuts[0]) >= 7 * FRAME_RATE + 3, "cut at {}", cuts[0]);
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
    fn a_folder_without_videos_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(list(folder.path()), Err(CorpusError::Empty(_))));
        assert!(matches!(list(&folder.path().join("none")), Err(CorpusError::Io { .. })));
    }
}

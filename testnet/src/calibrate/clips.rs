//! The source clips.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use leoma_scoring::Scorer;
use leoma_scoring::media::{Clip, ClipShape, Limits, cut_clip, decode};

use super::scenes::{Light, Scene};
use crate::corpus::ffmpeg;
use crate::seed::Seed;

/// Rate factors at which a clip is re-encoded.
pub(super) const RATE_FACTORS: [u32; 3] = [18, 24, 30];
/// A little more than a task's clip.
const SECONDS: f64 = 5.5;

/// Makes `count` clips in `folder`.
pub(super) async fn make(seed: &Seed, count: usize, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::with_capacity(count);
    for index in 0..count {
        let scene = Scene::ALL[index % Scene::ALL.len()];
        let light = if index.is_multiple_of(2) { Light::Day } else { Light::Night };
        let graph = scene.graph(seed, &format!("calibrate/{index}"), light, SECONDS, "v");
        let path = folder.join(format!("{index}-{}.mp4", format!("{scene:?}").to_lowercase()));
        let mut arguments: Vec<String> =
            ["-filter_complex", &graph, "-map", "[v]", "-an"].map(String::from).to_vec();
        let encoder = "-c:v libx264 -preset veryfast -crf 12 -pix_fmt yuv420p -f mp4";
        arguments.extend(encoder.split(' ').map(String::from));
        arguments.push(path.display().to_string());
        ffmpeg::run(&arguments, Vec::new()).await?;
        paths.push(path);
    }
    Ok(paths)
}

/// The task clip that a validator would cut from the beginning of a video.
pub(super) fn task_clip(scorer: &Scorer, path: &Path) -> anyhow::Result<Vec<u8>> {
    let video = std::fs::read(path).with_context(|| path.display().to_string())?;
    cut_clip(scorer.ffmpeg(), &video, 0, &ClipShape::TASK, &Limits::SOURCE)
        .with_context(|| path.display().to_string())
}

/// A clip that was re-encoded, as a miner's encoder does, and decoded.
pub(super) fn recoded(scorer: &Scorer, mp4: &[u8], rate_factor: u32) -> anyhow::Result<Clip> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from.mp4"), folder.path().join("to.mp4"));
    std::fs::write(&from, mp4)?;
    let encoder = format!("-c:v libx264 -preset veryfast -crf {rate_factor} -pix_fmt yuv420p");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&from)
        .args(encoder.split(' '))
        .arg(&to)
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "ffmpeg could not encode the clip");
    Ok(decode(scorer.ffmpeg(), &std::fs::read(&to)?, &Limits::ANSWER)?)
}

/// A clip encoded and decoded, as on its way from a miner.
pub(super) fn encoded(scorer: &Scorer, clip: &Clip, rate_factor: u32) -> anyhow::Result<Clip> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from.yuv"), folder.path().join("to.mp4"));
    let frames = (0..clip.len()).flat_map(|index| {
        let (blue, red) = clip.chroma(index);
        [clip.luma(index), blue, red].concat()
    });
    std::fs::write(&from, frames.collect::<Vec<u8>>())?;
    let size = format!("{}x{}", clip.width(), clip.height());
    let encoder = format!("-c:v libx264 -preset veryfast -crf {rate_factor} -pix_fmt yuv420p");
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"])
        .args(["-s", &size, "-r", "16", "-i"])
        .arg(&from)
        .args(encoder.split(' '))
        .arg(&to)
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "ffmpeg could not encode the clip");
    Ok(decode(scorer.ffmpeg(), &std::fs::read(&to)?, &Limits::ANSWER)?)
}

//! Makes a miner's answer from five seconds of a source clip, with the defects of its role.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use leoma_scoring::calibration::{Degradation, STRENGTHS, honest};
use leoma_scoring::media::{Clip, Rational, VideoInfo};
use tokio::sync::Semaphore;

use super::VIDEO;
use super::{CLIP_FRAMES, ClipMatch, MinerError, Result, Role};
use crate::corpus::{FRAME_RATE, ffmpeg};

/// Answers kept: a task is asked for by up to four validators, and a few tasks run close together.
const KEPT_ANSWERS: usize = 64;
/// Constant quality of an answer, for the fastest preset: a busy machine must not make good miners
/// late.
const QUALITY: u32 = 24;
/// Grain takes more bytes than any picture: at this quality a noisy answer stays small enough for a
/// judge's request.
const GRAIN_QUALITY: u32 = 34;
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
    /// The newest source's frames: all miners are asked about the same one. The lock is held while
    /// they are decoded.
    source: tokio::sync::Mutex<Option<(ClipMatch, Bytes)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    clip: ClipMatch,
    role: Role,
    seed: u64,
}

/// What an answer is made from.
enum Base {
    /// The source clip.
    Source,
    /// What a good model would make of it.
    Own,
    /// The good miner's answer.
    Stolen,
}

/// How an answer is made.
struct Recipe {
    base: Base,
    change: Option<Degradation>,
    filter: &'static str,
}

impl Recipe {
    /// `None` where there is no video.
    fn of(role: Role) -> Option<Self> {
        let recipe = |base, change, filter| Some(Self { base, change, filter });
        let own = |change| recipe(Base::Own, Some(change), "null");
        let stolen = |filter| recipe(Base::Stolen, None, filter);
        match role {
            Role::Good | Role::Copycat | Role::Sometimes => recipe(Base::Own, None, "null"),
            Role::Blur => own(Degradation::Blur),
            Role::Noise => own(Degradation::Noise),
            Role::Flicker => own(Degradation::Flicker),
            Role::Drift => own(Degradation::Drift),
            Role::Overlay => own(Degradation::Overlay),
            Role::Upscaled => own(Degradation::Upscaled),
            Role::Loop => own(Degradation::Loop),
            Role::Freeze => own(Degradation::Frozen),
            Role::GrainyFreeze => {
                recipe(Base::Own, Some(Degradation::Frozen), "noise=alls=12:allf=t")
            }
            Role::LowFrameRate => {
                recipe(Base::Own, None, "fps=4,fps=16,tpad=stop_mode=clone:stop_duration=1")
            }
            Role::Short => recipe(Base::Own, None, "trim=end_frame=20"),
            Role::WrongSize => recipe(Base::Own, None, "scale=640:360"),
            // The rest of the clip upside down, backwards and in other colours.
            Role::Garbage => recipe(
                Base::Own,
                None,
                "split[a][b];[a]trim=end_frame=16[a];[b]reverse,vflip,hue=h=140,trim=end_frame=65[b];[a][b]concat",
            ),
            Role::Replay => recipe(Base::Source, None, "null"),
            Role::Recoded => stolen("null"),
            Role::Cropped => stolen("crop=iw*0.9:ih*0.9,scale=416:240"),
            Role::Flipped => stolen("hflip"),
            Role::Equalised => stolen("eq=contrast=1.15:brightness=0.05:saturation=1.2"),
            Role::Slowed => stolen("setpts=PTS/0.9,fps=16"),
            Role::Playlist => None,
        }
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
            source: Default::default(),
        })
    }

    /// What the miner `name` of this role gives for the clip.
    ///
    /// # Errors
    /// When ffmpeg or the file system fails.
    pub(crate) async fn render(&self, clip: ClipMatch, role: Role, name: &str) -> Result<Bytes> {
        let Some(recipe) = Recipe::of(role) else { return Ok(Bytes::from_static(PLAYLIST)) };
        let seed = if role == Role::Good { GOOD_SEED } else { seed_of(name) };
        let order = Order { clip, role, seed };
        if let Some(video) = self.kept(&order) {
            return Ok(video);
        }
        let stolen = match recipe.base {
            Base::Stolen => {
                Some(Box::pin(self.render(order.clip.clone(), Role::Good, name)).await?)
            }
            Base::Source | Base::Own => None,
        };
        // The semaphore is never closed; should it be, rendering without a turn does no harm.
        let _turn = self.turns.acquire().await.ok();
        if let Some(video) = self.kept(&order) {
            return Ok(video);
        }
        let video = self.make(&order, &recipe, stolen).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT_ANSWERS - 1);
        kept.push_front((order, video.clone()));
        Ok(video)
    }

    async fn make(&self, order: &Order, recipe: &Recipe, stolen: Option<Bytes>) -> Result<Bytes> {
        let raw = match stolen {
            Some(video) => {
                let file = tempfile::Builder::new()
                    .prefix("stolen-")
                    .suffix(".mp4")
                    .tempfile_in(&self.folder)?;
                tokio::fs::write(file.path(), &video).await?;
                let input = file.path().display().to_string();
                ffmpeg::run(&decoding(&["-i", &input], "null"), Vec::new()).await?.into()
            }
            None => self.source_frames(&order.clip).await?,
        };
        let (own, change, seed) = (matches!(recipe.base, Base::Own), recipe.change, order.seed);
        let raw = tokio::task::spawn_blocking(move || changed(&raw, own.then_some(seed), change))
            .await??;
        // MP4 needs a seekable output.
        let file =
            tempfile::Builder::new().prefix("answer-").suffix(".mp4").tempfile_in(&self.folder)?;
        let quality = if order.role == Role::Noise { GRAIN_QUALITY } else { QUALITY };
        ffmpeg::run(&encoding(recipe.filter, quality, &file.path().display().to_string()), raw)
            .await?;
        Ok(Bytes::from(tokio::fs::read(file.path()).await?))
    }

    async fn source_frames(&self, clip: &ClipMatch) -> Result<Bytes> {
        let mut newest = self.source.lock().await;
        if let Some((_, frames)) = newest.as_ref().filter(|(known, _)| known == clip) {
            return Ok(frames.clone());
        }
        // As validators cut and scale a source clip: the miner knows what kind of video it is asked
        // for.
        let (width, height) = VIDEO;
        let filter = format!(
            "fps={FRAME_RATE},scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos,\
             crop={width}:{height},setsar=1"
        );
        let (start, path) = (format!("{}us", clip.start_micros), clip.path.display().to_string());
        let frames = Bytes::from(
            ffmpeg::run(&decoding(&["-ss", &start, "-i", &path], &filter), Vec::new()).await?,
        );
        *newest = Some((clip.clone(), frames.clone()));
        Ok(frames)
    }

    fn kept(&self, order: &Order) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == order).map(|(_, video)| video.clone())
    }
}

/// A seed for a name (FNV-1a); never the good miner's.
fn seed_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash | 2
}

/// Frames as a good model makes them where there is a seed, then made worse.
fn changed(raw: &[u8], own: Option<u64>, change: Option<Degradation>) -> Result<Vec<u8>> {
    if own.is_none() && change.is_none() {
        return Ok(raw.to_vec());
    }
    let (width, height) = (VIDEO.0 as usize, VIDEO.1 as usize);
    let info = VideoInfo {
        width: VIDEO.0,
        height: VIDEO.1,
        fps: Some(Rational { numerator: FRAME_RATE, denominator: 1 }),
        frames: None,
        duration_ms: None,
        codec: "rawvideo".to_owned(),
        colour_space: None,
    };
    let bytes = width * height * 3 / 2;
    let frames = raw.chunks_exact(bytes).map(<[u8]>::to_vec).collect();
    let mut clip = Clip::from_planes(width, height, info, frames)
        .ok_or(MinerError::Picture { expected: bytes, found: raw.len() })?;
    if let Some(seed) = own {
        clip = honest(&clip, seed);
    }
    if let Some(change) = change {
        clip = change.apply(&clip, STRENGTHS, own.unwrap_or_default());
    }
    // Plane by plane: byte by byte takes seconds in a development build.
    let mut changed = Vec::with_capacity(clip.len() * bytes);
    for frame in 0..clip.len() {
        let (blue, red) = clip.chroma(frame);
        for plane in [clip.luma(frame), blue, red] {
            changed.extend_from_slice(plane);
        }
    }
    Ok(changed)
}

fn decoding(input: &[&str], filter: &str) -> Vec<String> {
    let frames = CLIP_FRAMES.to_string();
    let output = [
        "-an",
        "-vf",
        filter,
        "-frames:v",
        &frames,
        "-pix_fmt",
        "yuv420p",
        "-f",
        "rawvideo",
        "pipe:1",
    ];
    input.iter().chain(&output).map(|word| (*word).to_owned()).collect()
}

fn encoding(filter: &str, quality: u32, output: &str) -> Vec<String> {
    let (size, rate, frames) =
        (format!("{}x{}", VIDEO.0, VIDEO.1), FRAME_RATE.to_string(), CLIP_FRAMES.to_string());
    let quality = quality.to_string();
    let mut words =
        vec!["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", &rate, "-i", "pipe:0"];
    words.extend([
        "-vf",
        filter,
        "-frames:v",
        &frames,
        "-r",
        &rate,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]);
    words.extend(["-threads", "1", "-crf", &quality, "-pix_fmt", "yuv420p"]);
    words.extend(["-movflags", "+faststart", "-f", "mp4", output]);
    words.into_iter().map(str::to_owned).collect()
}

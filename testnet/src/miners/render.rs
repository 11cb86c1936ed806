//! Encodes five seconds of a source clip, with a miner's defect.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{ClipMatch, MinerError, Role};
use crate::corpus::{FRAME_RATE, HEIGHT, WIDTH, ffmpeg};

/// Frames of an answer: five seconds and the first frame.
pub const CLIP_FRAMES: usize = 81;
/// Answers kept: a task is asked for by up to four validators, and a few tasks run close together.
const KEPT_ANSWERS: usize = 48;
/// Constant quality of an answer, for the fastest preset: a busy machine must not make good miners late.
const QUALITY: u32 = 24;
/// Grain takes more bytes than any picture: at this quality a noisy answer stays small enough for a judge's request.
const GRAIN_QUALITY: u32 = 34;

/// Renders answers, a few at a time, and keeps the newest.
#[derive(Debug)]
pub struct Renderer {
    folder: PathBuf,
    turns: Semaphore,
    kept: Mutex<VecDeque<(Order, Bytes)>>,
}

type Order = (ClipMatch, Role);

impl Renderer {
    /// A renderer that writes its working files to `folder` and runs `concurrency` encoders at most.
    #[must_use]
    pub fn new(folder: PathBuf, concurrency: usize) -> Arc<Self> {
        Arc::new(Self { folder, turns: Semaphore::new(concurrency.max(1)), kept: Mutex::default() })
    }

    /// The MP4 that a miner of this role gives for the clip.
    ///
    /// # Errors
    /// When ffmpeg or the file system fails.
    pub async fn render(&self, clip: ClipMatch, role: Role) -> Result<Bytes, MinerError> {
        let order = (clip, role);
        if let Some(video) = self.kept(&order) {
            return Ok(video);
        }
        // The semaphore is never closed; should it be, rendering without a turn does no harm.
        let _turn = self.turns.acquire().await.ok();
        if let Some(video) = self.kept(&order) {
            return Ok(video);
        }
        // MP4 needs a seekable output.
        let file = tempfile::Builder::new().prefix("answer-").suffix(".mp4").tempfile_in(&self.folder)?;
        ffmpeg::run(&arguments(&order.0, role, &file.path().display().to_string()), Vec::new()).await?;
        let video = Bytes::from(tokio::fs::read(file.path()).await?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT_ANSWERS - 1);
        kept.push_front((order, video.clone()));
        Ok(video)
    }

    fn kept(&self, order: &Order) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == order).map(|(_, video)| video.clone())
    }
}

fn arguments(clip: &ClipMatch, role: Role, output: &str) -> Vec<String> {
    let frames = CLIP_FRAMES.to_string();
    // As validators cut and scale a source clip: the miner knows what kind of video it is asked for.
    let mut filter = format!(
        "fps={FRAME_RATE},scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=increase:flags=lanczos,\
         crop={WIDTH}:{HEIGHT},setsar=1"
    );
    if let Some(defect) = defect(role) {
        filter = format!("{filter},{defect}");
    }
    let start = format!("{}us", clip.start_micros);
    let (path, rate, quality) = (clip.path.display().to_string(), FRAME_RATE.to_string(), quality(role).to_string());
    let mut words = vec!["-ss", &start, "-i", &path, "-an", "-vf", &filter, "-frames:v", &frames, "-r", &rate];
    words.extend(["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-crf", &quality, "-pix_fmt", "yuv420p"]);
    words.extend(["-movflags", "+faststart", "-f", "mp4", output]);
    words.into_iter().map(str::to_owned).collect()
}

fn quality(role: Role) -> u32 {
    if role == Role::Noise { GRAIN_QUALITY } else { QUALITY }
}

fn defect(role: Role) -> Option<&'static str> {
    match role {
        Role::Good | Role::Copycat => None,
        // As good as the good one, but a model of its own: not the same bytes.
        Role::Sometimes => Some("eq=saturation=1.05:gamma=1.02"),
        Role::Blur => Some("gblur=sigma=6"),
        Role::Noise => Some("noise=alls=35:allf=t"),
        Role::Flicker => Some("eq=brightness='0.22*sin(2*PI*4*t+0.8)':eval=frame"),
        Role::Drift => Some("scroll=horizontal=0.012:vertical=0.004,hue=h='30*t'"),
        Role::LowFrameRate => Some("fps=4,fps=16,tpad=stop_mode=clone:stop_duration=1"),
        Role::Freeze => Some("trim=end_frame=1,loop=loop=80:size=1:start=0,setpts=N/16/TB"),
    }
}

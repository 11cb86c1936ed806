//! Frames as bytes, and through ffmpeg: planar YUV 4:2:0 of [`VIDEO`]'s size, BT.709.

use std::path::Path;

use leoma_scoring::media::{Clip, Rational, VideoInfo};

use super::ffmpeg::{self, FfmpegError};
use super::shape::{CLIP_FRAMES, FRAME_RATE, VIDEO};

/// Bytes of a frame.
pub(crate) const FRAME_BYTES: usize = VIDEO.0 as usize * VIDEO.1 as usize * 3 / 2;
/// Says in which colours the frames are: a small video that does not say is taken for BT.601.
const TAGGED: &str = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv";

/// How frames become a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coding {
    /// What ffmpeg does to them before.
    pub(crate) filter: &'static str,
    /// Frames of the file at most.
    pub(crate) frames: usize,
    /// The encoder's preset.
    pub(crate) preset: &'static str,
    /// The encoder's rate factor.
    pub(crate) quality: u32,
}

/// The frames as a clip; `None` where there is no whole frame.
pub(crate) fn clip_of(raw: &[u8]) -> Option<Clip> {
    let info = VideoInfo {
        width: VIDEO.0,
        height: VIDEO.1,
        fps: Some(Rational { numerator: FRAME_RATE, denominator: 1 }),
        frames: None,
        duration_ms: None,
        codec: "rawvideo".to_owned(),
        colour_space: None,
    };
    let frames = raw.chunks_exact(FRAME_BYTES).map(<[u8]>::to_vec).collect();
    Clip::from_planes(VIDEO.0 as usize, VIDEO.1 as usize, info, frames)
}

/// The frames of a clip.
pub(crate) fn bytes_of(clip: &Clip) -> Vec<u8> {
    // Plane by plane: byte by byte takes seconds in a development build.
    let mut bytes = Vec::with_capacity(clip.len() * FRAME_BYTES);
    for frame in 0..clip.len() {
        let (blue, red) = clip.chroma(frame);
        for plane in [clip.luma(frame), blue, red] {
            bytes.extend_from_slice(plane);
        }
    }
    bytes
}

/// Writes frames to an MP4.
///
/// # Errors
/// When ffmpeg fails.
pub(crate) async fn encode(raw: Vec<u8>, coding: Coding, output: &Path) -> Result<(), FfmpegError> {
    let Coding { filter, frames, preset, quality } = coding;
    let (size, rate, frames, quality, filter, output) = (
        format!("{}x{}", VIDEO.0, VIDEO.1),
        FRAME_RATE.to_string(),
        frames.to_string(),
        quality.to_string(),
        format!("{filter},{TAGGED}"),
        output.display().to_string(),
    );
    let mut words =
        vec!["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", &rate, "-i", "pipe:0"];
    words.extend(["-vf", &filter, "-frames:v", &frames, "-r", &rate]);
    words.extend(["-c:v", "libx264", "-preset", preset, "-threads", "1", "-crf", &quality]);
    words.extend(["-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", &output]);
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    ffmpeg::run(&words, raw).await.map(|_printed| ())
}

/// The frames of five seconds of a video from a time on, as validators scale a source clip.
///
/// # Errors
/// When ffmpeg fails.
pub(crate) async fn decode(video: &Path, start_micros: u64) -> Result<Vec<u8>, FfmpegError> {
    let (width, height) = VIDEO;
    let filter = format!(
        "fps={FRAME_RATE},scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos\
         :out_color_matrix=bt709:out_range=tv,crop={width}:{height},setsar=1"
    );
    let (start, video, frames) =
        (format!("{start_micros}us"), video.display().to_string(), CLIP_FRAMES.to_string());
    let mut words = vec!["-ss", &start, "-i", &video, "-an", "-vf", &filter];
    words.extend(["-frames:v", &frames, "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"]);
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    ffmpeg::run(&words, Vec::new()).await
}

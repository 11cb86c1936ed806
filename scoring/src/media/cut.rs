//! Makes the task's clip and its first frame for the sampler.

use super::input::{STDIN_AS_FILE, input_flags};
use super::jail::{Allowance, Ended, Output, result_file, run};
use super::mp4::Use;
use super::probe::{Opened, open};
use super::{Ffmpeg, Limits, MediaError, MediaFault, VideoDefect};
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;

/// A five-second clip at high quality has 1 to 4 MB.
const MAX_CLIP_BYTES: u64 = 64 << 20;
/// An 832x480 picture without compression has 1.2 MB.
const MAX_PICTURE_BYTES: usize = 16 << 20;
/// Constant rate factor of the clip: visually lossless, because every answer is compared with it.
const CLIP_RATE_FACTOR: &str = "14";

/// The shape of a task's clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipShape {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Number of frames.
    pub frames: u32,
}

impl ClipShape {
    /// 81 frames of 832x480 at 16 per second: five seconds from the first frame to the last.
    pub const TASK: Self = Self { width: 832, height: 480, fps: 16, frames: 81 };

    /// Time that the clip covers, in milliseconds, rounded up.
    pub fn duration_ms(&self) -> u64 {
        (u64::from(self.frames) * 1000).div_ceil(u64::from(self.fps))
    }
}

/// Cuts the clip that starts at `start_ms` of `source`: frame-accurate, scaled to fill the shape
/// and cropped to it, H.264, without sound or metadata, index first.
///
/// # Errors
/// [`VideoDefect::TooShort`] where the source ends before the clip does; other defects as in
/// [`super::decode`]; [`MediaFault`] where this machine failed.
pub fn cut_clip(
    ffmpeg: &Ffmpeg,
    source: &[u8],
    start_ms: u64,
    shape: &ClipShape,
    limits: &Limits,
) -> Result<Vec<u8>, MediaError> {
    let Opened { input, probed, .. } = open(ffmpeg, source, limits, Use::Playback)?;
    let ClipShape { width, height, fps, frames } = shape;
    let filter = format!(
        "fps={fps},scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos+accurate_rnd+bitexact\
         :{}:out_color_matrix=bt709:out_range=tv,crop={width}:{height},setsar=1,format=yuv420p",
        probed.layout.scale_input(&probed.info)
    );
    let mut args = vec!["-nostdin".to_owned(), "-y".to_owned()];
    args.extend(input_flags(limits.pixels));
    let start = format!("{}.{:03}", start_ms / 1000, start_ms % 1000);
    args.extend(["-threads", "2", "-ss", &start, "-i", STDIN_AS_FILE].map(str::to_owned));
    args.extend(["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", &filter].map(str::to_owned));
    args.extend(["-frames:v", &frames.to_string(), "-map_metadata", "-1"].map(str::to_owned));
    args.extend(
        ["-c:v", "libx264", "-preset", "fast", "-crf", CLIP_RATE_FACTOR, "-threads", "2"]
            .map(str::to_owned),
    );
    args.extend(
        ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
            .map(str::to_owned),
    );
    args.extend(
        ["-color_range", "tv", "-fflags", "+bitexact", "-flags:v", "+bitexact"].map(str::to_owned),
    );
    args.extend(
        ["-movflags", "+faststart", "-f", "mp4", "file:/proc/self/fd/1"].map(str::to_owned),
    );
    let mut result = result_file()?;
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: MAX_CLIP_BYTES };
    expect_success(run(&ffmpeg.ffmpeg, &args, &input, Output::File(&result), allowance)?, limits)?;
    let clip = read_result(&mut result).map_err(MediaFault::Read)?;
    check_length(ffmpeg, &clip, shape)?;
    Ok(clip)
}

/// The first frame of `clip` as PNG bytes, RGB by BT.709 unless the clip is tagged otherwise.
///
/// # Errors
/// As [`super::decode`].
pub fn first_frame_png(
    ffmpeg: &Ffmpeg,
    clip: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, MediaError> {
    let Opened { input, probed, .. } = open(ffmpeg, clip, limits, Use::Playback)?;
    let filter = format!(
        "scale={}:flags=accurate_rnd+bitexact+full_chroma_int+full_chroma_inp,format=rgb24",
        probed.layout.scale_input(&probed.info)
    );
    let mut args = vec!["-nostdin".to_owned()];
    args.extend(input_flags(limits.pixels));
    args.extend(["-threads", "1", "-i", STDIN_AS_FILE, "-map", "0:v:0"].map(str::to_owned));
    args.extend(
        ["-frames:v", "1", "-vf", &filter, "-c:v", "png", "-f", "image2pipe", "pipe:1"]
            .map(str::to_owned),
    );
    let mut picture = Vec::new();
    let mut sink = |bytes: &[u8]| {
        picture.extend_from_slice(bytes);
        if picture.len() > MAX_PICTURE_BYTES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: 0 };
    let ended = run(&ffmpeg.ffmpeg, &args, &input, Output::Pipe(&mut sink), allowance)?;
    expect_success(ended, limits)?;
    if picture.is_empty() { Err(VideoDefect::NoFrames.into()) } else { Ok(picture) }
}

/// What the exit of ffmpeg says about a source video.
fn expect_success(ended: Ended, limits: &Limits) -> Result<(), MediaError> {
    match ended {
        Ended::OutOfCpu => Err(VideoDefect::TooExpensive { seconds: limits.cpu.as_secs() }.into()),
        ended => Ok(expect_written(ended, limits)?),
    }
}

/// What the exit of ffmpeg says about a file that it should have written from good frames.
pub(super) fn expect_written(ended: Ended, limits: &Limits) -> Result<(), MediaFault> {
    match ended {
        Ended::Success => Ok(()),
        Ended::Failure { complaint } => Err(MediaFault::Encode { complaint }),
        Ended::Stopped => {
            Err(MediaFault::Encode { complaint: "the result is larger than expected".into() })
        }
        Ended::OutOfCpu => Err(MediaFault::OutOfCpu { seconds: limits.cpu.as_secs() }),
    }
}

/// A clip from a source that ends early is too short, or an empty file.
fn check_length(ffmpeg: &Ffmpeg, clip: &[u8], shape: &ClipShape) -> Result<(), MediaError> {
    let frames = match super::probe(ffmpeg, clip, &Limits::ANSWER) {
        Ok(info) => info.frames.unwrap_or(0),
        Err(MediaError::Video(_)) => 0,
        Err(fault) => return Err(fault),
    };
    if frames == u64::from(shape.frames) {
        return Ok(());
    }
    Err(VideoDefect::TooShort {
        frames: frames as usize,
        duration_ms: frames * 1000 / u64::from(shape.fps),
        min_frames: shape.frames as usize,
        min_duration_ms: shape.duration_ms(),
    }
    .into())
}

pub(super) fn read_result(file: &mut std::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_CLIP_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

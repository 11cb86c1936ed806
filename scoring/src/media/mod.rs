//! Hostile files in, plain frames out; and the clips that the sampler cuts.
//!
//! Canonical frames are planar YUV 4:2:0 with 8 bits, as coded: no scaling, no rotation, edit lists
//! ignored, frame order and count untouched. For files that are coded so, which is what everyone
//! sends, no arithmetic happens between the codec and us, so two validators see the same bytes.
//! Other layouts (4:4:4, 10 bits) go through ffmpeg's conversion.
//!
//! | attack | answer |
//! |---|---|
//! | playlist or concat script named `.mp4` | the MP4 demuxer is forced; no other file is ever opened |
//! | external data references in the MP4 | switched off by name |
//! | 16k frames, an hour of frames in 400 KB | size and count are checked on the probe, then again while decoding |
//! | damage that a decoder would paint over, differently each time | the first fault of a stream ends it |
//! | rotation, edit lists, odd timestamps | ignored |
//! | decoder bombs | processor time, memory and wall clock are limited outside the decoder |
//! | decoder bugs | child process, no network where permitted, empty environment, no new privileges |

mod cut;
mod decode;
#[cfg(fuzzing)]
pub mod fuzzing;
mod jail;
mod picture;
mod probe;
mod scenes;
mod segment;
mod tools;

pub use cut::{ClipShape, cut_clip, first_frame_png};
pub(crate) use decode::decode_if;
pub use decode::{Clip, Frame, decode};
pub use picture::decode_png;
pub(crate) use picture::encode_clip;
pub use probe::{Rational, VideoInfo, probe};
pub use scenes::one_shot_segments;
pub use segment::{SceneRules, Segment, choose_segment};
pub use tools::{Ffmpeg, FfmpegMissing};

use std::io::{self, Read};
use std::time::Duration;

/// What a file may cost us before we give up on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file itself.
    pub file_bytes: usize,
    /// Decoded frames.
    pub frames: usize,
    /// Pixels of one frame.
    pub pixels: u64,
    /// Processor time of one child.
    pub cpu: Duration,
    /// Real time of one child; past it the machine, not the file, is at fault.
    pub wall: Duration,
}

impl Limits {
    /// For a miner's answer to a request for 81 frames of 832x480: an honest file has under 5 MB.
    pub const ANSWER: Self = Self {
        file_bytes: 64 << 20,
        frames: 2 * 81,
        pixels: 1920 * 1088,
        cpu: Duration::from_secs(30),
        wall: Duration::from_secs(90),
    };
    /// For a source video of the subnet owner's corpus: up to 200 MB and 4K, of which a minute or
    /// two is looked at.
    pub const SOURCE: Self = Self {
        file_bytes: 200 << 20,
        frames: 2400,
        pixels: 4096 * 2304,
        cpu: Duration::from_secs(240),
        wall: Duration::from_secs(480),
    };
}

/// What is wrong with a video: always the file's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VideoDefect {
    /// No bytes at all.
    #[error("the video is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the video has {got} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size in bytes, or the first size that was too large where reading stopped.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not an MP4, truncated before its index, or not decodable.
    #[error("the video cannot be decoded: {complaint}")]
    Undecodable {
        /// The end of the decoder's complaint, control characters removed.
        complaint: String,
    },
    /// An MP4 without a video track.
    #[error("the file has no video track")]
    NoVideoTrack,
    /// A codec outside the list.
    #[error("the video's codec {codec:?} is not one of {}", CODECS.join(", "))]
    Codec {
        /// The codec's name as ffprobe gives it.
        codec: String,
    },
    /// The track decodes to nothing.
    #[error("the video has no frames")]
    NoFrames,
    /// More frames than allowed.
    #[error("the video has more than {limit} frames")]
    TooManyFrames {
        /// The limit.
        limit: usize,
    },
    /// More pixels per frame than allowed.
    #[error("the video is {width}x{height}, over the limit of {limit} pixels per frame")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Allowed pixels per frame.
        limit: u64,
    },
    /// Not the size that was asked for.
    #[error("the video is {}x{}, not {}x{} within {tolerance} pixels", got.0, got.1, want.0, want.1)]
    WrongSize {
        /// Its width and height.
        got: (u32, u32),
        /// The width and height asked for.
        want: (u32, u32),
        /// Allowed difference on each side, in pixels.
        tolerance: u32,
    },
    /// Fewer frames, or less time, than was asked for.
    #[error(
        "the video has {frames} frames over {duration_ms} ms; at least {min_frames} over {min_duration_ms} ms are needed"
    )]
    TooShort {
        /// Decoded frames.
        frames: usize,
        /// Frames divided by the stated frame rate, in milliseconds.
        duration_ms: u64,
        /// Frames needed.
        min_frames: usize,
        /// Milliseconds needed.
        min_duration_ms: u64,
    },
    /// Decoding used up its processor time.
    #[error("decoding took more than {seconds} s of processor time")]
    TooExpensive {
        /// The limit in seconds.
        seconds: u64,
    },
}

/// What is wrong on this machine. It says nothing about any video or miner.
#[derive(Debug, thiserror::Error)]
pub enum MediaFault {
    /// ffmpeg is missing.
    #[error(transparent)]
    FfmpegMissing(#[from] FfmpegMissing),
    /// The decoder's input or output could not be set up.
    #[error("cannot hold a video in a memory file")]
    Input(#[source] io::Error),
    /// The child did not start.
    #[error("cannot start {program}")]
    Spawn {
        /// The program's path.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The child's output could not be read.
    #[error("cannot read from the media process")]
    Read(#[source] io::Error),
    /// The child ran out of real time while it still had processor time: this machine is
    /// overloaded.
    #[error(
        "the media process did not finish within {seconds} s although it had processor time left"
    )]
    Stalled {
        /// The limit in seconds.
        seconds: u64,
    },
    /// ffmpeg refused what we asked of it, for instance an encoder that this build lacks.
    #[error("ffmpeg could not write the result: {complaint}")]
    Encode {
        /// The end of ffmpeg's complaint.
        complaint: String,
    },
}

/// Either side's fault, kept apart.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The video's.
    #[error(transparent)]
    Video(#[from] VideoDefect),
    /// This machine's.
    #[error(transparent)]
    Fault(#[from] MediaFault),
}

/// Codecs that are decoded, by ffmpeg's decoder names: what browsers play and generators write.
pub(crate) const CODECS: [&str; 8] =
    ["h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9", "mpeg4"];

/// Sound tracks are never decoded to the end, but ffmpeg opens them to describe the file and fails
/// where it may not: what cameras, editors and generators put beside the picture.
const SOUND_CODECS: [&str; 8] =
    ["aac", "mp3", "mp3float", "opus", "libopus", "flac", "alac", "ac3"];

/// A file may claim frames up to this size and is then refused by name; beyond it ffmpeg refuses
/// for us.
pub(crate) const CLAIMED_PIXELS: u64 = 16_384 * 8_192;

/// Refuses sizes before anything is copied.
pub(crate) fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), VideoDefect> {
    if bytes.is_empty() {
        return Err(VideoDefect::Empty);
    }
    if bytes.len() > limits.file_bytes {
        return Err(VideoDefect::TooLarge { got: bytes.len(), limit: limits.file_bytes });
    }
    Ok(())
}

/// Reads a body to its end, or to the first byte past the limit: an endless body ends there.
pub fn read_bounded(body: impl Read, limits: &Limits) -> io::Result<Result<Vec<u8>, VideoDefect>> {
    let mut bytes = Vec::new();
    let limit = limits.file_bytes;
    body.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(check_size(&bytes, limits).map(|()| bytes))
}

/// The input flags that every call shares: the MP4 demuxer and nothing else, no side files, only
/// known codecs.
pub(crate) fn input_flags(max_pixels: u64) -> Vec<String> {
    let pixels = max_pixels.to_string();
    let codecs = [CODECS, SOUND_CODECS].concat().join(",");
    let flags = [
        "-hide_banner",
        "-v",
        "error",
        "-protocol_whitelist",
        "file",
        "-f",
        "mov",
        "-enable_drefs",
        "0",
        "-use_absolute_path",
        "0",
        "-ignore_editlist",
        "1",
        "-codec_whitelist",
        &codecs,
        "-max_pixels",
        &pixels,
    ];
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

/// The child's standard input, opened again so that it can seek: an MP4's index may lie at its end.
pub(crate) const STDIN_AS_FILE: &str = "file:/proc/self/fd/0";

//! What can be wrong with a video, and what can fail on this machine, kept apart.

use super::input::CODECS;
use super::tools::FfmpegMissing;
use std::io;

/// What is wrong with a video. Always the file's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VideoDefect {
    /// It has no bytes.
    #[error("the video is empty")]
    Empty,
    /// It has more bytes than allowed.
    #[error("the video has {got} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size in bytes, or the number of bytes read before it was given up.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It is something other than an MP4.
    #[error("the file is {kind}, not an MP4 video")]
    OtherKind {
        /// What it is, with its article.
        kind: &'static str,
    },
    /// It ends before its last box does, or before its index.
    #[error("the MP4 is cut off: it ends before its index or its pictures do")]
    CutOff,
    /// It is malformed, or its pictures are damaged.
    #[error("the video cannot be decoded: {complaint}")]
    Undecodable {
        /// Why, in words that are the same on every machine.
        complaint: String,
    },
    /// Its edit list makes players show other frames than were coded.
    #[error("the video has an edit list that hides frames or changes their order or pace")]
    HiddenFrames,
    /// Its header makes players turn, mirror or distort the picture.
    #[error("the video is marked to be turned, mirrored or distorted by players")]
    Turned,
    /// It is an MP4 without a video track.
    #[error("the file has no video track")]
    NoVideoTrack,
    /// Its codec is not on the list.
    #[error("the video's codec {codec:?} is not one of {}", CODECS.join(", "))]
    Codec {
        /// The codec's name as ffprobe gives it.
        codec: String,
    },
    /// Its track holds no frame.
    #[error("the video has no frames")]
    NoFrames,
    /// It has more frames than allowed.
    #[error("the video has more than {limit} frames")]
    TooManyFrames {
        /// The limit.
        limit: usize,
    },
    /// Its frames have more pixels than allowed.
    #[error("the video is {width}x{height}, over the limit of {limit} pixels per frame")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Allowed pixels per frame.
        limit: u64,
    },
    /// Frames of it do not have the size that was asked for, or not the size of its first frame.
    #[error(
        "the video has frames of {}x{}, not {}x{} within {tolerance} pixels",
        got.0, got.1, want.0, want.1
    )]
    WrongSize {
        /// The frames' width and height.
        got: (u32, u32),
        /// The width and height asked for, or those of the first frame.
        want: (u32, u32),
        /// Allowed difference on each side, in pixels: none from the first frame.
        tolerance: u32,
    },
    /// It has fewer frames, or is shorter, than was asked for.
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
    /// It is much longer than was asked for.
    #[error("the video is {duration_ms} ms long, more than the {max_duration_ms} ms allowed")]
    TooLong {
        /// Milliseconds by its frames' times.
        duration_ms: u64,
        /// Milliseconds allowed.
        max_duration_ms: u64,
    },
    /// A source video whose decoding used up the processor time. For an answer that is
    /// [`MediaFault::OutOfCpu`].
    #[error("decoding took more than {seconds} s of processor time")]
    TooExpensive {
        /// The limit in seconds.
        seconds: u64,
    },
}

/// What failed on this machine. Says nothing about any video or miner.
#[derive(Debug, thiserror::Error)]
pub enum MediaFault {
    /// ffmpeg is missing.
    #[error(transparent)]
    FfmpegMissing(#[from] FfmpegMissing),
    /// The decoder's input or output could not be set up.
    #[error("failed to copy a video to a memory file")]
    Input(#[source] io::Error),
    /// The child process did not start.
    #[error("cannot start {program}")]
    Spawn {
        /// The program's path.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// ffmpeg or ffprobe fails on a known-good clip: it does not start, or this build lacks a
    /// decoder or a filter.
    #[error(
        "{program} does not decode a known-good {codec} clip ({reason}): install \
         an ffmpeg that does (Debian and Ubuntu: apt-get install ffmpeg)"
    )]
    Broken {
        /// The program's path.
        program: String,
        /// The clip's codec.
        codec: &'static str,
        /// The program's complaint, or what it did.
        reason: String,
    },
    /// The child was killed from outside, as the kernel does where memory runs out.
    #[error("the media process was killed from outside ({signal}): is there enough memory?")]
    Killed {
        /// The signal's name.
        signal: &'static str,
    },
    /// The child's output could not be read.
    #[error("cannot read from the media process")]
    Read(#[source] io::Error),
    /// The child used up its processor time on a file that is within all bounds that are counted.
    /// Another machine may be faster.
    #[error(
        "the media process used up {seconds} s of processor time: is this machine slow, or was the \
         file made to take long?"
    )]
    OutOfCpu {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The child ran out of real time while it still had processor time: this machine is
    /// overloaded.
    #[error(
        "the media process did not finish within {seconds} s although it had processor time left"
    )]
    Stalled {
        /// The limit in seconds.
        seconds: u64,
    },
    /// ffmpeg refused a call, for instance because this build lacks an encoder.
    #[error("ffmpeg could not write the result: {complaint}")]
    Encode {
        /// ffmpeg's first complaint.
        complaint: String,
    },
}

/// A fault of the video or of this machine.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The video is at fault.
    #[error(transparent)]
    Video(#[from] VideoDefect),
    /// This machine is at fault.
    #[error(transparent)]
    Fault(#[from] MediaFault),
}

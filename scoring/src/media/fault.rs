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
    /// It is not an MP4, ends before its index, or cannot be decoded.
    #[error("the video cannot be decoded: {complaint}")]
    Undecodable {
        /// The end of the decoder's complaint, control characters removed.
        complaint: String,
    },
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
    /// It does not have the size that was asked for.
    #[error("the video is {}x{}, not {}x{} within {tolerance} pixels", got.0, got.1, want.0, want.1)]
    WrongSize {
        /// Its width and height.
        got: (u32, u32),
        /// The width and height asked for.
        want: (u32, u32),
        /// Allowed difference on each side, in pixels.
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
    /// Decoding it used up the processor time.
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
    #[error("cannot hold a video in a memory file")]
    Input(#[source] io::Error),
    /// The child process did not start.
    #[error("cannot start {program}")]
    Spawn {
        /// The program's path.
        program: String,
        /// The system's error.
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
    /// ffmpeg refused a call, for instance because this build lacks an encoder.
    #[error("ffmpeg could not write the result: {complaint}")]
    Encode {
        /// The end of ffmpeg's complaint.
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

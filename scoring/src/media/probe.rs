//! What a file claims about itself, read in the same jail as everything else.

use super::input::{CLAIMED_PIXELS, CODECS, STDIN_AS_FILE, input_flags};
use super::jail::{Allowance, Ended, Output, run, sealed_file};
use super::{Ffmpeg, Limits, MediaError, VideoDefect, check_size};
use serde::Deserialize;
use std::fs::File;
use std::ops::ControlFlow;

/// ffprobe's answer for one stream is under a kilobyte.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A ratio of two integers, such as 16/1 frames per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rational {
    /// The numerator.
    pub numerator: u32,
    /// The denominator, never 0.
    pub denominator: u32,
}

impl Rational {
    fn parse(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/')?;
        let ratio =
            Self { numerator: numerator.parse().ok()?, denominator: denominator.parse().ok()? };
        (ratio.numerator > 0 && ratio.denominator > 0).then_some(ratio)
    }
}

/// What a file claims. A claim can get a file refused early, but never accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoInfo {
    /// Width in pixels as coded, rotation ignored.
    pub width: u32,
    /// Height in pixels as coded, rotation ignored.
    pub height: u32,
    /// Average frames per second, where stated.
    pub fps: Option<Rational>,
    /// Number of frames, where stated.
    pub frames: Option<u64>,
    /// Duration of the track in milliseconds, where stated.
    pub duration_ms: Option<u64>,
    /// Codec name, e.g. `h264`.
    pub codec: String,
    /// Colour matrix tag, e.g. `bt709`, where stated.
    pub colour_space: Option<String>,
}

/// Reads what `bytes` claims to be.
///
/// # Errors
/// [`VideoDefect`] where the file is empty, too large, not an MP4, has no video track, a codec
/// outside the list, or frames over the pixel limit; [`super::MediaFault`] where this machine
/// failed.
pub fn probe(ffmpeg: &Ffmpeg, bytes: &[u8], limits: &Limits) -> Result<VideoInfo, MediaError> {
    check_size(bytes, limits)?;
    probe_file(ffmpeg, &sealed_file(bytes)?, limits)
}

/// [`probe`] for bytes in a sealed file.
pub(super) fn probe_file(
    ffmpeg: &Ffmpeg,
    input: &File,
    limits: &Limits,
) -> Result<VideoInfo, MediaError> {
    let mut args = input_flags(CLAIMED_PIXELS);
    let entries = "stream=codec_name,width,height,avg_frame_rate,nb_frames,duration,color_space";
    args.extend(
        [
            "-threads",
            "1",
            "-select_streams",
            "v:0",
            "-show_entries",
            entries,
            "-of",
            "json",
            "-i",
            STDIN_AS_FILE,
        ]
        .map(str::to_owned),
    );
    let mut answer = Vec::new();
    let mut sink = |bytes: &[u8]| {
        answer.extend_from_slice(bytes);
        if answer.len() > MAX_ANSWER_BYTES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: 0 };
    match run(&ffmpeg.ffprobe, &args, input, Output::Pipe(&mut sink), allowance)? {
        Ended::Success => Ok(parse_answer(&answer, limits)?),
        Ended::Failure { complaint } => Err(VideoDefect::Undecodable { complaint }.into()),
        Ended::Stopped => {
            Err(VideoDefect::Undecodable { complaint: "endless stream description".into() }.into())
        }
        Ended::OutOfCpu => Err(VideoDefect::TooExpensive { seconds: limits.cpu.as_secs() }.into()),
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    avg_frame_rate: Option<String>,
    nb_frames: Option<String>,
    duration: Option<String>,
    color_space: Option<String>,
}

pub(super) fn parse_answer(answer: &[u8], limits: &Limits) -> Result<VideoInfo, VideoDefect> {
    let unreadable = |complaint: &str| VideoDefect::Undecodable { complaint: complaint.to_owned() };
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|_| unreadable("the stream description is not JSON"))?;
    let stream = answer.streams.into_iter().next().ok_or(VideoDefect::NoVideoTrack)?;
    let codec = stream.codec_name.unwrap_or_else(|| "unknown".to_owned());
    if !CODECS.contains(&codec.as_str()) {
        return Err(VideoDefect::Codec { codec });
    }
    let (Some(width), Some(height)) = (stream.width, stream.height) else {
        return Err(unreadable("the stream states no size"));
    };
    if width == 0 || height == 0 {
        return Err(unreadable("the stream's size is 0"));
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(VideoDefect::TooManyPixels { width, height, limit: limits.pixels });
    }
    Ok(VideoInfo {
        width,
        height,
        fps: stream.avg_frame_rate.as_deref().and_then(Rational::parse),
        frames: stream.nb_frames.and_then(|count| count.parse().ok()),
        duration_ms: stream.duration.as_deref().and_then(milliseconds),
        codec,
        colour_space: stream.color_space,
    })
}

/// `5.062500` seconds as 5062 milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(digits.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_whole_milliseconds() {
        assert_eq!(milliseconds("5.062500"), Some(5062));
        assert_eq!(milliseconds("5.5"), Some(5500));
        assert_eq!(milliseconds("7"), Some(7000));
        assert_eq!(milliseconds("N/A"), None);
        assert_eq!(milliseconds("99999999999999999999"), None);
    }

    #[test]
    fn a_frame_rate_of_zero_is_not_stated() {
        assert_eq!(Rational::parse("16/1"), Some(Rational { numerator: 16, denominator: 1 }));
        assert_eq!(Rational::parse("0/0"), None);
        assert_eq!(Rational::parse("16"), None);
    }
}

//! What ffprobe is asked about a file, and how its answers are read.

use super::info::{Rational, VideoInfo};
use super::input::{CLAIMED_PIXELS, CODECS, STDIN_AS_FILE, input_flags};
use super::layout::Layout;
use super::times::FrameTimes;
use super::{Limits, VideoDefect};
use serde::Deserialize;
use serde_json::Value;
use std::ops::Range;

/// What ffprobe is asked.
const ENTRIES: &str = "stream=codec_name,width,height,avg_frame_rate,nb_frames,duration,\
                       color_space,color_range,pix_fmt,time_base:packet=pts,duration";

/// What is known of a file before it is decoded.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) info: VideoInfo,
    pub(super) layout: Layout,
    /// Coded frames: at most one more than the limit.
    pub(super) coded: usize,
    /// As many as coded frames; `None` where the file gives no times.
    pub(super) times: Option<FrameTimes>,
}

/// The arguments with which ffprobe says what a file claims to be.
pub(super) fn probe_args(limits: &Limits) -> Vec<String> {
    let mut args = input_flags(CLAIMED_PIXELS);
    let frames = format!("%+#{}", limits.frames + 1);
    args.extend(["-threads", "1", "-select_streams", "v:0"].map(str::to_owned));
    args.extend(["-read_intervals", &frames, "-show_entries", ENTRIES].map(str::to_owned));
    args.extend(["-of", "json=compact=1", "-i", STDIN_AS_FILE].map(str::to_owned));
    args
}

/// The arguments with which ffprobe says where coded frames stand, without decoding any.
pub(super) fn frame_places_args(limits: &Limits) -> Vec<String> {
    let mut args = input_flags(CLAIMED_PIXELS);
    let frames = format!("%+#{}", limits.frames + 1);
    args.extend(["-nofind_stream_info", "-threads", "1"].map(str::to_owned));
    args.extend(["-select_streams", "v:0", "-read_intervals", &frames].map(str::to_owned));
    args.extend(["-show_entries", "packet=pos,size"].map(str::to_owned));
    args.extend(["-of", "json=compact=1", "-i", STDIN_AS_FILE].map(str::to_owned));
    args
}

/// The arguments with which ffprobe decodes the frames and says how large each is.
pub(super) fn frame_sizes_args(limits: &Limits) -> Vec<String> {
    let mut args = input_flags(limits.pixels);
    let frames = format!("%+#{}", limits.frames + 1);
    args.extend(["-err_detect", "explode", "-threads", "1"].map(str::to_owned));
    args.extend(["-select_streams", "v:0", "-read_intervals", &frames].map(str::to_owned));
    args.extend(["-show_entries", "frame=width,height"].map(str::to_owned));
    args.extend(["-of", "json=compact=1", "-i", STDIN_AS_FILE].map(str::to_owned));
    args
}

pub(super) fn unreadable(complaint: &str) -> VideoDefect {
    VideoDefect::Undecodable { complaint: complaint.to_owned() }
}

#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    packets: Vec<Place>,
}

/// ffprobe writes both as text.
#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    pos: Value,
    #[serde(default)]
    size: Value,
}

/// Where the coded frames stand in the file, in bytes.
pub(super) fn parse_places(answer: &[u8]) -> Result<Vec<Range<usize>>, VideoDefect> {
    let answer: Places = serde_json::from_slice(answer)
        .map_err(|_| unreadable("the list of its frames is not JSON"))?;
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        value => usize::try_from(value.as_u64()?).ok(),
    };
    let place = |place: &Place| {
        let start: usize = number(&place.pos)?;
        Some(start..start.checked_add(number(&place.size)?)?)
    };
    let places: Option<Vec<Range<usize>>> = answer.packets.iter().map(place).collect();
    places.ok_or_else(|| unreadable("its index does not say where its frames are"))
}

#[derive(Deserialize)]
struct Frames {
    #[serde(default)]
    frames: Vec<FrameSize>,
}

#[derive(Deserialize)]
struct FrameSize {
    width: u32,
    height: u32,
}

/// The sizes of the frames that were decoded, `(width, height)`.
pub(super) fn parse_sizes(answer: &[u8]) -> Vec<(u32, u32)> {
    let read = serde_json::from_slice(answer).unwrap_or_else(|_| Frames { frames: Vec::new() });
    read.frames.iter().map(|frame| (frame.width, frame.height)).collect()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    packets: Vec<Packet>,
}

#[derive(Deserialize)]
struct Packet {
    pts: Option<i64>,
    duration: Option<u64>,
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
    color_range: Option<String>,
    pix_fmt: Option<String>,
    time_base: Option<String>,
}

/// What the file claims to be.
pub(super) fn parse_answer(answer: &[u8], limits: &Limits) -> Result<Probed, VideoDefect> {
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|_| unreadable("the stream description is not JSON"))?;
    let packets = answer.packets;
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
    let unit = stream.time_base.as_deref().and_then(Rational::parse);
    let times = unit.and_then(|unit| times_of(&packets, unit));
    let stated = || stream.avg_frame_rate.as_deref().and_then(Rational::parse);
    let info = VideoInfo {
        width,
        height,
        fps: times.as_ref().and_then(FrameTimes::rate).or_else(stated),
        frames: stream.nb_frames.and_then(|count| count.parse().ok()),
        duration_ms: stream.duration.as_deref().and_then(milliseconds),
        codec,
        colour_space: stream.color_space,
    };
    let layout = Layout::new(stream.pix_fmt.as_deref(), stream.color_range.as_deref());
    Ok(Probed { info, layout, coded: packets.len(), times })
}

/// The times of all frames; `None` where one of them has none.
fn times_of(packets: &[Packet], unit: Rational) -> Option<FrameTimes> {
    let stamps: Option<Vec<(i64, u64)>> =
        packets.iter().map(|packet| Some((packet.pts?, packet.duration.unwrap_or(0)))).collect();
    FrameTimes::of(stamps?, unit)
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
    fn places_of_frames_are_read_as_text_and_as_numbers() {
        let said = br#"{"packets": [{"size": "709", "pos": "48"}, {"size": 3, "pos": 757}]}"#;
        assert_eq!(parse_places(said).unwrap(), [48..757, 757..760]);
        assert!(parse_places(b"{}").unwrap().is_empty());
        for none in [r#"{"packets": [{"size": "709"}]}"#, r#"{"packets": [{"pos": "-1"}]}"#, "x"] {
            let defect = parse_places(none.as_bytes()).unwrap_err();
            assert!(matches!(defect, VideoDefect::Undecodable { .. }), "{none}: {defect}");
        }
    }

    #[test]
    fn durations_become_whole_milliseconds() {
        assert_eq!(milliseconds("5.062500"), Some(5062));
        assert_eq!(milliseconds("5.5"), Some(5500));
        assert_eq!(milliseconds("7"), Some(7000));
        assert_eq!(milliseconds("N/A"), None);
        assert_eq!(milliseconds("99999999999999999999"), None);
    }
}

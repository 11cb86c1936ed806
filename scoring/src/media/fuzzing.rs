//! For fuzz targets only: the readers of what decoders print, without a decoder.

use super::ffprobe::parse_answer;
use super::yuv4mpeg::Yuv4Mpeg;
use super::{Clip, Limits, VideoDefect, VideoInfo};

/// What ffprobe says of a stream.
///
/// # Errors
/// The file's fault by this answer.
pub fn claims(answer: &[u8], limits: &Limits) -> Result<VideoInfo, VideoDefect> {
    parse_answer(answer, limits).map(|probed| probed.info)
}

/// The frames that ffmpeg prints, piece by piece.
///
/// # Errors
/// The file's fault by this stream.
pub fn frames<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limits: &Limits,
) -> Result<Clip, VideoDefect> {
    let mut reader = Yuv4Mpeg::new(*limits);
    for piece in pieces {
        if reader.push(piece).is_break() {
            break;
        }
    }
    let info = VideoInfo {
        width: 0,
        height: 0,
        fps: None,
        frames: None,
        duration_ms: None,
        codec: String::new(),
        colour_space: None,
    };
    reader.finish(info)
}

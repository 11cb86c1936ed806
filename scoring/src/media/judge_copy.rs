//! The copy of an answer that a judge is shown: its picture and nothing else.

use super::cut::{ClipShape, read_result};
use super::decode::decode;
use super::input::{STDIN_AS_FILE, input_flags};
use super::jail::{Allowance, Ended, Output, result_file, run};
use super::picture::{encode_clip, encode_clip_within};
use super::probe::{Opened, open_answer};
use super::{Clip, Ffmpeg, Limits, MediaError, MediaFault, Rational, VideoDefect, VideoInfo};

/// Codecs that every service plays. Others are re-encoded.
const WIDELY_PLAYED: [&str; 2] = ["h264", "hevc"];
/// Most bytes of a copy. Gemini takes 14 MiB in a request, and the first frame needs its part.
const MOST_BYTES: usize = 8 << 20;
/// Constant rate factors at which a copy is re-encoded, one after the other until it fits.
const RATE_FACTORS: [&str; 3] = ["23", "33", "43"];
/// The coarsest that there is: a clip of 162 frames of noise has under 2 MiB.
const COARSEST: &str = "51";

/// An answer's pictures in a new MP4 of at most 8 MiB: the coded frames at their times, without
/// metadata, sound, subtitles, chapters, other tracks, or messages inside the coded pictures. A
/// file that is larger, or that only some players decode, is re-encoded as H.264 from the frames
/// that the metrics see.
///
/// # Errors
/// As [`super::decode`].
pub fn judge_copy(ffmpeg: &Ffmpeg, answer: &[u8], limits: &Limits) -> Result<Vec<u8>, MediaError> {
    let opened = open_answer(ffmpeg, answer, limits)?;
    if let Some(copy) = same_coding(ffmpeg, &opened, limits)? {
        return Ok(copy);
    }
    let clip = decode(ffmpeg, answer, limits)?;
    let clip = clip.evenly_spaced(ClipShape::TASK.fps, limits.frames);
    let coded = |factor| encode_clip_within(ffmpeg, &clip, factor, MOST_BYTES as u64, limits);
    for factor in RATE_FACTORS {
        match coded(factor) {
            // Too many bytes end the encoder.
            Err(MediaFault::Encode { complaint }) => {
                tracing::debug!(complaint, factor, "encoding a judge's copy more coarsely");
            }
            coded => return Ok(coded?),
        }
    }
    Ok(coded(COARSEST)?)
}

/// The coded frames as they are; `None` where they have to be re-encoded.
fn same_coding(
    ffmpeg: &Ffmpeg,
    opened: &Opened,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, MediaFault> {
    let probed = &opened.probed;
    if !WIDELY_PLAYED.contains(&probed.info.codec.as_str()) || !probed.layout.is_common() {
        return Ok(None);
    }
    let mut args = vec!["-nostdin".to_owned(), "-y".to_owned()];
    args.extend(input_flags(limits.pixels));
    args.extend(["-i", STDIN_AS_FILE, "-map", "0:v:0", "-c", "copy"].map(str::to_owned));
    // Supplemental messages may carry any text (ITU-T H.264, D.1; H.265, D.2).
    let messages = if probed.info.codec == "h264" { "6" } else { "39|40" };
    args.extend(["-bsf:v".to_owned(), format!("filter_units=remove_types={messages}")]);
    args.extend(["-map_metadata", "-1", "-map_chapters", "-1"].map(str::to_owned));
    args.extend(
        ["-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4"].map(str::to_owned),
    );
    args.push("file:/proc/self/fd/1".to_owned());
    let mut result = result_file()?;
    let file_bytes = MOST_BYTES as u64;
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes };
    match run(&ffmpeg.ffmpeg, &args, &opened.input, Output::File(&result), allowance)? {
        Ended::Success => Ok(Some(read_result(&mut result).map_err(MediaFault::Read)?)),
        Ended::Failure { complaint } => {
            tracing::debug!(complaint, "re-encoding a judge's copy");
            Ok(None)
        }
        Ended::Stopped => Ok(None),
        Ended::OutOfCpu => Err(MediaFault::OutOfCpu { seconds: limits.cpu.as_secs() }),
    }
}

/// A known-good clip: a bright square that crosses a slope of grey, one second long. A service that
/// refuses it refuses our settings.
///
/// # Errors
/// This machine failed.
pub fn known_good_clip(ffmpeg: &Ffmpeg) -> Result<Vec<u8>, MediaError> {
    const SIDE: usize = 256;
    const SQUARE: usize = 64;
    const FRAMES: usize = 16;
    let planes = (0..FRAMES).map(|frame| {
        let left = frame * (SIDE - SQUARE) / FRAMES;
        let luma = (0..SIDE * SIDE).map(|at| {
            let (row, column) = (at / SIDE, at % SIDE);
            let is_square =
                (SQUARE..2 * SQUARE).contains(&row) && (left..left + SQUARE).contains(&column);
            if is_square { 220 } else { 40 + (column / 4) as u8 }
        });
        luma.chain(std::iter::repeat_n(128, SIDE * SIDE / 2)).collect()
    });
    let info = VideoInfo {
        width: SIDE as u32,
        height: SIDE as u32,
        fps: Some(Rational { numerator: FRAMES as u32, denominator: 1 }),
        frames: None,
        duration_ms: None,
        codec: "none".to_owned(),
        colour_space: None,
    };
    let clip = Clip::from_planes(SIDE, SIDE, info, planes.collect());
    let clip = clip.ok_or(VideoDefect::NoFrames)?;
    encode_clip(ffmpeg, &clip, &Limits::ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_copy_fits_into_a_request_whatever_an_answers_bitrate_is() {
        let Ok(ffmpeg) = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")) else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        let noise = "color=gray:s=832x480:r=16,noise=alls=100:allf=t";
        let made = Command::new(&ffmpeg.ffmpeg)
            .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", noise])
            .args("-frames:v 24 -c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p".split(' '))
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
        let video = std::fs::read(&path).unwrap();
        assert!(video.len() > MOST_BYTES, "{}", video.len());
        let copy = judge_copy(&ffmpeg, &video, &Limits::ANSWER).unwrap();
        assert!(copy.len() <= MOST_BYTES, "{}", copy.len());
        let [shown, measured] =
            [&copy, &video].map(|mp4| decode(&ffmpeg, mp4, &Limits::ANSWER).unwrap());
        assert_eq!((shown.width(), shown.height()), (measured.width(), measured.height()));
        assert_eq!((shown.len(), shown.duration_ms()), (measured.len(), measured.duration_ms()));
    }
}

//! Decodes still pictures, and encodes clips of our own.

use super::cut::{expect_written, read_result};
use super::decode::read_frames;
use super::input::STDIN_AS_FILE;
use super::jail::{Allowance, Output, result_file, run, sealed_file};
use super::{Clip, Ffmpeg, Limits, MediaError, MediaFault, VideoDefect, VideoInfo, check_size};

/// The first bytes of every PNG.
const PNG_SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// A clip of noise has some 40 MB.
const MAX_CLIP_BYTES: u64 = 64 << 20;

/// A PNG as a clip of one frame, at its own size, by BT.709 with limited range.
///
/// # Errors
/// [`VideoDefect`] where it is not a PNG or is too large; [`MediaFault`] where this machine failed.
pub(crate) fn decode_png(ffmpeg: &Ffmpeg, png: &[u8], limits: &Limits) -> Result<Clip, MediaError> {
    check_size(png, limits)?;
    let no_png = || VideoDefect::Undecodable { complaint: "it is no PNG".to_owned() };
    let (width, height) = png_size(png).ok_or_else(no_png)?;
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(VideoDefect::TooManyPixels { width, height, limit: limits.pixels }.into());
    }
    let filter = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+bitexact+full_chroma_int,format=yuv420p";
    let pixels = limits.pixels.to_string();
    let args = [
        ["-nostdin", "-hide_banner"].as_slice(),
        &[
            "-v",
            "error",
            "-protocol_whitelist",
            "file",
            "-f",
            "png_pipe",
            "-codec_whitelist",
            "png",
        ],
        &[
            "-max_pixels",
            &pixels,
            "-threads",
            "1",
            "-i",
            STDIN_AS_FILE,
            "-frames:v",
            "1",
            "-vf",
            filter,
        ],
        &["-f", "yuv4mpegpipe", "-strict", "-1", "pipe:1"],
    ]
    .concat();
    let info = VideoInfo {
        width,
        height,
        fps: None,
        frames: Some(1),
        duration_ms: None,
        codec: "png".into(),
        colour_space: None,
    };
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    read_frames(ffmpeg, &args, &sealed_file(png)?, limits, info)
}

/// Width and height, from a PNG's header.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let rest = png.strip_prefix(PNG_SIGNATURE)?.get(8..)?;
    let (numbers, _) = rest.as_chunks::<4>();
    Some((u32::from_be_bytes(*numbers.first()?), u32::from_be_bytes(*numbers.get(1)?)))
}

/// A clip as an MP4 of the kind that models answer with: H.264 at constant rate factor 23.
///
/// # Errors
/// This machine failed.
pub(crate) fn encode_clip(
    ffmpeg: &Ffmpeg,
    clip: &Clip,
    limits: &Limits,
) -> Result<Vec<u8>, MediaError> {
    Ok(encode_clip_within(ffmpeg, clip, "23", MAX_CLIP_BYTES, limits)?)
}

/// A clip as an MP4 of at most `most_bytes`: H.264 at this constant rate factor.
///
/// # Errors
/// [`MediaFault::Encode`] where it would have more bytes; this machine failed.
pub(super) fn encode_clip_within(
    ffmpeg: &Ffmpeg,
    clip: &Clip,
    rate_factor: &str,
    most_bytes: u64,
    limits: &Limits,
) -> Result<Vec<u8>, MediaFault> {
    let mut planes = Vec::new();
    for index in 0..clip.len() {
        let (blue, red) = clip.chroma(index);
        planes.extend_from_slice(&[clip.luma(index), blue, red].concat());
    }
    let (size, rate) = (
        format!("{}x{}", clip.width(), clip.height()),
        clip.info().fps.map_or_else(
            || "16".to_owned(),
            |fps| format!("{}/{}", fps.numerator, fps.denominator),
        ),
    );
    let args = [
        ["-nostdin", "-y", "-hide_banner", "-v", "error", "-protocol_whitelist", "file"].as_slice(),
        &["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", &rate, "-i", STDIN_AS_FILE],
        &["-c:v", "libx264", "-preset", "veryfast", "-crf", rate_factor, "-threads", "2"],
        // Without a tag it would be taken for BT.601, as other writers mean it.
        &["-colorspace", "bt709", "-color_range", "tv", "-f", "mp4"],
        &["file:/proc/self/fd/1"],
    ]
    .concat();
    let mut result = result_file()?;
    let allowance = Allowance { cpu: limits.cpu, wall: limits.wall, file_bytes: most_bytes };
    let ended =
        run(&ffmpeg.ffmpeg, &args, &sealed_file(&planes)?, Output::File(&result), allowance)?;
    expect_written(ended, limits)?;
    read_result(&mut result).map_err(MediaFault::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pngs_size_is_read_from_its_header_and_from_nothing_else() {
        let mut png = PNG_SIGNATURE.to_vec();
        png.extend_from_slice(b"\x00\x00\x00\x0dIHDR\x00\x00\x03\x40\x00\x00\x01\xe0");
        assert_eq!(png_size(&png), Some((832, 480)));
        for end in 0..png.len() {
            assert_eq!(png_size(&png[..end]), None, "{end}");
        }
        png[0] = 0;
        assert_eq!(png_size(&png), None);
    }

    #[test]
    fn a_clip_that_is_written_reads_back_much_the_same() {
        let Ok(ffmpeg) = Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")) else {
            return;
        };
        let shape = super::super::ClipShape { width: 256, height: 192, fps: 16, frames: 4 };
        let [clip, _] = crate::scorer::synthetic_clips::source_and_answer(shape).unwrap();
        let mp4 = encode_clip(&ffmpeg, &clip, &Limits::ANSWER).unwrap();
        let read = super::super::decode(&ffmpeg, &mp4, &Limits::ANSWER).unwrap();
        assert_eq!(
            (read.width(), read.height(), read.len(), read.duration_ms()),
            (256, 192, 4, 250)
        );
        let difference: u32 =
            clip.luma(3).iter().zip(read.luma(3)).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(difference < 8 * 256 * 192, "{difference}");
    }
}

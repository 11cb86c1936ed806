//! How a file's pixels are laid out, and how ffmpeg is told to hand them over.

use super::colour::Matrix;
use super::info::VideoInfo;
use super::input::{STDIN_AS_FILE, input_flags};
use super::{Ffmpeg, Limits};

/// Threads of one decoder. More gain little on five seconds of video, and one answer could take
/// every core.
const DECODER_THREADS: &str = "2";
/// Frames are numbered at this rate on their way out of the decoder, whose output refuses two at one
/// time. Their real times come from the index.
const NUMBERED_AT: &str = "16";
/// The flags of a conversion that gives the same bytes on every machine.
const EXACT: &str = "accurate_rnd+bitexact+full_chroma_int";

/// The layout of a file's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Planar 4:2:0 with 8 bits, which is handed over as it is.
    is_canonical: bool,
    /// Red, green and blue instead of luma and colour differences.
    pub(super) is_rgb: bool,
    /// Black is 0 and white is 255, not 16 and 235.
    pub(super) full_range: bool,
}

impl Layout {
    /// From ffprobe's names of the pixel format and the range.
    pub(super) fn new(pixels: Option<&str>, range: Option<&str>) -> Self {
        let pixels = pixels.unwrap_or_default();
        let is_rgb =
            ["gbr", "rgb", "bgr", "argb", "abgr"].iter().any(|name| pixels.starts_with(name));
        Self {
            is_canonical: matches!(pixels, "yuv420p" | "yuvj420p"),
            is_rgb,
            full_range: is_rgb || pixels.starts_with("yuvj") || range == Some("pc"),
        }
    }

    /// 4:2:0 with 8 bits, which every player decodes.
    pub(super) fn is_common(self) -> bool {
        self.is_canonical
    }

    /// The output flags that bring frames to 4:2:0 with 8 bits, in the file's own matrix and range.
    /// Versions of ffmpeg differ in when they change the range by themselves, so both sides are
    /// stated.
    ///
    /// A frame of another size than `width` and `height` ends the decoder. By itself, ffmpeg sets
    /// up its filters again for such a frame and scales it to the first one's size.
    pub(super) fn output_flags(self, (width, height): (u32, u32)) -> Vec<String> {
        // Cuts nothing off. No width is negative, so the filter refuses that one by name.
        let gate =
            format!("crop=w='if(eq(iw,{width})*eq(ih,{height}),iw,-1)':h=ih:x=0:y=0:exact=1");
        let range = if self.full_range { "full" } else { "limited" };
        let filter = if self.is_rgb {
            format!("scale=out_color_matrix=bt709:out_range=limited:flags={EXACT},format=yuv420p")
        } else if self.is_canonical {
            // No arithmetic. Under its old name, full range is passed on as it is.
            let pixels = if self.full_range { "yuvj420p|yuv420p" } else { "yuv420p" };
            format!("format={pixels}")
        } else {
            let pixels = if self.full_range { "yuvj420p" } else { "yuv420p" };
            format!("scale=in_range={range}:out_range={range}:flags={EXACT},format={pixels}")
        };
        vec!["-vf".to_owned(), format!("{gate},{filter}")]
    }

    /// The options of ffmpeg's `scale` that name a source's colours, as `info` and this state them.
    pub(super) fn scale_input(self, info: &VideoInfo) -> String {
        if self.is_rgb {
            return "in_range=full".to_owned();
        }
        let untagged =
            if Matrix::untagged(info.height) == Matrix::BT601 { "bt601" } else { "bt709" };
        let matrix = match info.colour_space.as_deref() {
            Some("bt709") => "bt709",
            Some("smpte170m" | "bt470bg") => "bt601",
            Some("fcc") => "fcc",
            Some("bt2020nc") => "bt2020",
            Some("smpte240m") => "smpte240m",
            _ => untagged,
        };
        let range = if self.full_range { "full" } else { "limited" };
        format!("in_color_matrix={matrix}:in_range={range}")
    }
}

/// The arguments with which ffmpeg prints the frames of a file of this layout and size.
pub(super) fn frame_args(
    ffmpeg: &Ffmpeg,
    layout: Layout,
    size: (u32, u32),
    limits: &Limits,
) -> Vec<String> {
    let mut args = vec!["-nostdin".to_owned()];
    args.extend(input_flags(limits.pixels));
    // What a decoder shows in place of a damaged part depends on the timing of its threads, so a
    // damaged stream is refused.
    args.extend(["-xerror", "-err_detect", "explode"].map(str::to_owned));
    args.extend(["-threads", DECODER_THREADS, "-r", NUMBERED_AT].map(str::to_owned));
    args.extend(["-noautorotate", "-i", STDIN_AS_FILE, "-map", "0:v:0"].map(str::to_owned));
    args.extend(["-frames:v".to_owned(), (limits.frames + 1).to_string()]);
    args.extend(ffmpeg.passthrough_timing().map(str::to_owned));
    args.extend(layout.output_flags(size));
    args.extend(["-f", "yuv4mpegpipe", "-strict", "-1", "pipe:1"].map(str::to_owned));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e6_full_range_is_seen_in_the_format_and_in_the_tag() {
        for (pixels, range, full) in [
            ("yuvj420p", None, true),
            ("yuv420p", Some("pc"), true),
            ("yuv420p", Some("tv"), false),
            ("yuv420p", None, false),
            ("gbrp", None, true),
        ] {
            assert_eq!(Layout::new(Some(pixels), range).full_range, full, "{pixels} {range:?}");
        }
        assert!(Layout::new(Some("gbrp10le"), None).is_rgb);
        assert!(!Layout::new(Some("yuv420p10le"), None).is_common());
    }
}

//! What ffmpeg may open: one demuxer, known codecs, one file.

/// Codecs that are decoded, by ffmpeg's decoder names: those that browsers play and generators
/// write.
pub(super) const CODECS: [&str; 8] =
    ["h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9", "mpeg4"];

/// Files that claim larger frames are refused by ffmpeg; smaller ones get to our own check, which
/// reports the size.
pub(super) const CLAIMED_PIXELS: u64 = 16_384 * 8_192;

/// The input flags of every call: only the MP4 demuxer, no side files, only known codecs.
pub(super) fn input_flags(max_pixels: u64) -> Vec<String> {
    let pixels = max_pixels.to_string();
    let codecs = CODECS.join(",");
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
        "-codec_whitelist",
        &codecs,
        "-max_pixels",
        &pixels,
    ];
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

/// The child's standard input, opened as a file so that it can seek: an MP4's index may be at its
/// end.
pub(super) const STDIN_AS_FILE: &str = "file:/proc/self/fd/0";

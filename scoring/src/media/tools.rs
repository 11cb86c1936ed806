//! The installed ffmpeg and ffprobe, found once at start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The two programs that read and write video for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ffmpeg {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
    version: (u32, u32),
}

/// Why no usable ffmpeg was found.
#[derive(Debug, thiserror::Error)]
pub enum FfmpegMissing {
    /// The program is in no folder of `PATH`.
    #[error(
        "{program} is not installed: no such program in PATH (Debian and Ubuntu: apt-get install ffmpeg)"
    )]
    NotInstalled {
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
    },
    /// The program exists but does not run.
    #[error("{} does not run: {reason}", path.display())]
    NotRunning {
        /// Where it was found.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

impl Ffmpeg {
    /// Finds `ffmpeg` and `ffprobe` in `PATH` and asks the first for its version.
    pub fn find() -> Result<Self, FfmpegMissing> {
        Self::find_in(std::env::var_os("PATH").unwrap_or_default())
    }

    /// Like [`Ffmpeg::find`], in the folders of `search_path` (separated as `PATH` is).
    pub(super) fn find_in(search_path: OsString) -> Result<Self, FfmpegMissing> {
        let ffmpeg = locate("ffmpeg", &search_path)?;
        let ffprobe = locate("ffprobe", &search_path)?;
        let version = version_of(&ffmpeg)?;
        Ok(Self { ffmpeg, ffprobe, version })
    }

    /// Major and minor version; a development build that states none counts as the newest.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The version as people read it.
    pub fn version_text(&self) -> String {
        text_of(self.version)
    }

    /// The flags that keep every decoded frame as it is, neither doubled nor dropped. The name
    /// changed in 5.1.
    pub(crate) fn passthrough_timing(&self) -> [&'static str; 2] {
        if self.version >= (5, 1) {
            ["-fps_mode", "passthrough"]
        } else {
            ["-vsync", "passthrough"]
        }
    }
}

fn locate(program: &'static str, search_path: &OsString) -> Result<PathBuf, FfmpegMissing> {
    std::env::split_paths(search_path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
        .ok_or(FfmpegMissing::NotInstalled { program })
}

fn version_of(ffmpeg: &Path) -> Result<(u32, u32), FfmpegMissing> {
    let fault = |reason: String| FfmpegMissing::NotRunning { path: ffmpeg.to_path_buf(), reason };
    let output = Command::new(ffmpeg)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fault(error.to_string()))?;
    if !output.status.success() {
        return Err(fault(format!("`-version` ended with {}", output.status)));
    }
    Ok(parse_version(&String::from_utf8_lossy(&output.stdout)).unwrap_or((u32::MAX, 0)))
}

fn text_of((major, minor): (u32, u32)) -> String {
    match major {
        u32::MAX => "a development build".to_owned(),
        _ => format!("{major}.{minor}"),
    }
}

/// Reads `5.1.9-0+deb12u1`, `n6.0`, `7.1` after the words "ffmpeg version".
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let word = text.strip_prefix("ffmpeg version ")?.split_whitespace().next()?;
    let mut numbers = word.trim_start_matches('n').split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_and_builds_are_read() {
        assert_eq!(parse_version("ffmpeg version 5.1.9-0+deb12u1 Copyright"), Some((5, 1)));
        assert_eq!(parse_version("ffmpeg version n6.0 Copyright"), Some((6, 0)));
        assert_eq!(parse_version("ffmpeg version N-112233-gabc"), None);
        assert_eq!(text_of((5, 1)), "5.1");
        assert_eq!(text_of((u32::MAX, 0)), "a development build");
    }

    #[test]
    fn a_machine_without_ffmpeg_is_told_what_to_install() {
        let error = Ffmpeg::find_in(OsString::from("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("apt-get install ffmpeg"), "{error}");
    }
}

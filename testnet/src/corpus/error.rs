//! Why a corpus could not be made or read.

use std::path::PathBuf;

use super::ffmpeg::FfmpegError;

/// Validators take source clips of at least 1 MB (`MIN_VIDEO_SIZE`).
pub(super) const SMALLEST_CLIP: u64 = 1 << 20;

/// Why a corpus could not be made or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CorpusError {
    /// A folder or file could not be handled.
    #[error("corpus: {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// What stands beside a clip about its scene cannot be read.
    #[error("corpus: {path}: {source}")]
    Scene { path: PathBuf, source: serde_json::Error },
    /// ffmpeg failed.
    #[error("corpus: {0}")]
    Ffmpeg(#[from] FfmpegError),
    /// A thread that rendered a scene panicked.
    #[error("corpus: rendering failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// The folder holds no video.
    #[error("corpus: {0} holds no .mp4 file")]
    Empty(PathBuf),
    /// A made clip is smaller than validators accept.
    #[error("corpus: {path} has {size} bytes; validators need at least {SMALLEST_CLIP}")]
    TooSmall { path: PathBuf, size: u64 },
}

//! Why a miner has no video.

use crate::corpus::{CLIP_FRAMES, CorpusError, FfmpegError};

pub(super) type Result<T, E = MinerError> = std::result::Result<T, E>;

/// Why a miner has no video.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum MinerError {
    /// The corpus could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// ffmpeg failed.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    /// The image in the request cannot be decoded.
    #[error("the request's image gave {found} bytes of luma instead of {expected}")]
    Picture { expected: usize, found: usize },
    /// No clip of the corpus has a five-second segment.
    #[error("no clip of the corpus has {CLIP_FRAMES} frames")]
    NoClip,
    /// A rendering thread panicked.
    #[error("rendering failed: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// A file could not be handled.
    #[error("video file: {0}")]
    Io(#[from] std::io::Error),
}

//! Why a task is given up.

use leoma_chain::ChainError;
use leoma_scoring::ScoreFault;
use leoma_storage::StoreError;

use crate::corpus::{ClipError, CorpusError};
use crate::state::StateError;
use crate::verdicts::LibraryError;

/// Why a task was given up. It is never a miner's fault: that is an entry in the verdict file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The chain cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A bucket cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The scorer failed.
    #[error("scoring failed: {0}")]
    Score(#[from] ScoreFault),
    /// The judge failed.
    #[error("the judge failed: {0}")]
    Judge(#[from] leoma_scoring::JudgeError),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Our own file does not pass verification.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Another verdict file was signed for the task.
    #[error(transparent)]
    NotSafe(#[from] leoma_protocol::NotSafe),
    /// Another machine may sign with our hotkey.
    #[error("another machine may be running this hotkey, so nothing is signed")]
    Doubled,
    /// No clip could be made.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The corpus cannot be used.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// There is no valid miner.
    #[error("there is no valid miner to sample")]
    NoMiners,
    /// A background task panicked.
    #[error("a background task failed: {0}")]
    Join(#[from] tokio::task::JoinError),
    /// The task's files cannot be written or read.
    #[error("cannot keep the task's files in {}: {source}", path.display())]
    Disk { path: std::path::PathBuf, source: std::io::Error },
}

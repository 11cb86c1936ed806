//! Why a task is given up.

use leoma_chain::ChainError;
use leoma_scoring::ScoreFault;
use leoma_storage::StoreError;

use crate::corpus::{ClipError, CorpusError};
use crate::state::StateError;
use crate::verdicts::LibraryError;

/// Why a task was given up. Always our side's fault: a miner's fault is an entry in the verdict
/// file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The scorer.
    #[error("scoring failed: {0}")]
    Score(#[from] ScoreFault),
    /// The judge.
    #[error("the judge failed: {0}")]
    Judge(#[from] leoma_scoring::JudgeError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Our own file does not pass our own check.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Something else was signed for the task.
    #[error(transparent)]
    NotSafe(#[from] leoma_protocol::NotSafe),
    /// Another machine signs for our hotkey.
    #[error("this hotkey runs elsewhere too, so nothing is signed")]
    Doubled,
    /// No clip.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The corpus.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// No miners.
    #[error("no miner is valid, so there is nothing to sample")]
    NoMiners,
    /// A task on the runtime died.
    #[error("a background task failed: {0}")]
    Join(#[from] tokio::task::JoinError),
    /// Files of the task cannot be kept on disk.
    #[error("cannot keep the task's files in {}: {source}", path.display())]
    Disk {
        /// The folder.
        path: std::path::PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

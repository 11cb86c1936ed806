//! Why a task is given up.

use leoma_chain::ChainError;
use leoma_protocol::synapse::BuildError;
use leoma_scoring::ScoreFault;
use leoma_storage::StoreError;
use leoma_web::BoardError;

use super::motion::ChallengeError;
use crate::corpus::{ClipError, CorpusError};
use crate::miners::whose_fault::OurFault;
use crate::outbound::ServiceError;
use crate::state::StateError;
use crate::verdicts::LibraryError;

/// The check of `/readyz` that fails after a turn that was given up.
pub(crate) const TURN: &str = "turn";

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
    /// The blacklist cannot be read.
    #[error("the blacklist cannot be read: {0}")]
    Board(#[from] BoardError),
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
    /// No challenge can be asked.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// No allowlist makes the task.
    #[error("no allowlist makes this task")]
    NotListed,
    /// No miner could be sampled, through our fault.
    #[error("{0}")]
    Ours(OurFault),
    /// The turn ended before all miners had had their time, so peers would not attest to its file.
    #[error(
        "the turn ended before {cut} of {of} miners had had their time: raise MAX_CONCURRENT_MINERS or lower REQUEST_TIMEOUT"
    )]
    CutShort { cut: usize, of: usize },
    /// The task was not done at the last block at which its file could have been signed.
    #[error(
        "the task was not done when its file had to be signed: the scorer or the judge is too slow for this many answers, or a service held them up"
    )]
    Unfinished,
    /// The blocks of the turn are over.
    #[error("the turn is over: peers would no longer attest to its file")]
    OutOfTime,
    /// Nothing shows that our network works.
    #[error(
        "none of {of} miners can be reached: it may be our network, so nothing is said of them"
    )]
    Unreached { of: usize },
    /// This machine cannot send requests.
    #[error("miners cannot be asked from this machine: {0}")]
    Machine(std::io::Error),
    /// Our own feed of the market gives no reading.
    #[error(transparent)]
    Feed(ServiceError),
    /// The question to miners cannot be made.
    #[error("the question to miners cannot be made: {0}")]
    Question(#[from] BuildError),
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

impl From<OurFault> for TaskError {
    fn from(fault: OurFault) -> Self {
        Self::Ours(fault)
    }
}

impl TaskError {
    /// The check of `/readyz` that fails for it; none where another check shows it already.
    pub(crate) const fn alarm(&self) -> Option<&'static str> {
        match self {
            Self::Ours(OurFault::Judge) | Self::Judge(_) => Some("judge"),
            Self::Ours(_) | Self::Unreached { .. } | Self::Machine(_) => Some("miners"),
            Self::Score(_) => Some("scoring"),
            Self::Store(_) | Self::Clip(_) | Self::Corpus(_) | Self::Challenge(_) => {
                Some("buckets")
            }
            Self::State(_) | Self::Board(_) | Self::Disk { .. } => Some("state_dir"),
            Self::Feed(_) => Some("market"),
            Self::Library(_) | Self::NotSafe(_) | Self::Join(_) | Self::Question(_) => {
                Some("sampler")
            }
            Self::CutShort { .. } | Self::Unfinished | Self::OutOfTime => Some(TURN),
            Self::Chain(_) | Self::Doubled | Self::NotListed | Self::NoMiners => None,
        }
    }

    /// Whether another try at the same turn is pointless.
    pub(crate) const fn ends_the_turn(&self) -> bool {
        matches!(self, Self::CutShort { .. } | Self::Unfinished | Self::OutOfTime)
    }

    /// Every check that [`alarm`](Self::alarm) names.
    pub(crate) const ALARMS: [&'static str; 8] =
        ["judge", "miners", "scoring", "buckets", "state_dir", "sampler", "market", TURN];
}

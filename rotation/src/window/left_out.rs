//! Why a file counts for nothing.

use leoma_protocol::{BlockNumber, Digest, Hotkey};

/// Why a verified file has no part in the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LeftOut {
    /// No allowlist makes a task with this number.
    #[error("no allowlist was in force for the task")]
    NoAllowlist,
    /// The producer is not on the task's allowlist.
    #[error("the producer is not on the task's allowlist")]
    NotListed,
    /// The producer had no turn in this task.
    #[error("the producer was not scheduled: its failover step comes after the task's end")]
    NotScheduled,
    /// The producer signed two files for one task.
    #[error("the producer equivocated: it signed two digests for one task")]
    Equivocation,
    /// We hold two files for this place, and nothing says which one counts.
    #[error("two different files of the same task and producer")]
    Conflicting,
    /// Another file for this place is certified.
    #[error("another file of this task and producer is certified: {}", certified.short())]
    NotTheCertified {
        /// Its digest.
        certified: Digest,
    },
    /// It may not have reached everybody when the epoch was computed.
    #[error("signed in block {}, too late to count in this epoch", signed_at.0)]
    SignedLate {
        /// The block that the file names as that of its signature.
        signed_at: BlockNumber,
    },
    /// Another producer's file speaks for the task.
    #[error("{by}'s file speaks for the task")]
    Superseded {
        /// That producer.
        by: Hotkey,
    },
    /// The task may still be written or fetched.
    #[error("the task had not settled by the epoch block")]
    Unsettled,
    /// The task ended too long before the epoch block.
    #[error("the task is older than the lookback")]
    BeyondLookback,
    /// There are enough newer tasks.
    #[error("the window is full of newer tasks")]
    OlderThanWindow,
}

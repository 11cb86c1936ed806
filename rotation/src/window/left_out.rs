//! Why a file does not count.

use leoma_protocol::{Digest, Hotkey};

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
    /// The task may still be written or fetched.
    #[error("the task had not settled by the epoch block")]
    Unsettled,
    /// The task ended too long before the epoch block.
    #[error("the task is older than the lookback")]
    BeyondLookback,
    /// No quorum of the task's allowlist attested to a file of this task and producer.
    #[error("no file of this task and producer is certified")]
    NotCertified,
    /// Another file for this place is certified.
    #[error("another file of this task and producer is certified: {}", certified.short())]
    NotTheCertified {
        /// Its digest.
        certified: Digest,
    },
    /// Too few validators said on chain that they hold it.
    #[error("{witnesses} validators witnessed it on chain, {required} are required")]
    NotWitnessed {
        /// How many did.
        witnesses: usize,
        /// One more than may be dishonest.
        required: usize,
    },
    /// Another producer's file speaks for the task.
    #[error("{by}'s file speaks for the task")]
    Superseded {
        /// That producer.
        by: Hotkey,
    },
    /// There are enough newer tasks.
    #[error("the window is full of newer tasks")]
    OlderThanWindow,
    /// Without certificates: there are two files for this place, and nothing says which one counts.
    #[error("two different files of the same task and producer")]
    Conflicting,
}

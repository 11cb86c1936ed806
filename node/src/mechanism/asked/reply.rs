//! What one miner said, and the status that its entry has for it.

use std::time::Duration;

use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use leoma_protocol::{Digest, Hotkey};
use leoma_synapse::Outcome;
use serde::{Deserialize, Serialize};

/// What a miner replied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// The miner.
    pub(crate) miner: Hotkey,
    /// The time to the last byte in whole milliseconds, by our clock.
    pub(crate) took_ms: u64,
    /// What it said.
    pub(crate) said: Said,
}

/// What was in a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Said {
    /// An answer, which is kept in a file.
    Answer {
        /// SHA-256 of the file.
        sha256: Digest,
    },
    /// Nothing usable.
    Failure {
        /// The word of the entry's status.
        status: String,
        /// Why, for people.
        reason: String,
    },
}

impl Said {
    /// An answer that is not of the form that was asked for.
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::Failure { status: EntryStatus::Malformed.as_str().to_owned(), reason: reason.into() }
    }

    /// A failure of the miner; `None` where it filled its fields in, or could not be asked.
    pub(super) fn of_failure(outcome: &Outcome) -> Option<Self> {
        let status = outcome.failure()?.to_owned();
        Some(Self::Failure { status, reason: outcome.to_string() })
    }
}

impl Reply {
    /// The entry of a miner that gave nothing usable; `None` for an answer.
    pub(crate) fn failed_entry(&self) -> Option<VerdictEntry> {
        let Said::Failure { status, reason } = &self.said else { return None };
        let status = EntryStatus::from_word(status);
        Some(VerdictEntry::unusable(self.miner, status, reason.clone(), self.took_ms))
    }
}

/// What came of a question, as far as it shows whether our own network works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Something arrived, so it works.
    Something,
    /// Nothing arrived in time: the miner was silent, or our network was.
    Nothing,
    /// There was no connection, or it broke: the miner's doing, or our network's.
    NoConnection,
}

impl Arrival {
    pub(super) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Filled(_)
            | Outcome::Refused(_)
            | Outcome::TooLarge
            | Outcome::Malformed(_) => Self::Something,
            Outcome::TimedOut => Self::Nothing,
            Outcome::Unreachable | Outcome::BrokeOff | Outcome::OutOfReach | Outcome::Ours(_) => {
                Self::NoConnection
            }
        }
    }
}

/// Whole milliseconds, rounded up: what took any time at all is not instant.
pub(super) fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_an_entry_with_its_own_status() {
        let miner = Hotkey::from_bytes([7; 32]);
        for (outcome, status) in [
            (Outcome::Refused(503), EntryStatus::HttpError),
            (Outcome::OutOfReach, EntryStatus::NoResponse),
            (Outcome::Unreachable, EntryStatus::NoResponse),
            (Outcome::BrokeOff, EntryStatus::NoResponse),
            (Outcome::TimedOut, EntryStatus::Timeout),
            (Outcome::TooLarge, EntryStatus::Malformed),
        ] {
            let said = Said::of_failure(&outcome).unwrap();
            let entry = Reply { miner, took_ms: 5, said }.failed_entry().unwrap();
            assert_eq!((entry.status, entry.passed, entry.latency_ms), (status, false, 5));
            assert_eq!(entry.reasoning, outcome.to_string());
        }
        assert_eq!(Said::of_failure(&Outcome::Filled(Default::default())), None);
        assert_eq!(Said::of_failure(&Outcome::Ours(24)), None);
        let said = Said::Answer { sha256: Digest::of(b"a") };
        assert_eq!(Reply { miner, took_ms: 5, said }.failed_entry(), None);
    }

    #[test]
    fn time_is_rounded_up_to_milliseconds() {
        let of = |nanos| milliseconds(Duration::from_nanos(nanos));
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(of), [0, 1, 1, 2]);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}

//! Why a scoring process gave no answer.

use super::message::FaultKind;
use crate::device::Device;

/// What kept a worker from an answer, after it was tried again on a fresh process. Always this
/// machine's matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerFault {
    /// The process does not start, or not with a usable device.
    #[error("the scoring process on {device} does not start: {reason}")]
    Start {
        /// Its device.
        device: Device,
        /// What the worker said of its device or, where it said nothing, [`FaultKind::Media`].
        kind: FaultKind,
        /// In words.
        reason: String,
    },
    /// The process ended, or broke the protocol, with the clip in hand.
    #[error("the scoring process on {device} ended: {reason}")]
    Ended {
        /// Its device.
        device: Device,
        /// How, and the last that it said.
        reason: String,
    },
    /// The clip was not done by its deadline, and the process was killed.
    #[error("the scoring process on {device} did not answer within {seconds} s and was stopped")]
    Late {
        /// Its device.
        device: Device,
        /// The deadline.
        seconds: u64,
    },
    /// The process says itself what failed.
    #[error("scoring on {device} failed: {reason}")]
    Reported {
        /// Its device.
        device: Device,
        /// What failed.
        kind: FaultKind,
        /// In words.
        reason: String,
    },
    /// The workers were stopped.
    #[error("scoring was stopped")]
    Stopped,
}

impl WorkerFault {
    /// Whether there is no such device, or none that computes at all: `auto` then means the CPU.
    pub(crate) fn is_no_device(&self) -> bool {
        matches!(self, Self::Start { kind: FaultKind::Device, .. })
    }
}

//! Why a scoring process gave no answer.

use crate::device::Device;
use serde::{Deserialize, Serialize};

/// The part of this machine that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// ffmpeg, its process, or the machine under it.
    Media,
    /// The device cannot be used.
    Device,
    /// The device's results differ from the CPU's.
    SelfTest,
    /// The arithmetic broke off.
    Arithmetic,
    /// The device has too little memory.
    OutOfMemory,
    /// The task's own clip cannot be used.
    Reference,
}

impl FaultKind {
    /// Whether the process that reports this must not be given another clip: a CUDA context does
    /// not recover.
    pub(crate) fn poisons(self) -> bool {
        matches!(self, Self::Device | Self::SelfTest | Self::Arithmetic | Self::OutOfMemory)
    }
}

/// Why a worker gave no answer, after a second try on a fresh process. Never the fault of a video.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerFault {
    /// The process did not start, or found no usable device.
    #[error("the scoring process on {device} failed to start: {reason}")]
    Start {
        /// Its device.
        device: Device,
        /// The fault that the worker reported; [`FaultKind::Media`] where it reported none.
        kind: FaultKind,
        /// The report in words.
        reason: String,
    },
    /// The process ended, or broke the protocol, while it worked on the clip.
    #[error("the scoring process on {device} ended: {reason}")]
    Ended {
        /// Its device.
        device: Device,
        /// Its exit status and its last log lines.
        reason: String,
    },
    /// The clip was not finished by its deadline, and the process was killed.
    #[error("the scoring process on {device} did not answer within {seconds} s and was stopped")]
    Late {
        /// Its device.
        device: Device,
        /// Seconds that the clip was given.
        seconds: u64,
    },
    /// The process reported a fault.
    #[error("scoring on {device} failed: {reason}")]
    Reported {
        /// Its device.
        device: Device,
        /// What failed.
        kind: FaultKind,
        /// The report in words.
        reason: String,
    },
    /// The workers were stopped.
    #[error("scoring was stopped")]
    Stopped,
}

impl WorkerFault {
    /// Whether the device is missing or does not compute: `auto` then means the CPU.
    pub(crate) fn is_no_device(&self) -> bool {
        matches!(self, Self::Start { kind: FaultKind::Device, .. })
    }
}

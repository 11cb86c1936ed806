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
        /// Something outside killed it, mostly the kernel, or it got no more memory.
        was_killed: bool,
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
    /// Whether it may be due to the clip that was worked on: the worker crashed, or its arithmetic
    /// broke off. Otherwise memory, time or tools of this machine ran out.
    pub fn is_crash(&self) -> bool {
        match self {
            Self::Ended { was_killed, .. } => !was_killed,
            Self::Reported { kind, .. } => *kind == FaultKind::Arithmetic,
            Self::Start { .. } | Self::Late { .. } | Self::Stopped => false,
        }
    }

    /// Whether the worker was killed from outside, or ran out of device memory or time. Another
    /// clip that is scored afterwards tells whether this machine was short of it.
    pub fn is_starvation(&self) -> bool {
        match self {
            Self::Ended { was_killed, .. } => *was_killed,
            Self::Reported { kind, .. } => *kind == FaultKind::OutOfMemory,
            Self::Late { .. } => true,
            Self::Start { .. } | Self::Stopped => false,
        }
    }

    /// Whether it is about the clip that was worked on: others may be scored all the same.
    pub fn is_about_one_clip(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::Late { .. } => true,
            Self::Reported { kind, .. } => {
                !matches!(kind, FaultKind::Reference | FaultKind::SelfTest)
            }
            Self::Start { .. } | Self::Stopped => false,
        }
    }

    /// Whether the device is missing or does not compute.
    pub(crate) fn is_no_device(&self) -> bool {
        matches!(self, Self::Start { kind: FaultKind::Device, .. })
    }

    /// Whether the device kept the process from starting: it is missing, breaks off, is too small,
    /// or computes something else than the CPU. `auto` then means the CPU.
    pub(crate) fn blames_device(&self) -> bool {
        matches!(self, Self::Start { kind, .. } if kind.poisons())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_from_a_machine_that_runs_out_of_something() {
        let device = Device::Cpu;
        let ended = |was_killed| WorkerFault::Ended { device, reason: String::new(), was_killed };
        let reported = |kind| WorkerFault::Reported { device, kind, reason: String::new() };
        assert!(ended(false).is_crash() && !ended(true).is_crash());
        assert!(reported(FaultKind::Arithmetic).is_crash());
        for starved in [FaultKind::Media, FaultKind::OutOfMemory, FaultKind::Device] {
            let fault = reported(starved);
            assert!(!fault.is_crash() && fault.is_about_one_clip(), "{fault}");
            assert_eq!(fault.is_starvation(), starved == FaultKind::OutOfMemory, "{fault}");
        }
        assert!(ended(true).is_starvation() && !ended(false).is_starvation());
        assert!(WorkerFault::Late { device, seconds: 1 }.is_starvation());
        assert!(!reported(FaultKind::Reference).is_about_one_clip());
        assert!(!WorkerFault::Stopped.is_about_one_clip());
    }

    #[test]
    fn a_device_that_fails_its_test_is_blamed_and_a_missing_ffmpeg_is_not_its_fault() {
        let device = Device::Cuda { index: 0 };
        let start = |kind| WorkerFault::Start { device, kind, reason: String::new() };
        for kind in
            [FaultKind::Device, FaultKind::SelfTest, FaultKind::Arithmetic, FaultKind::OutOfMemory]
        {
            assert!(start(kind).blames_device(), "{kind:?}");
        }
        assert!(!start(FaultKind::Media).blames_device());
        assert!(!WorkerFault::Stopped.blames_device());
    }
}

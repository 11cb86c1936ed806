//! Why nothing could be scored. Never the fault of a video.

use super::self_test::SelfTestFault;
use crate::device::{Device, DeviceFault};
use crate::learned::LearnedError;
use crate::media::{FfmpegMissing, MediaError, MediaFault, VideoDefect};
use crate::worker::WorkerFault;

/// The shortest side of a source clip: what the coarsest scale of multi-scale similarity needs, and
/// what registration may cut off before.
pub(super) const LEAST_SIDE: usize = 176 + 4;

/// What failed on our side. None of these may touch a miner's record.
#[derive(Debug, thiserror::Error)]
pub enum ScoreFault {
    /// ffmpeg, its process or this machine.
    #[error(transparent)]
    Media(#[from] MediaFault),
    /// ffmpeg is not installed.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegMissing),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceFault),
    /// The arithmetic broke off. On CUDA the context is then unusable and the process has to be
    /// restarted.
    #[error("scoring on {device} failed: {reason}")]
    Arithmetic {
        /// The device.
        device: Device,
        /// The backend's message.
        reason: String,
    },
    /// The device has too little memory for what runs on it at the same time.
    #[error("{device} ran out of memory: {reason}")]
    OutOfMemory {
        /// The device.
        device: Device,
        /// The backend's message.
        reason: String,
    },
    /// The operator's model of texts and pictures.
    #[error(transparent)]
    Learned(#[from] LearnedError),
    /// This program: a panic outside the arithmetic.
    #[error("scoring broke off: {reason}")]
    Broken {
        /// The panic's message.
        reason: String,
    },
    /// The scoring process gave no answer.
    #[error(transparent)]
    Worker(#[from] WorkerFault),
    /// The device's results differ from the CPU's.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFault),
    /// The task's own clip cannot be used.
    #[error("the source clip cannot be used: {0}")]
    Reference(VideoDefect),
    /// The task's own clip is too small or too short to compare anything with.
    #[error(
        "the source clip has {frames} frames of {width}x{height}: at least 2 of {LEAST_SIDE}x{LEAST_SIDE} are needed"
    )]
    SmallReference {
        /// Frames.
        frames: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
}

impl ScoreFault {
    /// A backend reports missing memory in its message alone: as a failed allocation, or by the
    /// driver's error code.
    pub(super) fn from_panic(device: Device, text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let signs = ["out of memory", "out-of-memory", "out_of_memory", "can't allocate buffer"];
        let reason = text.chars().take(300).collect();
        if signs.iter().any(|sign| lower.contains(sign)) {
            Self::OutOfMemory { device, reason }
        } else {
            Self::Arithmetic { device, reason }
        }
    }
}

impl From<MediaError> for ScoreFault {
    /// For our own videos, whose defects are our fault.
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Video(defect) => Self::Reference(defect),
            MediaError::Fault(fault) => Self::Media(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_without_memory_is_told_from_one_that_failed() {
        let device = Device::Cuda { index: 0 };
        for text in [
            "called `Result::unwrap()` on an `Err` value: can't allocate buffer of size: 134217728",
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "An out-of-memory error happened during launch",
        ] {
            assert!(
                matches!(ScoreFault::from_panic(device, text), ScoreFault::OutOfMemory { .. }),
                "{text}"
            );
        }
        let fault = ScoreFault::from_panic(device, "CUDA_ERROR_ILLEGAL_ADDRESS");
        assert!(matches!(fault, ScoreFault::Arithmetic { .. }));
    }
}

//! What a file may cost, and the checks that need no decoder.

use super::fault::VideoDefect;
use std::io::{self, Read};
use std::time::Duration;

/// What a file may cost before it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file itself.
    pub file_bytes: usize,
    /// Decoded frames.
    pub frames: usize,
    /// Pixels of one frame.
    pub pixels: u64,
    /// Processor time of one child. What a file may cost is counted in the file, as machines differ
    /// in speed: past this limit the machine is at fault, not an answer.
    pub cpu: Duration,
    /// Real time of one child. Past it the machine is at fault, not the file.
    pub wall: Duration,
}

impl Limits {
    /// For a miner's answer to a request for 81 frames of 832x480; an honest file has under 5 MB.
    pub const ANSWER: Self = Self {
        file_bytes: 64 << 20,
        frames: 2 * 81,
        pixels: 1920 * 1088,
        cpu: Duration::from_secs(60),
        wall: Duration::from_secs(90),
    };
    /// For a source video of the subnet owner's corpus: up to 200 MB and 4K, and of long videos the
    /// first minutes.
    pub const SOURCE: Self = Self {
        file_bytes: 200 << 20,
        frames: 2400,
        pixels: 4096 * 2304,
        cpu: Duration::from_secs(240),
        wall: Duration::from_secs(480),
    };
}

/// Refuses an empty or too large file before anything is copied.
pub(crate) fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), VideoDefect> {
    if bytes.is_empty() {
        return Err(VideoDefect::Empty);
    }
    if bytes.len() > limits.file_bytes {
        return Err(VideoDefect::TooLarge { got: bytes.len(), limit: limits.file_bytes });
    }
    Ok(())
}

/// Reads a body to its end, but at most one byte past the limit, where an endless body is refused.
///
/// # Errors
/// The stream failed.
pub fn read_bounded(body: impl Read, limits: &Limits) -> io::Result<Result<Vec<u8>, VideoDefect>> {
    let mut bytes = Vec::new();
    let limit = limits.file_bytes;
    body.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(check_size(&bytes, limits).map(|()| bytes))
}

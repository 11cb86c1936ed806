//! The outcome of an answer: a grade, or the reason for having none.

use super::grade::Grade;
use crate::comparison::Measures;
use crate::fingerprint::Fingerprint;
use crate::media::VideoDefect;
use leoma_protocol::Digest;
use leoma_protocol::verdict::EntryStatus;

/// The result for one answer.
#[derive(Debug, Clone)]
pub struct Scored {
    /// SHA-256 of the answer's bytes.
    pub video_sha256: Digest,
    /// Its grade, or why it has none.
    pub outcome: Outcome,
    /// For finding copies; `None` where nothing was decoded.
    pub fingerprint: Option<Fingerprint>,
}

/// How the reason of a `duplicate` begins if it copies the source clip, not another miner's video.
pub const SOURCE_ITSELF: &str = "the source clip itself";

/// A grade, or the reason for having none.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The video was graded; it may still have failed.
    Usable {
        /// Aspects, overall score and whether it passed, before any judge.
        grade: Grade,
        /// The raw numbers behind them, for publication.
        raw: Measures,
    },
    /// The video cannot be graded, through its sender's fault.
    Unusable {
        /// `undecodable`, `wrong_resolution`, `too_short`, `too_long`, `frozen`, or `duplicate`
        /// for the source clip itself.
        status: EntryStatus,
        /// Why, in one line.
        reason: String,
        /// The raw numbers, where the video was measured.
        raw: Option<Measures>,
    },
}

impl Scored {
    /// The result for bytes that are refused before anything is decoded.
    pub(crate) fn refused(answer_mp4: &[u8], defect: &VideoDefect) -> Self {
        Self {
            video_sha256: Digest::of(answer_mp4),
            outcome: Outcome::defect(defect),
            fingerprint: None,
        }
    }
}

impl Outcome {
    /// The outcome of a video with this defect.
    pub fn defect(defect: &VideoDefect) -> Self {
        let status = match defect {
            VideoDefect::WrongSize { .. } | VideoDefect::TooManyPixels { .. } => {
                EntryStatus::WrongResolution
            }
            VideoDefect::TooShort { .. } | VideoDefect::NoFrames => EntryStatus::TooShort,
            VideoDefect::TooManyFrames { .. } | VideoDefect::TooLong { .. } => EntryStatus::TooLong,
            _ => EntryStatus::Undecodable,
        };
        Self::Unusable { status, reason: defect.to_string(), raw: None }
    }
}

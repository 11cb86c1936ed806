//! Why a judge gave no answer, and whether that is about the video.

/// Why a judge gave no answer. Never contains a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// It could not be reached, or did not answer in time, on every attempt.
    #[error("judge {judge} did not answer in {attempts} attempts: {reason}")]
    Unreachable {
        /// Its id.
        judge: String,
        /// How often it was asked.
        attempts: u32,
        /// The last reason.
        reason: String,
    },
    /// It answered with an error that another attempt would not change.
    #[error("judge {judge} refused with HTTP {status} {code}")]
    Refused {
        /// Its id.
        judge: String,
        /// HTTP status.
        status: u16,
        /// The service's own error code, or nothing.
        code: String,
    },
    /// Its quota for the day is used up; asking again before it is renewed is useless.
    #[error(
        "judge {judge} has no quota left today ({quota}): raise it, or wait until it is renewed"
    )]
    Quota {
        /// Its id.
        judge: String,
        /// The service's name of the quota.
        quota: String,
    },
    /// Its safety rules keep it from looking at this video.
    #[error("judge {judge} declines this video ({reason})")]
    Declined {
        /// Its id.
        judge: String,
        /// The service's stated reason, such as `SAFETY`.
        reason: String,
    },
    /// It answered with nothing that can be used: no text, a text that was cut off, or no reply of
    /// this service at all.
    #[error("judge {judge} gave no usable answer ({reason})")]
    NoAnswer {
        /// Its id.
        judge: String,
        /// The service's stated reason, such as `MAX_TOKENS`, or what is wrong with the reply.
        reason: String,
    },
    /// The copy of the video that it is shown could not be made, because of the video.
    #[error("cannot make the judge's copy of the video: {reason}")]
    Copy {
        /// Why.
        reason: String,
    },
    /// The copy could not be made by this machine, whatever the video is.
    #[error("this machine cannot make the judge's copy of a video: {reason}")]
    Machine {
        /// Why.
        reason: String,
    },
    /// The videos are larger than one request may carry.
    #[error("{bytes} bytes of video are more than judge {judge} takes inline")]
    TooLarge {
        /// Its id.
        judge: String,
        /// Bytes before encoding.
        bytes: usize,
    },
    /// Its settings are invalid.
    #[error("judge settings: {reason}")]
    Settings {
        /// What is wrong, and what would be accepted.
        reason: String,
    },
}

impl JudgeError {
    /// Whether the judge refused this video, as far as its answer tells. It answers 400
    /// `INVALID_ARGUMENT` to settings that a model does not take, too, so that a refusal counts only
    /// where a known-good clip is taken.
    pub fn is_about_the_video(&self) -> bool {
        match self {
            Self::Declined { .. } | Self::TooLarge { .. } => true,
            Self::Refused { status: 400, code, .. } => code == "INVALID_ARGUMENT",
            Self::Refused { status, .. } => *status == 413,
            Self::Unreachable { .. }
            | Self::Quota { .. }
            | Self::NoAnswer { .. }
            | Self::Copy { .. }
            | Self::Machine { .. }
            | Self::Settings { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_that_the_judge_refuses_fails_alone_and_a_judge_that_is_down_fails_nobody() {
        let judge = || "judge".to_owned();
        let refused_for = |status, code: &str| {
            JudgeError::Refused { judge: judge(), status, code: code.to_owned() }
                .is_about_the_video()
        };
        let refused = |status| refused_for(status, "INVALID_ARGUMENT");
        assert!(JudgeError::TooLarge { judge: judge(), bytes: 20 << 20 }.is_about_the_video());
        let reason = || "SAFETY".to_owned();
        assert!(JudgeError::Declined { judge: judge(), reason: reason() }.is_about_the_video());
        assert!(!JudgeError::NoAnswer { judge: judge(), reason: reason() }.is_about_the_video());
        assert!(refused(400) && refused(413));
        assert!(!refused(403) && !refused(404));
        for ours in ["API_KEY_INVALID", "FAILED_PRECONDITION", "", "NOT_FOUND"] {
            assert!(!refused_for(400, ours), "{ours}");
        }
        let down =
            JudgeError::Unreachable { judge: judge(), attempts: 4, reason: "HTTP 500".into() };
        assert!(!down.is_about_the_video());
    }
}

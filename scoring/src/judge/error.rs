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
    /// It answered without any text, for instance because its safety filter stopped it.
    #[error("judge {judge} gave no text ({reason})")]
    NoText {
        /// Its id.
        judge: String,
        /// The service's stated reason.
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
    /// Whether the judge refused this video, and not our requests in general: it also answers 400
    /// to a wrong key or from a country that it does not serve.
    pub fn is_about_the_video(&self) -> bool {
        match self {
            Self::NoText { .. } | Self::TooLarge { .. } => true,
            Self::Refused { status: 400, code, .. } => {
                !code.starts_with("API_KEY") && code != "FAILED_PRECONDITION"
            }
            Self::Refused { status, .. } => *status == 413,
            Self::Unreachable { .. } | Self::Settings { .. } => false,
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
        assert!(
            JudgeError::NoText { judge: judge(), reason: "SAFETY".into() }.is_about_the_video()
        );
        assert!(refused(400) && refused(413));
        assert!(!refused(403) && !refused(404));
        for ours in ["API_KEY_INVALID", "FAILED_PRECONDITION"] {
            assert!(!refused_for(400, ours), "{ours}");
        }
        let down =
            JudgeError::Unreachable { judge: judge(), attempts: 4, reason: "HTTP 500".into() };
        assert!(!down.is_about_the_video());
    }
}

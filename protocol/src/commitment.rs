//! What a miner commits on chain: which model it serves, and where.

use crate::Hotkey;
use crate::python_json::Value;

/// Longest commitment text that is read. The chain's largest field holds 512 bytes, a timelocked
/// one 1024.
const MAX_COMMITMENT_BYTES: usize = 4096;
/// Most commitments that a hotkey may have made.
const MAX_COMMITS: usize = 2;

/// A valid commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerCommitment {
    /// Hugging Face repository, `owner/name`; the name begins with `leoma` and ends with the
    /// hotkey.
    pub model_name: String,
    /// The full commit hash of the model's revision.
    pub model_revision: String,
    /// The Chutes deployment that serves it.
    pub chute_id: String,
}

/// Why a commitment is not valid. Displays as the reason word that the dashboard and other tools
/// know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    /// `model_name` is missing or no text, or the commitment is no JSON object.
    #[error("missing_model_name")]
    MissingModelName,
    /// `model_revision` is missing or no text.
    #[error("missing_model_revision")]
    MissingModelRevision,
    /// `chute_id` is missing or no text.
    #[error("missing_chute_id")]
    MissingChuteId,
    /// The repository's name does not begin with `leoma`.
    #[error("model_name_must_start_with_leoma")]
    NameStart,
    /// The repository's name does not end with the miner's hotkey.
    #[error("model_name_must_end_with_hotkey")]
    NameEnd,
    /// More than two commitments.
    #[error("max_commits_exceeded_2")]
    TooManyCommits,
}

/// Checks how often a hotkey committed.
///
/// # Errors
/// [`CommitmentError::TooManyCommits`] beyond two.
pub const fn check_commit_count(commits: usize) -> Result<(), CommitmentError> {
    if commits > MAX_COMMITS { Err(CommitmentError::TooManyCommits) } else { Ok(()) }
}

impl MinerCommitment {
    /// Reads the text that `hotkey` committed. A field that is not text counts as missing.
    ///
    /// # Errors
    /// The first [`CommitmentError`] that applies, in the order of the enum.
    pub fn parse(text: &str, hotkey: &Hotkey) -> Result<Self, CommitmentError> {
        let value = if text.len() <= MAX_COMMITMENT_BYTES {
            Value::parse(text.as_bytes()).ok()
        } else {
            None
        };
        let field = |key| {
            let text = value.as_ref().and_then(|value| value.get(key)).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let model_name = field("model_name").ok_or(CommitmentError::MissingModelName)?;
        let model_revision =
            field("model_revision").ok_or(CommitmentError::MissingModelRevision)?;
        let chute_id = field("chute_id").ok_or(CommitmentError::MissingChuteId)?;
        let repository = model_name.rsplit('/').next().unwrap_or_default().to_lowercase();
        if !repository.starts_with("leoma") {
            return Err(CommitmentError::NameStart);
        }
        if !repository.ends_with(&hotkey.to_string().to_lowercase()) {
            return Err(CommitmentError::NameEnd);
        }
        Ok(Self { model_name, model_revision, chute_id })
    }

    /// The text to commit.
    pub fn to_text(&self) -> String {
        Value::object([
            ("model_name", self.model_name.as_str().into()),
            ("model_revision", self.model_revision.as_str().into()),
            ("chute_id", self.chute_id.as_str().into()),
        ])
        .to_string()
    }
}

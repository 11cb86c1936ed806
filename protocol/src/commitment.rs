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
    /// `model_name` is missing or not text, or the commitment is not a JSON object.
    #[error("missing_model_name")]
    MissingModelName,
    /// `model_revision` is missing or not text.
    #[error("missing_model_revision")]
    MissingModelRevision,
    /// `chute_id` is missing or not text.
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

/// `text` as Python's `str.strip` leaves it, which also drops the four ASCII separators.
fn stripped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

impl MinerCommitment {
    /// Reads the text that `hotkey` committed. White space around a field is dropped; a field that
    /// is not text, or holds only white space, counts as missing.
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
            text.map(stripped).filter(|text| !text.is_empty()).map(str::to_owned)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_field_is_dropped_before_the_rules() {
        let hotkey = Hotkey::from_bytes([7; 32]);
        let text = |space: &str, chute: &str| {
            let name = format!("user/leoma-{hotkey}");
            Value::object([
                ("model_name", format!("{space}{name}{space}").as_str().into()),
                ("model_revision", format!("{space}abc{space}").as_str().into()),
                ("chute_id", chute.into()),
            ])
            .to_string()
        };
        for space in ["", " ", "\t\n", "\u{a0}", "\u{3000}", "\x1c", "\x1f \u{85}"] {
            let read = MinerCommitment::parse(&text(space, " c-1 "), &hotkey).unwrap();
            assert_eq!(read.model_name, format!("user/leoma-{hotkey}"), "{space:?}");
            assert_eq!((&*read.model_revision, &*read.chute_id), ("abc", "c-1"));
        }
        let empty = MinerCommitment::parse(&text("", " \t"), &hotkey);
        assert_eq!(empty, Err(CommitmentError::MissingChuteId));
        // White space within a field belongs to it.
        let inner = MinerCommitment::parse(&text("", "c 1"), &hotkey).unwrap();
        assert_eq!(inner.chute_id, "c 1");
    }
}

//! A task's source clip, as the validator hands it to its workers.

use crate::fingerprint::Fingerprint;
use bytes::Bytes;
use leoma_protocol::Digest;
use std::sync::Arc;

/// Longer prompts are cut.
const MOST_PROMPT_CHARS: usize = 2000;

/// A task's source clip. Each worker prepares it when it first needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceClip {
    pub(super) mp4: Bytes,
    pub(super) sha256: Digest,
    pub(super) prompt: Option<Arc<str>>,
    pub(super) facts: Arc<SourceFacts>,
}

/// What a worker found out about a source clip.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SourceFacts {
    pub(super) description: String,
    pub(super) fingerprint: Option<Fingerprint>,
}

impl SourceClip {
    /// The same clip with the prompt that miners were given, for a model that reads prompts.
    /// Control characters become spaces, and a prompt of more than 2000 characters is cut.
    #[must_use]
    pub fn with_prompt(mut self, prompt: &str) -> Self {
        let prompt: String = prompt
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MOST_PROMPT_CHARS)
            .collect();
        self.prompt = Some(prompt.into());
        self
    }

    /// The clip's motion in 50 to 90 words.
    pub fn description(&self) -> &str {
        &self.facts.description
    }

    /// The clip's fingerprint, by which replays are recognised. Workers in tests give none.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.facts.fingerprint.as_ref()
    }

    /// SHA-256 of the clip's file.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }
}

//! The list of challenges: what miners are given, and what their answers are compared with.
//!
//! Canonical JSON, keys of objects sorted, challenges by the key of their audio, no spaces:
//! `{"challenges":[{"animation":{"key":"challenges/a.bvh","sha256":"…","size":1234},"audio":{…}}],"version":1}`.
//! The source bucket holds it twice: the newest as `challenges/v1.json`, and each under its own hash
//! for good, so that a task can be checked against the list that it was drawn from.

use leoma_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::layout::Key;

/// The version that is written and read.
const VERSION: u32 = 1;
/// Largest list that is read: 20 000 challenges of 500 bytes.
pub(crate) const MAX_LIST_BYTES: usize = 10 << 20;
/// Most challenges.
const MAX_CHALLENGES: usize = 20_000;
/// Most bytes of an audio file or an animation.
pub const MAX_CHALLENGE_BYTES: u64 = 8 << 20;

/// A file in the source bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeFile {
    // Fields are written in this order, which has to be that of their names.
    /// Its key in the source bucket.
    pub key: Key,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// What answers are compared with, a BVH file.
    pub animation: ChallengeFile,
    /// What miners are given, a WAV file.
    pub audio: ChallengeFile,
}

/// The challenges, sorted by the key of their audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeList {
    challenges: Vec<Challenge>,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChallengesError {
    /// It has too many bytes or challenges.
    #[error("the list of challenges has more than {limit} {what}")]
    TooLarge {
        /// `bytes` or `challenges`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is not the JSON of a list.
    #[error("the list of challenges cannot be parsed: {0}")]
    Json(#[from] serde_json::Error),
    /// It has an unknown version.
    #[error(
        "the list of challenges has version {found}, this release reads {VERSION}: a newer release is needed"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// One of its challenges is invalid.
    #[error("the challenge `{key}` {reason}")]
    Challenge {
        /// The key of its audio.
        key: Key,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is not in canonical form: the same content would have several hashes.
    #[error(
        "the list of challenges is not in canonical form: write it with `leoma challenges publish`"
    )]
    NotCanonical,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<C> {
    challenges: C,
    version: u32,
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u32,
}

impl ChallengeList {
    /// A list of challenges in any order.
    ///
    /// # Errors
    /// [`ChallengesError::TooLarge`], [`ChallengesError::Challenge`]; two challenges with the same
    /// audio among them, as one of the two could not be told from the other.
    pub fn new(mut challenges: Vec<Challenge>) -> Result<Self, ChallengesError> {
        if challenges.len() > MAX_CHALLENGES {
            return Err(ChallengesError::TooLarge { what: "challenges", limit: MAX_CHALLENGES });
        }
        challenges.sort_by(|a, b| a.audio.key.cmp(&b.audio.key));
        let refuse = |challenge: &Challenge, reason| ChallengesError::Challenge {
            key: challenge.audio.key.clone(),
            reason,
        };
        let mut seen = std::collections::HashSet::new();
        for challenge in &challenges {
            let sizes = [challenge.animation.size, challenge.audio.size];
            if sizes.iter().any(|size| *size == 0 || *size > MAX_CHALLENGE_BYTES) {
                return Err(refuse(challenge, "has a file that is empty or larger than 8 MiB"));
            }
            if !seen.insert(challenge.audio.sha256) {
                return Err(refuse(challenge, "has the same audio as another"));
            }
        }
        if let Some(pair) =
            challenges.windows(2).find(|pair| pair[0].audio.key == pair[1].audio.key)
        {
            return Err(refuse(&pair[0], "is named twice"));
        }
        let list = Self { challenges };
        if list.canonical_json().len() > MAX_LIST_BYTES {
            return Err(ChallengesError::TooLarge { what: "bytes", limit: MAX_LIST_BYTES });
        }
        Ok(list)
    }

    /// Parses a list, which must be in canonical form.
    ///
    /// # Errors
    /// [`ChallengesError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ChallengesError> {
        if bytes.len() > MAX_LIST_BYTES {
            return Err(ChallengesError::TooLarge { what: "bytes", limit: MAX_LIST_BYTES });
        }
        let OnlyVersion { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(ChallengesError::Version { found: version });
        }
        let written: Written<Vec<Challenge>> = serde_json::from_slice(bytes)?;
        let list = Self::new(written.challenges)?;
        if list.canonical_json().as_bytes() != bytes {
            return Err(ChallengesError::NotCanonical);
        }
        Ok(list)
    }

    /// The list's canonical text.
    pub fn canonical_json(&self) -> String {
        let written = Written { challenges: &self.challenges, version: VERSION };
        // A struct of numbers and strings always serialises.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical_json().as_bytes())
    }

    /// The challenges, sorted by the key of their audio.
    pub fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> ChallengeFile {
        let key = format!("challenges/{name}").parse().unwrap();
        ChallengeFile { key, sha256: Digest::of(name.as_bytes()), size: 9 }
    }

    fn challenge(name: &str) -> Challenge {
        Challenge { animation: file(&format!("{name}.bvh")), audio: file(&format!("{name}.wav")) }
    }

    #[test]
    fn one_list_has_one_text_and_reads_back() {
        let list = ChallengeList::new(["b", "a"].map(challenge).into()).unwrap();
        let text = list.canonical_json();
        assert!(text.starts_with(r#"{"challenges":[{"animation":{"key":"challenges/a.bvh","#));
        assert!(text.ends_with(r#""version":1}"#), "{text}");
        assert_eq!(ChallengeList::parse(text.as_bytes()).unwrap(), list);
        assert_eq!(list.digest(), Digest::of(text.as_bytes()));
        let spaced = text.replace("\"version\":1", "\"version\": 1");
        let error = ChallengeList::parse(spaced.as_bytes()).unwrap_err();
        assert!(matches!(error, ChallengesError::NotCanonical), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_list_is_named() {
        let of = |change: &dyn Fn(&mut Vec<Challenge>)| {
            let mut challenges = ["a", "b"].map(challenge).into();
            change(&mut challenges);
            ChallengeList::new(challenges).unwrap_err().to_string()
        };
        for size in [0, MAX_CHALLENGE_BYTES + 1] {
            assert!(of(&|all| all[1].animation.size = size).contains("b.wav` has a file"));
            assert!(of(&|all| all[0].audio.size = size).contains("a.wav` has a file"));
        }
        assert!(of(&|all| all[1].audio.sha256 = all[0].audio.sha256).contains("same audio"));
        assert!(of(&|all| all[1].audio.key = all[0].audio.key.clone()).contains("twice"));
        assert!(of(&|all| *all = vec![challenge("a"); MAX_CHALLENGES + 1]).contains("20000"));
        let parsed = |text: &str| ChallengeList::parse(text.as_bytes()).unwrap_err().to_string();
        let text = ChallengeList::new(vec![challenge("a")]).unwrap().canonical_json();
        for (from, to, named) in [
            ("\"version\":1", "\"version\":2", "version 2"),
            ("\"version\":1", "\"version\":1,\"more\":1", "unknown field"),
            ("\"size\":9", "\"size\":-9", "parsed"),
            ("\"size\":9", "\"size\":9,\"x\":0", "unknown field"),
            ("challenges/a.wav", "../a.wav", "segment"),
            ("\"audio\"", "\"video\"", "unknown field"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(parsed(&changed).contains(named), "{from}: {}", parsed(&changed));
        }
        assert!(parsed("[").contains("parsed") && parsed("{}").contains("version"));
        assert!(parsed(&" ".repeat(MAX_LIST_BYTES + 1)).contains("bytes"));
    }
}

//! The keys of objects: `{task_id}/metadata.json` and its siblings, and in the source bucket
//! `allowlist/v1.json`, `corpus/v1.json` and `challenges/v1.json`.
//!
//! Task numbers are written without padding, as the Python implementation writes them.

use std::fmt;
use std::str::FromStr;

use leoma_protocol::{Digest, Hotkey, TaskId};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// Longest key that R2 and S3 accept, in bytes.
const MAX_KEY_BYTES: usize = 1024;
/// The allowlist of validators, in the source bucket.
const ALLOWLIST: &str = "allowlist/v1.json";
/// The owner's record of past allowlists.
const ALLOWLIST_RECORD: &str = "allowlist/history.json";
/// The newest corpus manifest, in the source bucket.
const CORPUS: &str = "corpus/v1.json";
/// The newest list of challenges, in the source bucket.
const CHALLENGES: &str = "challenges/v1.json";

/// A text that is not an object key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not an object key: {reason}")]
pub struct KeyError {
    /// The refused text, escaped and cut for a log line.
    pub key: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The name of an object in a bucket: non-empty segments between `/`, none of them `.` or `..`, no
/// control characters.
///
/// ```
/// use leoma_storage::Key;
/// assert!("clips/harbour.mp4".parse::<Key>().is_ok());
/// assert!("../other-bucket/clip.mp4".parse::<Key>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    /// The allowlist in the source bucket.
    pub fn allowlist() -> Self {
        Self(ALLOWLIST.to_owned())
    }

    /// The owner's record of past allowlists in the source bucket.
    pub fn allowlist_record() -> Self {
        Self(ALLOWLIST_RECORD.to_owned())
    }

    /// An allowlist in the source bucket under its own hash.
    pub fn allowlist_version(sha256: &Digest) -> Self {
        Self(format!("allowlist/{sha256}.json"))
    }

    /// The newest corpus manifest in the source bucket.
    pub fn corpus() -> Self {
        Self(CORPUS.to_owned())
    }

    /// A corpus manifest in the source bucket under its own hash.
    pub fn corpus_version(sha256: &Digest) -> Self {
        Self(format!("corpus/{sha256}.json"))
    }

    /// The newest list of challenges in the source bucket.
    pub fn challenges() -> Self {
        Self(CHALLENGES.to_owned())
    }

    /// A list of challenges in the source bucket under its own hash.
    pub fn challenges_version(sha256: &Digest) -> Self {
        Self(format!("challenges/{sha256}.json"))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn path(&self) -> Result<Path, KeyError> {
        Path::parse(&self.0).map_err(|_| refuse(&self.0, "the store's client refuses it"))
    }
}

fn refuse(key: &str, reason: &'static str) -> KeyError {
    KeyError { key: key.escape_debug().take(120).collect(), reason }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_KEY_BYTES {
            return Err(refuse(text, "it must have 1 to 1024 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(refuse(text, "it has a control character or a backslash"));
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(refuse(text, "it has an empty, `.` or `..` segment"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of a task's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskObject {
    /// `metadata.json`: prompt, source clip, miners asked.
    Metadata,
    /// `original_clip.mp4`: the clip that the first frame was taken from.
    OriginalClip,
    /// `first_frame.png`: the picture that miners were sent.
    FirstFrame,
    /// `generated_videos/{hotkey}.mp4`: that miner's answer.
    GeneratedVideo(Hotkey),
    /// `evaluation_results/{validator_hotkey}.json`: that validator's verdict file.
    EvaluationResults(Hotkey),
    /// `challenge.{format}`: what miners were sent, of mechanisms that ask axons.
    Challenge(Format),
    /// `reference.{format}`: what answers were compared with.
    Reference(Format),
    /// `answers/{hotkey}.{format}`: that miner's answer.
    Answer(Hotkey, Format),
}

/// What is in an object, by the ending of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// JSON.
    Json,
    /// Sound.
    Wav,
    /// The motion of a skeleton.
    Bvh,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Wav, Self::Bvh];

    /// The ending of a name, without its dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Wav => "wav",
            Self::Bvh => "bvh",
        }
    }

    /// What stands before the dot of a name, and the format that follows it.
    fn split(name: &str) -> Option<(&str, Self)> {
        let (stem, ending) = name.rsplit_once('.')?;
        let format = Self::ALL.into_iter().find(|format| format.ending() == ending)?;
        Some((stem, format))
    }
}

/// An object of a task.
///
/// ```
/// use leoma_protocol::TaskId;
/// use leoma_storage::{TaskKey, TaskObject};
/// let key = TaskKey { task_id: TaskId(70_123), object: TaskObject::FirstFrame };
/// assert_eq!(key.to_string(), "70123/first_frame.png");
/// assert_eq!("70123/first_frame.png".parse(), Ok(key));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The task.
    pub task_id: TaskId,
    /// Which of its objects.
    pub object: TaskObject,
}

impl TaskKey {
    /// The object of `task_id`.
    pub const fn new(task_id: TaskId, object: TaskObject) -> Self {
        Self { task_id, object }
    }

    /// The key of `validator`'s verdict file on `task_id`.
    pub const fn verdict(task_id: TaskId, validator: Hotkey) -> Self {
        Self::new(task_id, TaskObject::EvaluationResults(validator))
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task_id = self.task_id;
        match self.object {
            TaskObject::Metadata => write!(f, "{task_id}/metadata.json"),
            TaskObject::OriginalClip => write!(f, "{task_id}/original_clip.mp4"),
            TaskObject::FirstFrame => write!(f, "{task_id}/first_frame.png"),
            TaskObject::GeneratedVideo(miner) => {
                write!(f, "{task_id}/generated_videos/{miner}.mp4")
            }
            TaskObject::EvaluationResults(validator) => {
                write!(f, "{task_id}/evaluation_results/{validator}.json")
            }
            TaskObject::Challenge(format) => write!(f, "{task_id}/challenge.{}", format.ending()),
            TaskObject::Reference(format) => write!(f, "{task_id}/reference.{}", format.ending()),
            TaskObject::Answer(miner, format) => {
                write!(f, "{task_id}/answers/{miner}.{}", format.ending())
            }
        }
    }
}

impl FromStr for TaskKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (task, rest) = text
            .split_once('/')
            .ok_or_else(|| refuse(text, "a task's objects lie in its folder"))?;
        let task_id = task.parse().map_err(|_| refuse(text, "its folder is not a task number"))?;
        let hotkey = |name: &str, ending: &str| -> Result<Hotkey, KeyError> {
            name.strip_suffix(ending)
                .and_then(|name| name.parse().ok())
                .ok_or_else(|| refuse(text, "its name is not a hotkey with the right ending"))
        };
        let object = match rest {
            "metadata.json" => TaskObject::Metadata,
            "original_clip.mp4" => TaskObject::OriginalClip,
            "first_frame.png" => TaskObject::FirstFrame,
            _ => match rest.split_once('/') {
                Some(("generated_videos", name)) => {
                    TaskObject::GeneratedVideo(hotkey(name, ".mp4")?)
                }
                Some(("evaluation_results", name)) => {
                    TaskObject::EvaluationResults(hotkey(name, ".json")?)
                }
                Some(("answers", name)) => {
                    let (miner, format) = Format::split(name)
                        .ok_or_else(|| refuse(text, "its name has an unknown ending"))?;
                    TaskObject::Answer(hotkey(miner, "")?, format)
                }
                None => match Format::split(rest) {
                    Some(("challenge", format)) => TaskObject::Challenge(format),
                    Some(("reference", format)) => TaskObject::Reference(format),
                    _ => return Err(refuse(text, "a task has no such object")),
                },
                _ => return Err(refuse(text, "a task has no such object")),
            },
        };
        let key = Self { task_id, object };
        // `+7` and `007` parse as numbers, but a task has only one name.
        if key.to_string() != text {
            return Err(refuse(text, "not in canonical form"));
        }
        Ok(key)
    }
}

impl From<TaskKey> for Key {
    fn from(key: TaskKey) -> Self {
        Self(key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_hostile_keys() {
        for key in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "a/.",
            "a\nb",
            "a\\b",
            "a\0",
            &"k".repeat(1025),
        ] {
            assert!(key.parse::<Key>().is_err(), "{key:?}");
        }
        for key in ["a", "allowlist/v1.json", "Ünïcode clip #3 (1).mp4", "..a/b..", "a?b=c%20"] {
            assert_eq!(key.parse::<Key>().unwrap().path().unwrap().as_ref(), key);
        }
        assert!("a\n".repeat(600).parse::<Key>().unwrap_err().to_string().len() < 600);
    }

    #[test]
    fn one_task_has_one_name() {
        for key in [
            "007/metadata.json",
            "+7/metadata.json",
            "7/other.json",
            "7",
            "x/metadata.json",
            "7/a/b/c.json",
            "7/challenge.exe",
            "7/challenge",
            "7/answers/reference.bvh",
            "7/answers/x.bvh",
        ] {
            assert!(key.parse::<TaskKey>().is_err(), "{key:?}");
        }
        assert!("7/generated_videos/../metadata.json".parse::<TaskKey>().is_err());
        assert!("18446744073709551616/metadata.json".parse::<TaskKey>().is_err());
    }

    proptest! {
        #[test]
        fn task_keys_read_back(
            task: u64, bytes: [u8; 32], which in 0..8_u8, format in prop::sample::select(&Format::ALL[..]),
        ) {
            let hotkey = Hotkey::from_bytes(bytes);
            let object = match which {
                0 => TaskObject::Metadata,
                1 => TaskObject::OriginalClip,
                2 => TaskObject::FirstFrame,
                3 => TaskObject::GeneratedVideo(hotkey),
                4 => TaskObject::Challenge(format),
                5 => TaskObject::Reference(format),
                6 => TaskObject::Answer(hotkey, format),
                _ => TaskObject::EvaluationResults(hotkey),
            };
            let key = TaskKey::new(TaskId(task), object);
            prop_assert_eq!(key.to_string().parse::<TaskKey>().unwrap(), key);
            prop_assert_eq!(Key::from(key).as_str().parse::<Key>().unwrap(), Key::from(key));
        }

        #[test]
        fn no_text_breaks_the_parsers(text in ".{0,80}") {
            let _ = text.parse::<TaskKey>();
            let _ = text.parse::<Key>();
        }
    }
}

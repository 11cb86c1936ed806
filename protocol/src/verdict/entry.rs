//! One miner's result in a verdict file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::observation::{Observation, observations_from};
use crate::python_json::{Text, Value};
use crate::{Digest, Hotkey};

/// Why a miner's answer passed or failed. A valid miner without a usable video has an entry too:
/// silence must never beat an honest failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryStatus {
    /// The video passed.
    Passed,
    /// The video was scored and is not good enough.
    Failed,
    /// The endpoint could not be reached, or sent nothing.
    NoResponse,
    /// The answer was not complete in time.
    Timeout,
    /// The endpoint answered with an HTTP error.
    HttpError,
    /// The video does not have the requested size.
    WrongResolution,
    /// The video has fewer frames than requested.
    TooShort,
    /// The video has many more frames than requested.
    TooLong,
    /// The video shows one picture only.
    Frozen,
    /// The decoder cannot read the video within its limits.
    Undecodable,
    /// The video is a copy of an earlier miner's, or of the source clip.
    Duplicate,
    /// The answer is not of the form that was asked for.
    Malformed,
    /// No verdict: what the producer itself read, under its own hotkey.
    Reference,
    /// A word that only another implementation uses.
    Other(String),
}

impl EntryStatus {
    /// The word in the file.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NoResponse => "no_response",
            Self::Timeout => "timeout",
            Self::HttpError => "http_error",
            Self::WrongResolution => "wrong_resolution",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Frozen => "frozen",
            Self::Undecodable => "undecodable",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Reference => "reference",
            Self::Other(word) => word,
        }
    }

    /// The status with this word.
    pub fn from_word(word: &str) -> Self {
        let known = [
            Self::Passed,
            Self::Failed,
            Self::NoResponse,
            Self::Timeout,
            Self::HttpError,
            Self::WrongResolution,
            Self::TooShort,
            Self::TooLong,
            Self::Frozen,
            Self::Undecodable,
            Self::Duplicate,
            Self::Malformed,
            Self::Reference,
        ];
        known
            .into_iter()
            .find(|status| status.as_str() == word)
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

impl fmt::Display for EntryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The six aspects in tenths of a point, 0 to 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AspectScores {
    /// The video begins with the given frame.
    pub first_frame_fidelity: u16,
    /// It shows what was asked for.
    pub prompt_adherence: u16,
    /// It moves, and plausibly.
    pub motion_quality: u16,
    /// Things stay the same from frame to frame.
    pub temporal_consistency: u16,
    /// It is sharp, clean and well exposed.
    pub visual_quality: u16,
    /// The camera does what was asked for.
    pub camera_composition: u16,
}

impl AspectScores {
    /// Each aspect with its name.
    pub fn named(&self) -> [(&'static str, u16); 6] {
        [
            ("first_frame_fidelity", self.first_frame_fidelity),
            ("prompt_adherence", self.prompt_adherence),
            ("motion_quality", self.motion_quality),
            ("temporal_consistency", self.temporal_consistency),
            ("visual_quality", self.visual_quality),
            ("camera_composition", self.camera_composition),
        ]
    }

    fn to_value(self) -> Value {
        Value::object(self.named().map(|(name, tenths)| (name, tenths_value(tenths))))
    }
}

/// Tenths as a decimal number, `835` as `83.5`.
fn tenths_value(tenths: u16) -> Value {
    Value::Float(f64::from(tenths) / 10.0)
}

/// One miner's result. Fields that the Python implementation does not write are `None` in its
/// files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictEntry {
    /// The miner.
    pub hotkey: Hotkey,
    /// The only field from which the winner is computed.
    pub passed: bool,
    /// Why.
    pub status: EntryStatus,
    /// The judge's confidence, 0 to 100.
    pub confidence: u8,
    /// Free text for people.
    pub reasoning: String,
    /// Time to the complete answer in milliseconds.
    pub latency_ms: u64,
    /// The revision of the model that answered, as the miner committed it.
    pub model_revision: Option<String>,
    /// SHA-256 of the video's bytes.
    pub video_sha256: Option<Digest>,
    /// Overall score in tenths of a point, 0 to 1000.
    pub score: Option<u16>,
    /// The aspects behind the score.
    pub aspect_scores: Option<AspectScores>,
    /// The scorer's fingerprint of the video, for finding copies; base64 in the file. More than
    /// [`super::MAX_FINGERPRINT_BYTES`] bytes are neither written nor read.
    pub fingerprint: Option<Vec<u8>>,
    /// What was measured, for mechanisms that fold more than `passed`; at most
    /// [`super::MAX_POOLS`], each in a pool of its own. Not written where there is none.
    pub observations: Vec<Observation>,
}

impl VerdictEntry {
    /// An entry for a miner that gave no usable video.
    pub fn unusable(
        hotkey: Hotkey,
        status: EntryStatus,
        reasoning: String,
        latency_ms: u64,
    ) -> Self {
        Self {
            hotkey,
            passed: false,
            status,
            confidence: 100,
            reasoning,
            latency_ms,
            model_revision: None,
            video_sha256: None,
            score: None,
            aspect_scores: None,
            fingerprint: None,
            observations: Vec::new(),
        }
    }

    /// Whether anything was measured: a value that is not missing. Folds read values whatever
    /// `passed` says.
    pub fn has_values(&self) -> bool {
        self.observations.iter().flat_map(|observed| &observed.values).any(Option::is_some)
    }

    pub(super) fn to_value(&self) -> Value {
        let aspects = self.aspect_scores.map(AspectScores::to_value);
        // The Python tools expect the artifacts as JSON inside strings.
        let generated = Value::object([(
            "aspect_scores",
            aspects.clone().unwrap_or_else(|| Value::object([])),
        )])
        .to_string();
        let reasoning: String = self.reasoning.chars().take(super::MAX_REASONING_CHARS).collect();
        let fields = [
            ("hotkey", self.hotkey.to_string().into()),
            ("passed", self.passed.into()),
            ("status", self.status.as_str().into()),
            ("confidence", u64::from(self.confidence).into()),
            ("reasoning", reasoning.into()),
            ("latency_ms", self.latency_ms.into()),
            ("original_artifacts", "[]".into()),
            ("generated_artifacts", generated.into()),
            ("presentation_order", "single-video benchmark".into()),
            ("model_revision", self.model_revision.as_deref().map_or(Value::Null, Value::from)),
            (
                "video_sha256",
                self.video_sha256.map_or(Value::Null, |digest| digest.to_string().into()),
            ),
            ("score", self.score.map_or(Value::Null, tenths_value)),
            ("aspect_scores", aspects.unwrap_or(Value::Null)),
            (
                "fingerprint",
                self.fingerprint.as_deref().and_then(fingerprint_value).unwrap_or(Value::Null),
            ),
        ];
        // An empty list would change the bytes of every file without observations.
        let observations = self.observations.iter().map(Observation::to_value).collect();
        let observations =
            (!self.observations.is_empty()).then_some(("observations", Value::Array(observations)));
        Value::object(fields.into_iter().chain(observations))
    }

    /// Reads an entry. Only `hotkey` and `passed` must be present, and they and the observations
    /// well-formed, because only they are counted.
    pub(super) fn from_value(value: &Value) -> Result<Self, &'static str> {
        if value.as_object().is_none() {
            return Err("not an object");
        }
        let text = |key| value.get(key).and_then(Value::as_str);
        let hotkey = text("hotkey")
            .ok_or("no `hotkey`")?
            .parse()
            .map_err(|_| "`hotkey` is not an SS58 address")?;
        let passed =
            value.get("passed").and_then(Value::as_bool).ok_or("`passed` is not true or false")?;
        Ok(Self {
            hotkey,
            passed,
            status: text("status").map_or(
                if passed { EntryStatus::Passed } else { EntryStatus::Failed },
                EntryStatus::from_word,
            ),
            confidence: value
                .get("confidence")
                .and_then(Value::as_u64)
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(0),
            reasoning: match value.get("reasoning") {
                Some(Value::String(text)) => Text::to_string_lossy(text),
                _ => String::new(),
            },
            latency_ms: value.get("latency_ms").and_then(Value::as_u64).unwrap_or(0),
            model_revision: text("model_revision").map(str::to_owned),
            video_sha256: text("video_sha256").and_then(|text| text.parse().ok()),
            score: value.get("score").and_then(tenths_from),
            aspect_scores: value.get("aspect_scores").and_then(aspects_from),
            fingerprint: text("fingerprint").and_then(fingerprint_from),
            observations: observations_from(value)?,
        })
    }
}

fn fingerprint_value(bytes: &[u8]) -> Option<Value> {
    (bytes.len() <= super::MAX_FINGERPRINT_BYTES).then(|| STANDARD.encode(bytes).into())
}

/// `None` if the text is too long or not base64. The entry still counts.
fn fingerprint_from(text: &str) -> Option<Vec<u8>> {
    let bytes = (text.len() <= super::MAX_FINGERPRINT_BYTES.div_ceil(3) * 4)
        .then(|| STANDARD.decode(text).ok())??;
    (bytes.len() <= super::MAX_FINGERPRINT_BYTES).then_some(bytes)
}

fn tenths_from(value: &Value) -> Option<u16> {
    match value {
        Value::Float(points) if (0.0..=100.0).contains(points) => {
            Some((points * 10.0).round() as u16)
        }
        Value::Integer(_) => {
            value.as_u64().filter(|points| *points <= 100).map(|points| points as u16 * 10)
        }
        _ => None,
    }
}

fn aspects_from(value: &Value) -> Option<AspectScores> {
    let aspect = |name| value.get(name).and_then(tenths_from);
    Some(AspectScores {
        first_frame_fidelity: aspect("first_frame_fidelity")?,
        prompt_adherence: aspect("prompt_adherence")?,
        motion_quality: aspect("motion_quality")?,
        temporal_consistency: aspect("temporal_consistency")?,
        visual_quality: aspect("visual_quality")?,
        camera_composition: aspect("camera_composition")?,
    })
}

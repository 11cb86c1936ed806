//! Turns a vision model's text into numbers, by the reference's rule.
//!
//! The Python implementation raises, and its task fails, at an infinite score and at JSON that is
//! not an object. Here an infinite score counts as missing, and such JSON as unreadable.

use super::python::{float, strip, text, truth};
use leoma_protocol::python_json::Value;
use serde::{Deserialize, Serialize};

/// Most characters of a raw answer that are kept: twice as many as an answer with full lists has.
const KEPT_CHARS: usize = 8192;
/// Most issues, and most strengths, that are kept.
const MAX_ITEMS: usize = 20;
/// Most characters of an unreadable answer that are quoted.
const QUOTED_CHARS: usize = 100;
/// The weights of the aspects, in the order of [`JudgeAspects`], added up in that order.
const WEIGHTS: [f64; 6] = [0.25, 0.25, 0.15, 0.20, 0.10, 0.05];

/// The points out of 100 that an answer needs to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgeThresholds {
    /// The overall score needed.
    pub pass: i64,
    /// The points that first-frame fidelity, prompt adherence and temporal consistency each need.
    pub critical: i64,
}

impl JudgeThresholds {
    /// The subnet's thresholds: 75 overall, 50 in each critical aspect.
    pub const SUBNET: Self = Self { pass: 75, critical: 50 };
}

/// A judge's answer with the text that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The normalised answer.
    pub answer: JudgeAnswer,
    /// The first 8 192 characters of the judge's text.
    pub raw: String,
    /// The model's name, as the service reports it.
    pub model: String,
}

impl Judgement {
    pub(super) fn new(raw: &str, model: String, thresholds: JudgeThresholds) -> Self {
        let answer = JudgeAnswer::from_text(raw, thresholds);
        Self { answer, raw: raw.chars().take(KEPT_CHARS).collect(), model }
    }
}

/// Points from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the aspects of the verdict file")]
pub struct JudgeAspects {
    pub first_frame_fidelity: u8,
    pub prompt_adherence: u8,
    pub motion_quality: u8,
    pub temporal_consistency: u8,
    pub visual_quality: u8,
    pub camera_composition: u8,
}

/// A judge's normalised answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeAnswer {
    /// Overall and critical thresholds are both met.
    pub passed: bool,
    /// How sure the judge is, 0 to 100.
    pub confidence: u8,
    /// The judge's overall score, or the weighted aspects where it gave none.
    pub overall_score: u8,
    /// Its aspects; one that is missing or unreadable is 0.
    pub aspect_scores: JudgeAspects,
    /// What it found wrong, at most 20 items.
    pub major_issues: Vec<String>,
    /// What it found good, at most 20 items.
    pub strengths: Vec<String>,
    /// Its reason, or the beginning of an unreadable answer.
    pub reasoning: String,
    /// Whether the answer was unreadable. Everything else is then 0.
    #[serde(skip)]
    pub unreadable: bool,
}

impl JudgeAnswer {
    /// Normalises the raw text of a judge, with or without a code fence around its JSON.
    pub fn from_text(raw: &str, thresholds: JudgeThresholds) -> Self {
        let inner = strip_fence(raw);
        match Value::parse(inner.as_bytes()) {
            Ok(value @ Value::Object(_)) => Self::from_value(&value, thresholds),
            _ => Self::unreadable(inner),
        }
    }

    fn from_value(value: &Value, thresholds: JudgeThresholds) -> Self {
        let aspects = value.get("aspect_scores");
        let aspect = |key: &str| aspects.and_then(|aspects| points(aspects.get(key))).unwrap_or(0);
        let aspects = JudgeAspects {
            first_frame_fidelity: aspect("first_frame_fidelity"),
            prompt_adherence: aspect("prompt_adherence"),
            motion_quality: aspect("motion_quality"),
            temporal_consistency: aspect("temporal_consistency"),
            visual_quality: aspect("visual_quality"),
            camera_composition: aspect("camera_composition"),
        };
        let overall = points(value.get("overall_score")).unwrap_or_else(|| aspects.weighted());
        let reasoning = value
            .get("reasoning")
            .filter(|reasoning| truth(reasoning))
            .map(text)
            .unwrap_or_default();
        Self {
            passed: i64::from(overall) >= thresholds.pass
                && i64::from(aspects.critical()) >= thresholds.critical,
            confidence: points(value.get("confidence")).unwrap_or(0),
            overall_score: overall,
            aspect_scores: aspects,
            major_issues: items(value.get("major_issues")),
            strengths: items(value.get("strengths")),
            reasoning: strip(&reasoning).to_owned(),
            unreadable: false,
        }
    }

    fn unreadable(inner: &str) -> Self {
        let quoted: String = inner.chars().take(QUOTED_CHARS).collect();
        Self {
            passed: false,
            confidence: 0,
            overall_score: 0,
            aspect_scores: JudgeAspects::default(),
            major_issues: Vec::new(),
            strengths: Vec::new(),
            reasoning: format!("Parse error: {quoted}"),
            unreadable: true,
        }
    }
}

impl JudgeAspects {
    /// The lowest of the three critical aspects.
    fn critical(&self) -> u8 {
        self.first_frame_fidelity.min(self.prompt_adherence).min(self.temporal_consistency)
    }

    /// The aspects in the order of their weights.
    pub(crate) fn in_order(&self) -> [u8; 6] {
        [
            self.first_frame_fidelity,
            self.prompt_adherence,
            self.motion_quality,
            self.temporal_consistency,
            self.visual_quality,
            self.camera_composition,
        ]
    }

    fn weighted(&self) -> u8 {
        let weighted = self.in_order().into_iter().zip(WEIGHTS);
        rounded(weighted.fold(0.0, |sum, (score, weight)| sum + f64::from(score) * weight))
    }
}

/// The text between the first two code fences, without the word `json`; the whole text where there
/// is no fence.
fn strip_fence(raw: &str) -> &str {
    let stripped = strip(raw);
    match stripped.split("```").nth(1) {
        None => stripped,
        Some(fenced) => fenced.strip_prefix("json").unwrap_or(fenced),
    }
}

/// Whether a judge's text is the beginning of a JSON object, and not the whole of it.
pub(super) fn is_cut(raw: &str) -> bool {
    let inner = strip(strip_fence(raw));
    let whole: Result<serde::de::IgnoredAny, _> = serde_json::from_str(inner);
    inner.starts_with('{') && whole.is_err_and(|error| error.is_eof())
}

/// A score; `None` where it is missing or not a number.
fn points(value: Option<&Value>) -> Option<u8> {
    float(value?).filter(|number| number.is_finite()).map(rounded)
}

/// Rounds to the nearest point, halves to even, and clamps to 0 to 100.
fn rounded(number: f64) -> u8 {
    number.round_ties_even().clamp(0.0, 100.0) as u8
}

fn items(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).unwrap_or_default().iter().take(MAX_ITEMS).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(raw: &str) -> JudgeAnswer {
        JudgeAnswer::from_text(raw, JudgeThresholds::SUBNET)
    }

    #[test]
    fn a_fence_anywhere_is_taken_off() {
        for raw in [
            "{\"confidence\": 7}",
            "```{\"confidence\": 7}```",
            "```json\n{\"confidence\": 7}\n```",
            " Here you are: ```json {\"confidence\": 7} ``` as asked",
            "\u{a0}```json{\"confidence\": 7}",
        ] {
            assert_eq!(answer(raw).confidence, 7, "{raw}");
        }
        assert!(answer("```JSON\n{}\n```").unreadable);
    }

    #[test]
    fn the_quote_of_an_unreadable_answer_counts_characters() {
        let raw = "é".repeat(300);
        assert_eq!(answer(&raw).reasoning.chars().count(), 13 + 100);
    }

    #[test]
    fn json_that_is_no_object_and_scores_without_end_are_no_surprise() {
        assert!(answer("[1]").unreadable);
        assert!(answer("null").unreadable);
        assert!(answer("").unreadable);
        let odd =
            answer("{\"overall_score\": Infinity, \"confidence\": NaN, \"aspect_scores\": [1]}");
        assert_eq!((odd.overall_score, odd.confidence, odd.unreadable), (0, 0, false));
    }

    #[test]
    fn halves_round_to_even_and_the_rest_is_clamped() {
        let with = |score: &str| answer(&format!("{{\"confidence\": {score}}}")).confidence;
        let cases = [
            ("0.5", 0),
            ("1.5", 2),
            ("2.5", 2),
            ("99.5", 100),
            ("1e300", 100),
            ("-1e300", 0),
            ("true", 1),
        ];
        for (score, expected) in cases {
            assert_eq!(with(score), expected, "{score}");
        }
    }
}

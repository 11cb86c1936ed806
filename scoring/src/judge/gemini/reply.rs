//! What Gemini's replies say.

use super::answer::{JudgeThresholds, Judgement};
use super::model::GeminiModel;
use crate::judge::JudgeError;
use serde_json::Value;

/// Most bytes of a reply that are worth reading: a grade has a kilobyte or two.
pub const MAX_REPLY_BYTES: usize = 1 << 20;
/// A task's prompt is under 100 words; a description beyond this is cut.
const MAX_DESCRIPTION_CHARS: usize = 2000;
/// A model's name that is longer is not believed.
const MAX_MODEL_CHARS: usize = 100;

impl GeminiModel {
    /// The clip's description in a reply to [`GeminiModel::description_request`].
    ///
    /// # Errors
    /// [`JudgeError::NoText`].
    pub fn description(&self, reply: &[u8]) -> Result<String, JudgeError> {
        let (text, _) = self.text(reply)?;
        Ok(text.trim().chars().take(MAX_DESCRIPTION_CHARS).collect())
    }

    /// The grade in a reply to [`GeminiModel::grading_request`], normalised and as it came.
    ///
    /// # Errors
    /// [`JudgeError::NoText`].
    pub fn judgement(
        &self,
        reply: &[u8],
        thresholds: JudgeThresholds,
    ) -> Result<Judgement, JudgeError> {
        let (text, model) = self.text(reply)?;
        Ok(Judgement::new(&text, model, thresholds))
    }

    /// The text of the first candidate, all its parts in order, and the model's name as the service
    /// gives it.
    fn text(&self, reply: &[u8]) -> Result<(String, String), JudgeError> {
        let no_text =
            |reason: &str| JudgeError::NoText { judge: self.id(), reason: reason.to_owned() };
        let reply: Value =
            serde_json::from_slice(reply).map_err(|_| no_text("the reply is not JSON"))?;
        let candidate = &reply["candidates"][0];
        let parts = candidate["content"]["parts"].as_array();
        let text: String =
            parts.into_iter().flatten().filter_map(|part| part["text"].as_str()).collect();
        if text.trim().is_empty() {
            let reason = candidate["finishReason"]
                .as_str()
                .or(reply["promptFeedback"]["blockReason"].as_str());
            return Err(no_text(&code_word(reason.unwrap_or("no reason given"))));
        }
        let stated = reply["modelVersion"].as_str().filter(|name| name.len() <= MAX_MODEL_CHARS);
        Ok((text, stated.unwrap_or(&self.name).to_owned()))
    }
}

/// Google's own word for an error: the reason where there is one, as `API_KEY_INVALID`, else the
/// status, as `RESOURCE_EXHAUSTED`. Its message may repeat what we sent and is not kept.
pub fn error_code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let details = body["error"]["details"].as_array();
    let reason = details.into_iter().flatten().find_map(|detail| detail["reason"].as_str());
    code_word(reason.or(body["error"]["status"].as_str()).unwrap_or_default())
}

fn code_word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphabetic() || matches!(c, '_' | ' ')).take(40).collect()
}

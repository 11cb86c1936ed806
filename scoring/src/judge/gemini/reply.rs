//! What Gemini's replies say.

use super::answer::{JudgeThresholds, Judgement, is_cut};
use super::model::GeminiModel;
use crate::judge::JudgeError;
use serde_json::Value;
use std::time::Duration;

/// Most bytes of a reply that are worth reading: a grade has a kilobyte or two.
pub const MAX_REPLY_BYTES: usize = 1 << 20;
/// A task's prompt is under 100 words; a description beyond this is cut.
const MAX_DESCRIPTION_CHARS: usize = 2000;
/// A longer model name is not believed.
const MAX_MODEL_CHARS: usize = 100;
/// Longer codes of the service are cut.
const MAX_WORD_CHARS: usize = 80;
/// Reasons by which the service declines to look at a video or to speak of it. Others, such as
/// `OTHER` and `RECITATION`, are about the service or the answer.
const SAFETY: [&str; 6] = [
    "SAFETY",
    "PROHIBITED_CONTENT",
    "BLOCKLIST",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
];

impl GeminiModel {
    /// The clip's description in a reply to [`GeminiModel::description_request`].
    ///
    /// # Errors
    /// [`JudgeError::NoAnswer`], [`JudgeError::Declined`].
    pub fn description(&self, reply: &[u8]) -> Result<String, JudgeError> {
        let (text, _) = self.text(reply)?;
        Ok(text.trim().chars().take(MAX_DESCRIPTION_CHARS).collect())
    }

    /// The grade in a reply to [`GeminiModel::grading_request`], normalised and as it came.
    ///
    /// # Errors
    /// [`JudgeError::NoAnswer`], [`JudgeError::Declined`].
    pub fn judgement(
        &self,
        reply: &[u8],
        thresholds: JudgeThresholds,
    ) -> Result<Judgement, JudgeError> {
        let (text, model) = self.text(reply)?;
        if is_cut(&text) {
            return Err(self.no_answer("its JSON is cut off"));
        }
        Ok(Judgement::new(&text, model, thresholds))
    }

    /// The text of the first candidate, all its parts in order but for thoughts, and the model's
    /// name as the service gives it.
    fn text(&self, reply: &[u8]) -> Result<(String, String), JudgeError> {
        let reply: Value =
            serde_json::from_slice(reply).map_err(|_| self.no_answer("the reply is not JSON"))?;
        if let Some(reason) = reply["promptFeedback"]["blockReason"].as_str() {
            return Err(self.without_text(reason));
        }
        let candidate = &reply["candidates"][0];
        // A text that ends for any other reason is not whole.
        match candidate["finishReason"].as_str() {
            None | Some("STOP" | "FINISH_REASON_UNSPECIFIED") => {}
            Some(reason) => return Err(self.without_text(reason)),
        }
        let parts = candidate["content"]["parts"].as_array();
        let text: String = parts
            .into_iter()
            .flatten()
            .filter(|part| part["thought"] != Value::Bool(true))
            .filter_map(|part| part["text"].as_str())
            .collect();
        if text.trim().is_empty() {
            return Err(self.no_answer("it has no text"));
        }
        Ok((text, self.name_of(&reply)))
    }

    /// The model's own name in a reply, or the name that we asked for.
    pub fn name_in(&self, reply: &[u8]) -> String {
        self.name_of(&serde_json::from_slice(reply).unwrap_or_default())
    }

    fn name_of(&self, reply: &Value) -> String {
        let stated = reply["modelVersion"].as_str().filter(|name| name.len() <= MAX_MODEL_CHARS);
        stated.unwrap_or(&self.name).to_owned()
    }

    fn without_text(&self, reason: &str) -> JudgeError {
        if SAFETY.contains(&reason) {
            JudgeError::Declined { judge: self.id(), reason: reason.to_owned() }
        } else {
            self.no_answer(&code_word(reason))
        }
    }

    fn no_answer(&self, reason: &str) -> JudgeError {
        JudgeError::NoAnswer { judge: self.id(), reason: reason.to_owned() }
    }
}

/// Google's own code for an error: the daily quota that is used up, else the reason where there is
/// one, as `API_KEY_INVALID`, else the status, as `RESOURCE_EXHAUSTED`. Its message may repeat what
/// we sent and is not kept.
pub fn error_code(body: &[u8]) -> String {
    let error = error_in(body);
    if let Some(quota) = daily_quota_in(&error) {
        return quota;
    }
    let reason = details(&error).find_map(|detail| detail["reason"].as_str());
    code_word(reason.or(error["status"].as_str()).unwrap_or_default())
}

/// Whether an [`error_code`] names a quota for the day, such as
/// `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
pub fn is_daily_quota(code: &str) -> bool {
    code.contains("PerDay")
}

/// How long the service wants us to wait, as an error's `RetryInfo` says: `38s`, `36.429760048s`.
pub fn retry_delay(body: &[u8]) -> Option<Duration> {
    let error = error_in(body);
    let delay = details(&error).find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The error in a body, which some of Google's frontends wrap into a list.
fn error_in(body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let body = if body.is_array() { &body[0] } else { &body };
    body["error"].clone()
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error["details"].as_array().into_iter().flatten()
}

fn daily_quota_in(error: &Value) -> Option<String> {
    let violations = details(error).flat_map(|detail| detail["violations"].as_array());
    let names = violations.flatten().filter_map(|violation| violation["quotaId"].as_str());
    names.map(code_word).find(|name| is_daily_quota(name))
}

fn code_word(text: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    text.chars().filter(allowed).take(MAX_WORD_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model() -> GeminiModel {
        GeminiModel::new("gemini-2.5-flash").unwrap()
    }

    fn judged(reply: &Value) -> Result<Judgement, JudgeError> {
        model().judgement(reply.to_string().as_bytes(), JudgeThresholds::SUBNET)
    }

    fn no_answer(reply: &Value) -> String {
        let graded = judged(reply).map(|_| ());
        match (graded, model().description(reply.to_string().as_bytes())) {
            (Err(JudgeError::NoAnswer { reason, .. }), Err(JudgeError::NoAnswer { .. })) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn g1_thoughts_that_used_up_the_tokens_are_no_failure_of_a_miner() {
        let candidate = json!({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"});
        let reply = json!({
            "candidates": [candidate], "usageMetadata": {"thoughtsTokenCount": 1020},
        });
        assert_eq!(no_answer(&reply), "MAX_TOKENS");
        assert_eq!(no_answer(&json!({"candidates": [{"finishReason": "STOP"}]})), "it has no text");
        assert_eq!(no_answer(&json!({})), "it has no text");
    }

    #[test]
    fn g2_a_text_that_is_cut_is_not_used_as_if_whole() {
        let cut = "{\"overall_score\": 90, \"aspect_scores\": {\"first_frame_fidelity\": 90,";
        let parts = json!({"parts": [{"text": cut}]});
        let reply = json!({"candidates": [{"content": parts, "finishReason": "MAX_TOKENS"}]});
        assert_eq!(no_answer(&reply), "MAX_TOKENS");
        // Nor where the service does not say that it is cut.
        for fence in ["", "```json\n"] {
            let parts = json!({"parts": [{"text": format!("{fence}{cut}")}]});
            let reply = json!({"candidates": [{"content": parts, "finishReason": "STOP"}]});
            let error = judged(&reply).unwrap_err();
            assert!(matches!(error, JudgeError::NoAnswer { .. }), "{error}");
        }
    }

    #[test]
    fn g9_thoughts_are_left_out() {
        let parts = json!([
            {"thought": true, "text": "draft {\"overall_score\": 10}"},
            {"text": "{\"overall_score\": 90, "},
            {"text": "\"confidence\": 80}"},
        ]);
        let reply = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]});
        let judgement = judged(&reply).unwrap();
        assert_eq!((judgement.answer.overall_score, judgement.answer.confidence), (90, 80));
    }

    #[test]
    fn g11_the_models_own_name_is_recorded() {
        let parts = json!({"parts": [{"text": "{\"overall_score\": 90}"}]});
        let mut reply = json!({"candidates": [{"content": parts}]});
        assert_eq!(judged(&reply).unwrap().model, "gemini-2.5-flash");
        reply["modelVersion"] = "gemini-2.5-flash-preview-09-2025".into();
        assert_eq!(judged(&reply).unwrap().model, "gemini-2.5-flash-preview-09-2025");
    }

    #[test]
    fn only_safety_is_about_the_video() {
        for (reason, is_about_it) in [
            ("SAFETY", true),
            ("PROHIBITED_CONTENT", true),
            ("OTHER", false),
            ("RECITATION", false),
            ("MAX_TOKENS", false),
        ] {
            let blocked = json!({"promptFeedback": {"blockReason": reason}});
            let stopped = json!({"candidates": [{"finishReason": reason}]});
            for reply in [blocked, stopped] {
                let error = judged(&reply).unwrap_err();
                assert_eq!(error.is_about_the_video(), is_about_it, "{reply}");
            }
        }
        let page = model().judgement(b"<html>busy</html>", JudgeThresholds::SUBNET).unwrap_err();
        assert!(!page.is_about_the_video() && page.to_string().contains("not JSON"), "{page}");
    }

    #[test]
    fn g5_a_pause_is_read_from_the_body() {
        let body = |delay: &str| {
            let info =
                json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, info]}})
        };
        let read = |body: &Value| retry_delay(body.to_string().as_bytes());
        assert_eq!(read(&body("38s")), Some(Duration::from_secs(38)));
        assert_eq!(read(&json!([body("38s")])), Some(Duration::from_secs(38)));
        assert_eq!(read(&body("36.429760048s")), Some(Duration::from_nanos(36_429_760_048)));
        for none in ["-1s", "soon", "", "1e999s", "38"] {
            assert_eq!(read(&body(none)), None, "{none}");
        }
    }

    #[test]
    fn g6_a_daily_quota_is_named() {
        let quota = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
        let violation = json!({"quotaMetric": "generate_requests", "quotaId": quota});
        let failure = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]});
        let error = json!({"status": "RESOURCE_EXHAUSTED", "details": [failure]});
        let code = error_code(json!([{"error": error}]).to_string().as_bytes());
        assert_eq!(code, quota);
        assert!(is_daily_quota(&code));
        let minute = quota.replace("PerDay", "PerMinute");
        let violation = json!({"quotaId": minute});
        let error =
            json!({"status": "RESOURCE_EXHAUSTED", "details": [{"violations": [violation]}]});
        let code = error_code(json!({"error": error}).to_string().as_bytes());
        assert_eq!(code, "RESOURCE_EXHAUSTED");
        assert!(!is_daily_quota(&code));
    }
}

//! Stand-in for the language model: `POST /v1beta/models/{model}:generateContent`, key in
//! `x-goog-api-key`.
//!
//! A request that wants JSON is a judging, any other a description. The judgement is the same for
//! every video: a stand-in that knew good from bad would hide a fault of the scorer, and one that
//! tells miners apart by anything but their pictures would be a cheat itself. The lie: every aspect
//! 0.
//!
//! A description for a model that is shown no picture names the scene and the moment, since the
//! stand-in miners cannot imagine one.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use base64::Engine as _;
use leoma_scoring::Aspects;
use serde_json::{Value, json};

use super::config::Keys;
use super::fault_layer::Lie;
use crate::miners::ClipIndex;

/// A judging carries two clips as base64.
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// What every aspect gets; above each threshold, so that the measured scores decide.
const NEUTRAL_SCORE: u32 = 85;
/// Between 50 and 90 words and motion first, as the description prompt asks.
const DESCRIPTION: &str = "The view glides steadily across a richly textured landscape of drifting colour, like clouds \
     over stone, while a rounded patterned shape sails through the foreground in a slow, even \
     curve. Fine grain and soft light keep their place on every surface as the motion goes on, \
     colours stay constant from the first moment to the last, and the camera holds its speed and \
     its height without a cut, a jolt or a change of focus.";

/// What the stand-in knows.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) keys: Keys,
    /// The clips that it can name.
    pub(super) clips: Arc<ClipIndex>,
}

pub(super) fn model(model: Model) -> Router {
    Router::new()
        .route("/v1beta/models/{call}", post(generate_content))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(model)
}

async fn generate_content(
    State(known): State<Model>,
    Path(call): Path<String>,
    lie: Option<Extension<Lie>>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let refuse = |status: StatusCode, message: &str| {
        let body = json!({"error": {"code": status.as_u16(), "message": message}});
        (status, Json(body)).into_response()
    };
    let Some((model, "generateContent")) = call.split_once(':') else {
        return refuse(StatusCode::NOT_FOUND, "unknown method");
    };
    if !known.keys.accept(headers.get("x-goog-api-key")) {
        return refuse(StatusCode::BAD_REQUEST, "API key not valid. Please pass a valid API key.");
    }
    if !request["contents"].is_array() {
        return refuse(StatusCode::BAD_REQUEST, "contents is not specified");
    }
    if refuses_thinking(model, &request) {
        return refuse(StatusCode::BAD_REQUEST, "thinking is not configured for this model");
    }
    let text = if wants_json(&request) {
        judgement(lie.is_some())
    } else {
        describe(&known.clips, &request).await
    };
    let words = text.split_whitespace().count();
    Json(json!({
        "candidates": [{
            "content": {"parts": [{"text": text}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }],
        "usageMetadata": {
            "promptTokenCount": 1,
            "candidatesTokenCount": words,
            "totalTokenCount": words + 1,
        },
        "modelVersion": model,
    }))
    .into_response()
}

/// A part of the question for a description that must say what is to be seen.
const SHOWN_NOTHING: &str = "nothing but the prompt";

/// The description of the clip in a request.
async fn describe(clips: &ClipIndex, request: &Value) -> String {
    let parts = || {
        let contents = request["contents"].as_array().into_iter().flatten();
        contents.flat_map(|content| content["parts"].as_array().into_iter().flatten())
    };
    let mut asked = parts().filter_map(|part| part["text"].as_str());
    if !asked.any(|text| text.contains(SHOWN_NOTHING)) {
        return DESCRIPTION.to_owned();
    }
    let video = parts().find_map(|part| part["inlineData"]["data"].as_str());
    let video = video.and_then(|data| base64::engine::general_purpose::STANDARD.decode(data).ok());
    let found = match video {
        Some(video) => clips.find_video(&video).await.inspect_err(|error| {
            tracing::warn!(%error, "cannot look at the clip");
        }),
        None => return DESCRIPTION.to_owned(),
    };
    let words = found.ok().and_then(|found| clips.words(&found)).unwrap_or_default();
    format!("{DESCRIPTION} {words}").trim_end().to_owned()
}

/// As with the real service, each generation refuses the other's thinking setting, and those before
/// them refuse both.
fn refuses_thinking(model: &str, request: &Value) -> bool {
    let thinking = &request["generationConfig"]["thinkingConfig"];
    let takes_budget = model.starts_with("gemini-2.5");
    let takes_level = model.starts_with("gemini-3");
    (!thinking["thinkingBudget"].is_null() && !takes_budget)
        || (!thinking["thinkingLevel"].is_null() && !takes_level)
}

/// Whether the request asks for JSON: by its generation settings, in either spelling, or in its
/// words.
fn wants_json(request: &Value) -> bool {
    let config = [&request["generationConfig"], &request["generation_config"]];
    let kinds = config
        .iter()
        .flat_map(|config| [&config["responseMimeType"], &config["response_mime_type"]]);
    if kinds.filter_map(Value::as_str).any(|kind| kind == "application/json") {
        return true;
    }
    let contents = request["contents"].as_array().into_iter().flatten();
    let parts = contents.flat_map(|content| content["parts"].as_array().into_iter().flatten());
    parts.filter_map(|part| part["text"].as_str()).any(|text| text.contains("aspect_scores"))
}

fn judgement(lie: bool) -> String {
    let score = if lie { 0 } else { NEUTRAL_SCORE };
    let aspects: serde_json::Map<String, Value> =
        Aspects::NAMES.into_iter().map(|aspect| (aspect.into(), score.into())).collect();
    json!({
        "aspect_scores": aspects,
        "overall_score": score,
        "confidence": 60,
        "major_issues": [],
        "strengths": [],
        "reasoning": "stand-in judge: the same for every video",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_the_asked_length() {
        let words = DESCRIPTION.split_whitespace().count();
        assert!((50..=90).contains(&words), "{words} words");
    }

    #[test]
    fn each_generation_takes_its_own_setting_of_thought() {
        let budget = json!({"generationConfig": {"thinkingConfig": {"thinkingBudget": 512}}});
        let level = json!({"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}});
        for (model, takes) in [
            ("gemini-2.5-flash", [true, false]),
            ("gemini-3-pro", [false, true]),
            ("gemini-2.0-flash", [false, false]),
        ] {
            let refused = [&budget, &level].map(|request| refuses_thinking(model, request));
            assert_eq!(refused, takes.map(|takes| !takes), "{model}");
        }
        assert!(!refuses_thinking("gemini-2.0-flash", &json!({})));
    }

    #[test]
    fn judgings_are_told_from_descriptions() {
        assert!(wants_json(&json!({"generationConfig": {"responseMimeType": "application/json"}})));
        assert!(wants_json(
            &json!({"contents": [{"parts": [{"text": "answer with aspect_scores"}]}]})
        ));
        assert!(!wants_json(&json!({"contents": [{"parts": [{"text": "describe the motion"}]}]})));
    }
}

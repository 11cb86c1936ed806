//! Stand-in for the language model: `POST /v1beta/models/{model}:generateContent`, key in
//! `x-goog-api-key`.
//!
//! A request that wants JSON is a judging, any other a description. The judgement is the same for
//! every video: a stand-in that knew good from bad would hide a fault of the scorer, and one that
//! tells miners apart by anything but their pictures would be a cheat itself. The lie: every aspect
//! 0.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use leoma_scoring::Aspects;
use serde_json::{Value, json};

use super::config::Keys;
use super::fault_layer::Lie;

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

pub(super) fn model(keys: Keys) -> Router {
    Router::new()
        .route("/v1beta/models/{call}", post(generate_content))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(keys)
}

async fn generate_content(
    State(keys): State<Keys>,
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
    if !keys.accept(headers.get("x-goog-api-key")) {
        return refuse(StatusCode::BAD_REQUEST, "API key not valid. Please pass a valid API key.");
    }
    if !request["contents"].is_array() {
        return refuse(StatusCode::BAD_REQUEST, "contents is not specified");
    }
    let text = if wants_json(&request) { judgement(lie.is_some()) } else { DESCRIPTION.to_owned() };
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
    fn judgings_are_told_from_descriptions() {
        assert!(wants_json(&json!({"generationConfig": {"responseMimeType": "application/json"}})));
        assert!(wants_json(
            &json!({"contents": [{"parts": [{"text": "answer with aspect_scores"}]}]})
        ));
        assert!(!wants_json(&json!({"contents": [{"parts": [{"text": "describe the motion"}]}]})));
    }
}

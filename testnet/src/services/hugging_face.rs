//! Stand-in for the model registry.
//!
//! `GET /api/models/{owner}/{name}/revision/{sha}?blobs=true` →
//! `{"id","sha","siblings":[{"rfilename","size","lfs":{"sha256","size"}}]}`. The lie: every weight
//! file has another sha256. `GET /api/models/{owner}/{name}` describes any model in short, as the
//! real one does a public model that validators try their token on.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::MinerEntry;
use super::fault_layer::Lie;

/// Size that the registry states for a weight file; nobody downloads it here.
const WEIGHT_FILE_BYTES: u64 = 9_978_573_672;

#[derive(Debug, Deserialize)]
struct Options {
    #[serde(default)]
    blobs: bool,
}

pub(super) fn registry(miners: Arc<Vec<MinerEntry>>) -> Router {
    Router::new()
        .route("/api/models/{owner}/{name}/revision/{sha}", get(model))
        .route("/api/models/{owner}/{name}", get(public_model))
        .with_state(miners)
}

fn not_found(code: &'static str, error: &str) -> Response {
    let body = Json(json!({ "error": error }));
    (StatusCode::NOT_FOUND, [("x-error-code", code)], body).into_response()
}

async fn public_model(Path((owner, name)): Path<(String, String)>) -> Response {
    Json(json!({"id": format!("{owner}/{name}"), "private": false})).into_response()
}

async fn model(
    State(miners): State<Arc<Vec<MinerEntry>>>,
    Path((owner, name, sha)): Path<(String, String, String)>,
    Query(options): Query<Options>,
    lie: Option<Extension<Lie>>,
) -> Response {
    let id = format!("{owner}/{name}");
    let Some(miner) = miners.iter().find(|miner| miner.model_name == id) else {
        return not_found("RepoNotFound", "Repository not found");
    };
    if sha != "main" && sha != miner.model_revision {
        return not_found("RevisionNotFound", "Invalid rev id");
    }
    let mut siblings = vec![json!({"rfilename": "config.json"}), json!({"rfilename": "README.md"})];
    for (index, sha256) in miner.weights_sha256.iter().enumerate() {
        let name =
            format!("model-{:05}-of-{:05}.safetensors", index + 1, miner.weights_sha256.len());
        let sha256 = if lie.is_some() { sha256.chars().rev().collect() } else { sha256.clone() };
        siblings.push(weight_file(&name, &sha256, options.blobs));
    }
    Json(json!({
        "id": id,
        "modelId": id,
        "sha": miner.model_revision,
        "private": false,
        "siblings": siblings,
    }))
    .into_response()
}

fn weight_file(name: &str, sha256: &str, blobs: bool) -> Value {
    if !blobs {
        return json!({"rfilename": name});
    }
    json!({
        "rfilename": name,
        "size": WEIGHT_FILE_BYTES,
        "blobId": sha256.get(..40).unwrap_or(sha256),
        "lfs": {"sha256": sha256, "size": WEIGHT_FILE_BYTES, "pointerSize": 136},
    })
}

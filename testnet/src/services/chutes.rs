//! Stand-in for the Chutes API and for the gateway behind which deployments answer.
//!
//! `GET /chutes/{id}` with the key in `Authorization` →
//! `{"chute_id","name","slug","revision","hot","public"}`. `POST /{slug}/generate` goes to that
//! miner's own listener. The lie: a revision other than the one deployed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use serde_json::json;

use super::config::{Keys, MinerEntry};
use super::fault_layer::Lie;

/// A request carries one picture as base64.
const MAX_REQUEST_BYTES: usize = 32 << 20;

/// What the API knows.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) keys: Keys,
    pub(super) miners: Arc<Vec<MinerEntry>>,
}

/// Where deployments answer: slug and base URL of each.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) keys: Keys,
    pub(super) miners: Arc<Vec<(String, String)>>,
    pub(super) client: reqwest::Client,
}

pub(super) fn api(api: Api) -> Router {
    Router::new().route("/chutes/{id}", get(chute)).with_state(api)
}

pub(super) fn gateway(gateway: Gateway) -> Router {
    Router::new()
        .route("/{slug}/generate", post(forward))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(gateway)
}

fn refuse(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

async fn chute(
    State(api): State<Api>,
    Path(id): Path<String>,
    lie: Option<Extension<Lie>>,
    headers: HeaderMap,
) -> Response {
    if !api.keys.accept(headers.get(header::AUTHORIZATION)) {
        return refuse(StatusCode::UNAUTHORIZED, "Invalid or missing API key.");
    }
    let Some(miner) = api.miners.iter().find(|miner| miner.chute_id == id) else {
        return refuse(StatusCode::NOT_FOUND, "Chute not found.");
    };
    let revision = if lie.is_some() { "f".repeat(40) } else { miner.model_revision.clone() };
    Json(json!({
        "chute_id": id,
        "name": miner.model_name,
        "slug": miner.slug,
        "revision": revision,
        "hot": true,
        "public": true,
    }))
    .into_response()
}

async fn forward(
    State(gateway): State<Gateway>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !gateway.keys.accept_bearer(headers.get(header::AUTHORIZATION)) {
        return refuse(StatusCode::UNAUTHORIZED, "Invalid or missing API key.");
    }
    let Some((_, url)) = gateway.miners.iter().find(|(known, _)| *known == slug) else {
        return refuse(StatusCode::NOT_FOUND, "No such deployment.");
    };
    let request = gateway
        .client
        .post(format!("{url}/generate"))
        .header(header::CONTENT_TYPE, "application/json");
    match request.body(body).send().await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::RETRY_AFTER] {
                if let Some(value) = answer.headers().get(&name) {
                    response = response.header(name, value);
                }
            }
            let body = Body::from_stream(answer.bytes_stream());
            response.body(body).unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
        }
        Err(error) => {
            tracing::warn!(slug, %error, "cannot reach the deployment");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

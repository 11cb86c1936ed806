//! What scripts read: `/livez`, `/readyz`, `/metrics` and `/status` for the operator alone, and the
//! evidence, `/agreement`, `/verdicts` and `/allowlists`, for everybody who audits: it is signed,
//! or named on chain, so it can be checked wherever it comes from.

use axum::Router;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;

use crate::site::Site;
use crate::source::Source;

/// The running source. These paths answer in plain text, for scripts.
struct Running(Arc<dyn Source>);

impl FromRequestParts<Site> for Running {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(_: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        site.source().map(Self).map_err(|error| (error.status, format!("{}\n", error.detail)))
    }
}

/// The operator's paths.
pub(crate) fn router() -> Router<Site> {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
}

/// What an auditor needs.
pub(crate) fn evidence() -> Router<Site> {
    Router::new()
        .route("/agreement", get(agreement))
        .route("/verdicts/{task_id}/{producer}", get(verdict))
        .route("/allowlists/{digest}", get(allowlist))
}

#[derive(Deserialize)]
struct ReadyQuery {
    verbose: Option<String>,
}

async fn ready(Running(source): Running, Query(query): Query<ReadyQuery>) -> Response {
    let checks = source.readiness();
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = String::new();
    for check in &checks {
        if query.verbose.is_some() || !check.ok {
            let mark = if check.ok { "+" } else { "-" };
            body.push_str(&format!("[{mark}] {}: {}\n", check.name, check.detail));
        }
    }
    body.push_str(if ready { "ready\n" } else { "not ready\n" });
    (status, body).into_response()
}

async fn metrics(State(site): State<Site>, Running(source): Running) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    // One at a time: a scrape must not see what another one is in the middle of writing.
    let _scrape = site.scrape.lock().await;
    match source.metrics().await {
        Ok(body) => ([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(Running(source): Running) -> Response {
    axum::Json(source.status().await).into_response()
}

async fn agreement(Running(source): Running) -> Response {
    match source.agreement().await {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error).into_response(),
    }
}

async fn allowlist(Running(source): Running, Path(digest): Path<String>) -> Response {
    match source.subnet().allowlist(&digest) {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => (StatusCode::NOT_FOUND, "no such allowlist is known here\n").into_response(),
    }
}

async fn verdict(
    Running(source): Running,
    Path((task_id, producer)): Path<(u64, String)>,
) -> Response {
    match source.verdict(task_id, &producer).await {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => (StatusCode::NOT_FOUND, "no such verdict file is held here\n").into_response(),
    }
}

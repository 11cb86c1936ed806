//! The validator's own HTTP server: `/livez`, `/readyz`, `/metrics`, `/status` and `/agreement`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::status::StatusSource;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source} (another process has the port? set LEOMA_HTTP_LISTEN)"
)]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// The system's error.
    pub source: std::io::Error,
}

/// What the handlers read.
#[derive(Clone, Debug)]
struct Context {
    registry: Arc<Registry>,
    status: StatusSource,
    scrape: Arc<Mutex<()>>,
}

/// Binds the server's port, so that a port in use is known before anything else starts.
///
/// # Errors
/// [`ListenError`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves until `stop`.
///
/// # Errors
/// The listener's error.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    status: StatusSource,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(full_status))
        .route("/agreement", get(agreement))
        .with_state(Context { registry, status, scrape: Arc::default() });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

#[derive(Deserialize)]
struct ReadyQuery {
    verbose: Option<String>,
}

async fn ready(Shared(context): Shared<Context>, Query(query): Query<ReadyQuery>) -> Response {
    let checks = context.status.readiness();
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

async fn metrics(Shared(context): Shared<Context>) -> Response {
    let mut body = String::new();
    // One at a time: a scrape must not see what another one is in the middle of writing.
    let _scrape = context.scrape.lock().await;
    if let Ok(status) = context.status.agreement.mesh().status().await {
        context.status.mesh_metrics.update(&status);
    }
    match prometheus_client::encoding::text::encode(&mut body, &context.registry) {
        Ok(()) => (
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            body,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn agreement(Shared(context): Shared<Context>) -> Response {
    match context.status.agreement.signed().await {
        Ok(signed) => axum::Json(signed).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn full_status(Shared(context): Shared<Context>) -> Response {
    axum::Json(context.status.json().await).into_response()
}

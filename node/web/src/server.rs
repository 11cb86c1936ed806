//! The validator's own HTTP server: `/livez`, `/readyz`, `/metrics`, `/status` and `/agreement`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Query, State as Shared};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::source::{Phase, Source};

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
    phase: watch::Receiver<Phase>,
    scrape: Arc<Mutex<()>>,
}

/// The validator behind a request; while it starts, the request is refused with the step.
struct Running(Arc<dyn Source>);

impl FromRequestParts<Context> for Running {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(_: &mut Parts, context: &Context) -> Result<Self, Self::Rejection> {
        match &*context.phase.borrow() {
            Phase::Running(source) => Ok(Self(Arc::clone(source))),
            Phase::Starting(step) => {
                Err((StatusCode::SERVICE_UNAVAILABLE, format!("starting: {step}\n")))
            }
        }
    }
}

/// Binds the server's port.
///
/// # Errors
/// [`ListenError`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves until `stop`. While the validator starts, `/livez` answers and everything else names the
/// step of the start.
///
/// # Errors
/// The listener's error.
pub async fn serve(
    listener: TcpListener,
    phase: watch::Receiver<Phase>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/agreement", get(agreement))
        .with_state(Context { phase, scrape: Arc::default() });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
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

async fn metrics(Shared(context): Shared<Context>, Running(source): Running) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    // One at a time: a scrape must not see what another one is in the middle of writing.
    let _scrape = context.scrape.lock().await;
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

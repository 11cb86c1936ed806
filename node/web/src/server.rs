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
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::source::{Phase, Progress, Source};

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
    progress: Progress,
    scrape: Arc<Mutex<()>>,
}

/// The validator behind a request; while it starts, the request is refused with the step.
struct Running(Arc<dyn Source>);

impl FromRequestParts<Context> for Running {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(_: &mut Parts, context: &Context) -> Result<Self, Self::Rejection> {
        match &*context.progress.0.borrow() {
            Phase::Running(source) => Ok(Self(Arc::clone(source))),
            Phase::Starting(step) => {
                Err((StatusCode::SERVICE_UNAVAILABLE, format!("starting: {step}\n")))
            }
        }
    }
}

/// Binds the server's port.
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
    progress: Progress,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/agreement", get(agreement))
        .with_state(Context { progress, scrape: Arc::default() });
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::{Value, json};

    use super::*;
    use crate::source::{ReadyCheck, Start};

    #[derive(Debug)]
    struct Validator;

    #[async_trait::async_trait]
    impl Source for Validator {
        fn readiness(&self) -> Vec<ReadyCheck> {
            let check = |name, ok, detail: &str| ReadyCheck { name, ok, detail: detail.to_owned() };
            vec![check("chain", true, "block 7"), check("mesh", false, "0 of 3 peers")]
        }

        async fn metrics(&self) -> Result<String, std::fmt::Error> {
            Ok("# EOF\n".to_owned())
        }

        async fn status(&self) -> Value {
            json!({ "ready": false })
        }

        async fn agreement(&self) -> Result<String, String> {
            Err("the mesh has stopped".to_owned())
        }
    }

    #[tokio::test]
    async fn every_answer_names_the_step_of_the_start_until_the_validator_runs() {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (start, progress) = Start::new("reading the hotkey");
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, progress, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };

        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get("/readyz").await, (503, "starting: reading the hotkey\n".to_owned()));
        start.step("connecting to the chain");
        for path in ["/readyz", "/readyz?verbose", "/metrics", "/status", "/agreement"] {
            let step = "starting: connecting to the chain\n".to_owned();
            assert_eq!(get(path).await, (503, step), "{path}");
        }

        start.finish(Validator);
        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get("/readyz").await, (503, "[-] mesh: 0 of 3 peers\nnot ready\n".to_owned()));
        let verbose = "[+] chain: block 7\n[-] mesh: 0 of 3 peers\nnot ready\n";
        assert_eq!(get("/readyz?verbose").await, (503, verbose.to_owned()));
        assert_eq!(get("/metrics").await, (200, "# EOF\n".to_owned()));
        assert_eq!(get("/status").await, (200, "{\"ready\":false}".to_owned()));
        assert_eq!(get("/agreement").await, (503, "the mesh has stopped".to_owned()));

        stop.cancel();
        server.await.unwrap().unwrap();
    }
}

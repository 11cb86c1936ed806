//! The two servers: one for the operator, one for everybody.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, http::Request};
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::listener::{BoundedListener, Peer};
use crate::site::{ApiError, Site};
use crate::{api, events, headers, media, operator, pages};

/// Largest body of a post, as the Python API has it.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// How long a browser may keep the answer to a CORS preflight.
const PREFLIGHT_FOR: Duration = Duration::from_secs(600);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source} (another process has the port? set {setting})")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The setting that names the address.
    pub setting: &'static str,
    /// The system's error.
    pub source: std::io::Error,
}

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The operator: everything, also metrics, status and settings.
    Operator,
    /// Everybody: pages and the API, with a limit per address.
    Public,
}

/// Binds a server's port, which `setting` names.
pub async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ListenError { address, setting, source })
}

/// Serves until the site stops. While the process starts, `/livez` answers and everything else
/// names the step of the start.
///
/// # Errors
/// The listener's error.
pub async fn serve(listener: TcpListener, site: Site, audience: Audience) -> std::io::Result<()> {
    let stop = site.stop.clone();
    let service = router(site, audience).into_make_service_with_connect_info::<Peer>();
    axum::serve(BoundedListener::new(listener), service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// All paths of a listener.
pub(crate) fn router(site: Site, audience: Audience) -> Router {
    let operator = audience == Audience::Operator;
    // Before the layers: they apply to what is there when they are added.
    let mut router = api::router()
        .method_not_allowed_fallback(other_method)
        .layer(cors(&site, operator))
        .merge(pages::router())
        .merge(pages::node_router(operator))
        .layer(from_fn(headers::etag))
        .merge(operator::evidence())
        .route("/events", get(events::events))
        .route("/media/{producer}/{task_id}/{*name}", get(media::media))
        .fallback(|| async { ApiError::not_found("this path") });
    if operator {
        router = router
            .merge(operator::router())
            .layer(from_fn_with_state(site.clone(), headers::check_host));
    }
    router = router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).layer(from_fn(plain_errors));
    if !operator {
        router = router.layer(from_fn_with_state(site.clone(), headers::limit_rate));
    }
    router.layer(from_fn(headers::security)).with_state(site)
}

async fn other_method() -> ApiError {
    let detail = "this path does not support that method";
    ApiError::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// axum's own refusals (a body that is too large, a malformed query) get the form of all errors.
async fn plain_errors(
    request: Request<axum::body::Body>,
    next: axum::middleware::Next,
) -> Response {
    use axum::response::IntoResponse as _;
    let operators = matches!(
        request.uri().path(),
        "/livez" | "/readyz" | "/metrics" | "/status" | "/agreement"
    ) || request.uri().path().starts_with("/verdicts/")
        || request.uri().path().starts_with("/allowlists/");
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if operators || !is_text || !response.status().is_client_error() {
        return response;
    }
    let status = response.status();
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    ApiError::new(status, String::from_utf8_lossy(&text)).into_response()
}

/// Who may read the answers from other sites' pages. The operator's listener tells no site that the
/// operator did not name: what it knows may not be public.
fn cors(site: &Site, operator: bool) -> CorsLayer {
    let origins = &site.settings.cors_origins;
    let named = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let origin = match origins.is_empty() && !operator {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(named),
    };
    let signed = ["x-validator-hotkey", "x-signature", "x-timestamp"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(
            signed
                .into_iter()
                .chain([header::CONTENT_TYPE, header::IF_NONE_MATCH])
                .collect::<Vec<_>>(),
        )
        .expose_headers([header::ETAG])
        .max_age(PREFLIGHT_FOR)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::site::SiteSettings;
    use crate::source::Start;
    use crate::testing::{MemorySource, Scale, subnet};

    #[tokio::test]
    async fn every_answer_names_the_step_of_the_start_until_the_validator_runs() {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into(), "LEOMA_HTTP_LISTEN").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (start, progress) = Start::new("reading the hotkey");
        let stop = CancellationToken::new();
        let site = Site::new(progress, SiteSettings::default(), stop.clone());
        let server = tokio::spawn(serve(listener, site, Audience::Operator));
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
        let detail = "{\"detail\":\"starting: connecting to the chain\"}";
        assert_eq!(get("/overview").await, (503, detail.to_owned()));
        let (status, page) = get("/").await;
        assert!(status == 503 && page.contains("connecting to the chain"), "{page}");

        start.finish(MemorySource::new(subnet(Scale { miners: 2, tasks: 2, validators: 2 })));
        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get("/readyz").await, (503, "[-] mesh: 0 of 3 peers\nnot ready\n".to_owned()));
        let verbose = "[+] chain: block 7\n[-] mesh: 0 of 3 peers\nnot ready\n";
        assert_eq!(get("/readyz?verbose").await, (503, verbose.to_owned()));
        assert_eq!(get("/metrics").await, (200, "# EOF\n".to_owned()));
        assert_eq!(get("/status").await, (200, "{\"ready\":false}".to_owned()));
        assert_eq!(get("/agreement").await, (503, "the mesh has stopped".to_owned()));
        assert_eq!(get("/verdicts/7/5F").await, (200, "{}".to_owned()));
        assert_eq!(get("/verdicts/8/5F").await.0, 404);
        assert_eq!(get("/overview").await.0, 200);

        // A reader that follows the head does not hold up the stop.
        let following = client.get(format!("http://{address}/events")).send().await.unwrap();
        assert_eq!(following.status(), 200);
        stop.cancel();
        server.await.unwrap().unwrap();
    }
}

//! Headers that every answer has, ETags, and the limit per address.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use crate::access::{asked_host, is_trusted_host};
use crate::listener::Peer;
use crate::site::{ApiError, Site};

/// Largest answer but for videos. The largest paths have a thousand rows of some kilobytes.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Scripts, styles, pictures and videos come from this host only, and nothing is inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Adds the security headers that an answer does not set itself.
pub(crate) async fn security(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Refuses requests to the operator's listener under a name that may be a stranger's.
pub(crate) async fn check_host(State(site): State<Site>, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    let asked = asked_host(request.uri(), header).map(std::str::from_utf8);
    let trusted = match asked {
        // Only a browser can be led here under another name, and a browser always sends it.
        None => true,
        Some(Ok(host)) => is_trusted_host(host, &site.settings.hosts),
        Some(Err(_)) => false,
    };
    if trusted {
        return next.run(request).await;
    }
    let detail = "this listener does not accept that host name: use the address or `localhost`, \
        or add it to LEOMA_HTTP_HOSTS";
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

/// Refuses addresses that ask too often.
pub(crate) async fn limit_rate(
    State(site): State<Site>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let address = client_of(peer.ip(), request.headers());
    if site.rate.admit(address, (site.clock)()) {
        return next.run(request).await;
    }
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many requests: slow down");
    error.retry_after(1).into_response()
}

/// A proxy on this machine says for whom it asks: the last address, which it added itself.
pub(crate) fn client_of(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    // A listener on `[::]` sees 127.0.0.1 as an address of IPv6.
    let peer = peer.to_canonical();
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    last.and_then(|address| address.trim().parse().ok()).unwrap_or(peer)
}

/// Gives an answer an ETag of its bytes, and answers 304 to whoever has them.
pub(crate) async fn etag(request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_ANSWER_BYTES).await else {
        let detail = "the answer is too large: ask for fewer rows with `limit`";
        return ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
    let Ok(tag) = HeaderValue::from_str(&tag) else { return StatusCode::OK.into_response() };
    parts.headers.insert(header::ETAG, tag.clone());
    parts.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    if known.is_some_and(|known| has(&known, &tag)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether a list of tags, some of which a proxy may have marked weak, names this one.
fn has(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_on_this_machine_may_name_another_address() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.7, 198.51.100.9"));
        let [loopback, stranger, named] = ["127.0.0.1", "203.0.113.5", "198.51.100.9"]
            .map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(client_of(loopback, &headers), named);
        for loopback in ["::1", "::ffff:127.0.0.1"] {
            assert_eq!(client_of(loopback.parse().unwrap(), &headers), named, "{loopback}");
        }
        assert_eq!(client_of(stranger, &headers), stranger);
        assert_eq!(client_of(loopback, &HeaderMap::new()), loopback);
    }
}

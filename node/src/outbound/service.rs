//! The one HTTP client for outside services: bounded bodies, bounded retries, and one error that
//! says whose fault it is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use leoma_storage::RetryPolicy;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};

/// Longest time to reach a service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most redirects of one request.
const MAX_REDIRECTS: usize = 3;

/// A service, and what one answer of it may cost.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// What errors and logs call it, such as "the Chutes API".
    pub name: &'static str,
    /// The setting that holds our key.
    pub key_setting: &'static str,
    /// Longest answer in bytes.
    pub max_bytes: usize,
    /// How often and how long it is asked.
    pub retry: RetryPolicy,
    /// Its own word for an error, from the error's body; empty where it has none.
    pub error_code: fn(&[u8]) -> String,
}

impl Service {
    /// A service that answers with a small document: three attempts, as a blip passes within two
    /// retries and an outage does not pass within ten.
    pub(crate) const fn api(
        name: &'static str,
        key_setting: &'static str,
        max_bytes: usize,
    ) -> Self {
        let retry = RetryPolicy {
            attempts: 3,
            attempt_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(100),
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(8),
        };
        Self { name, key_setting, max_bytes, retry, error_code: |_| String::new() }
    }
}

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// The service says that there is no such thing, or that the request is wrong: an answer about
    /// the thing asked for.
    #[error("{service} answered {status}")]
    Refused {
        service: &'static str,
        status: u16,
        /// Its own word for it, or nothing.
        code: String,
    },
    /// Our key is not accepted.
    #[error("{service} does not accept our key (HTTP {status}): check {setting}")]
    Unauthorised {
        service: &'static str,
        status: u16,
        setting: &'static str,
        /// Its own word for it, or nothing.
        code: String,
    },
    /// Too busy, broken or out of reach: says nothing about the thing asked for.
    #[error("{service} is unavailable after {attempts} attempts: {reason}")]
    Unavailable { service: &'static str, attempts: u32, reason: String },
    /// An answer that cannot be read.
    #[error("{service} gave an answer that cannot be read: {reason}")]
    Unreadable { service: &'static str, reason: String },
}

impl ServiceError {
    /// What was asked for cannot even be named in a request.
    pub(crate) fn not_found(service: &Service) -> Self {
        Self::Refused { service: service.name, status: 404, code: String::new() }
    }

    pub(crate) fn unreadable(service: &Service, reason: &str) -> Self {
        Self::Unreadable { service: service.name, reason: reason.to_owned() }
    }
}

/// An HTTP client for all services: no redirects to other hosts, no idle connection kept for ever.
///
/// # Errors
/// The TLS set-up's error.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(60))
        .redirect(redirect::Policy::custom(within_the_host))
        .user_agent(concat!("leoma/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Another host would be sent our keys, and so would everyone on the way to an unencrypted one.
fn within_the_host(redirect: redirect::Attempt<'_>) -> redirect::Action {
    let (asked, url) = (&redirect.previous()[0], redirect.url());
    let is_safe = url.scheme() == asked.scheme() || url.scheme() == "https";
    if redirect.previous().len() > MAX_REDIRECTS {
        redirect.error("too many redirects")
    } else if is_safe && url.host_str() == asked.host_str() {
        redirect.follow()
    } else {
        redirect.stop()
    }
}

/// Asks a service, again on faults that may pass, and returns the answer's body.
pub(crate) async fn ask(
    service: &Service,
    request: impl Fn() -> RequestBuilder,
) -> Result<Bytes, ServiceError> {
    let mut attempts = service.retry.begin();
    loop {
        let time = attempts.start();
        let (reason, wait) = match ask_once(service, request().timeout(time)).await {
            Ok(body) => return Ok(body),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing { reason, wait }) => (reason, wait),
        };
        let (name, attempt) = (service.name, attempts.made());
        tracing::debug!(service = name, attempt, reason, "attempt failed");
        if !attempts.pause(wait).await {
            return Err(ServiceError::Unavailable { service: name, attempts: attempt, reason });
        }
    }
}

/// Why one attempt has no usable answer.
enum Failure {
    /// Another attempt may end differently, after the pause that the service named.
    Passing {
        reason: String,
        wait: Option<Duration>,
    },
    Final(ServiceError),
}

async fn ask_once(service: &Service, request: RequestBuilder) -> Result<Bytes, Failure> {
    let Service { name, key_setting: setting, max_bytes, .. } = *service;
    let passing = |reason| Failure::Passing { reason, wait: None };
    let response = request.send().await.map_err(|error| passing(fault_of(&error)))?;
    let status = response.status();
    let wait = named_pause(response.headers());
    let body = match bounded_body(response, max_bytes).await {
        Ok(body) => body,
        // An error's body is good for nothing but its code.
        Err(_) if !status.is_success() => Bytes::new(),
        Err(BodyError::Broken(reason)) => return Err(passing(reason)),
        Err(BodyError::TooLarge) => {
            let reason = format!("over {max_bytes} bytes");
            return Err(Failure::Final(ServiceError::Unreadable { service: name, reason }));
        }
    };
    if status.is_success() {
        return Ok(body);
    }
    let (code, number) = ((service.error_code)(&body), status.as_u16());
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {}
        _ if status.is_server_error() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let error = ServiceError::Unauthorised { service: name, status: number, setting, code };
            return Err(Failure::Final(error));
        }
        _ => {
            let error = ServiceError::Refused { service: name, status: number, code };
            return Err(Failure::Final(error));
        }
    }
    Err(Failure::Passing { reason: format!("HTTP {number} {code}").trim_end().to_owned(), wait })
}

fn named_pause(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// More bytes than allowed, whatever its headers said.
    TooLarge,
    /// The connection broke or timed out.
    Broken(String),
}

/// Reads a body of at most `max_bytes`.
pub(crate) async fn bounded_body(
    mut response: reqwest::Response,
    max_bytes: usize,
) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max_bytes => {
                return Err(BodyError::TooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(BodyError::Broken(fault_of(&error))),
        }
    }
}

/// What went wrong, without the address: it may hold a key.
pub(crate) fn fault_of(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the request failed"
    };
    kind.to_owned()
}

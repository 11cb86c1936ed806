//! The HTTP client for outside services: bounded bodies, bounded retries, and errors that tell our
//! fault from the service's.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, RequestBuilder, StatusCode};

/// Attempts at one request: a blip passes within two retries, an outage does not within ten.
const MAX_TRIES: u32 = 3;
/// Pause before the second attempt; doubled before the third.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for an answer of a service's API; video generation has a limit of its own.
const API_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request got no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// The service refused the request, for instance because the model does not exist. This says
    /// something about the thing asked for.
    #[error("{service} answered {status}")]
    Refused {
        /// Whose answer.
        service: &'static str,
        /// Its HTTP status.
        status: u16,
    },
    /// The service does not accept our key.
    #[error("{service} does not accept our key (HTTP {status}): check {setting}")]
    Unauthorised {
        /// Whose answer.
        service: &'static str,
        /// Its HTTP status.
        status: u16,
        /// The setting that holds the key.
        setting: &'static str,
    },
    /// The service is busy, broken or out of reach. This says nothing about the thing asked for.
    #[error("{service} is unavailable: {reason}")]
    Unavailable {
        /// Which service.
        service: &'static str,
        /// What was seen.
        reason: String,
    },
    /// The answer cannot be read.
    #[error("{service} gave an unreadable answer: {reason}")]
    Unreadable {
        /// Which service.
        service: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// An HTTP client for all services. It follows at most three redirects and closes idle connections.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::limited(3))
        .user_agent(concat!("leoma/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Sends a request to a service's API and reads the answer; retries faults that may pass.
///
/// # Errors
/// [`ServiceError`].
pub(crate) async fn ask(
    service: &'static str,
    key_setting: &'static str,
    max_bytes: usize,
    request: impl Fn() -> RequestBuilder,
) -> Result<Bytes, ServiceError> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        match ask_once(service, key_setting, max_bytes, request()).await {
            Err(ServiceError::Unavailable { .. }) if tries < MAX_TRIES => {
                // Jitter keeps validators that failed together from retrying together.
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
                pause *= 2;
                tries += 1;
            }
            done => return done,
        }
    }
}

async fn ask_once(
    service: &'static str,
    setting: &'static str,
    max_bytes: usize,
    request: RequestBuilder,
) -> Result<Bytes, ServiceError> {
    let unavailable =
        |error: &reqwest::Error| ServiceError::Unavailable { service, reason: fault_of(error) };
    let response =
        request.timeout(API_TIMEOUT).send().await.map_err(|error| unavailable(&error))?;
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(ServiceError::Unauthorised { service, status: status.as_u16(), setting });
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            return Err(ServiceError::Unavailable {
                service,
                reason: format!("HTTP {}", status.as_u16()),
            });
        }
        _ if status.is_server_error() => {
            return Err(ServiceError::Unavailable {
                service,
                reason: format!("HTTP {}", status.as_u16()),
            });
        }
        _ if !status.is_success() => {
            return Err(ServiceError::Refused { service, status: status.as_u16() });
        }
        _ => {}
    }
    match bounded_body(response, max_bytes).await {
        Ok(body) => Ok(body),
        Err(BodyError::TooLarge) => Err(ServiceError::Unreadable { service, reason: "too large" }),
        Err(BodyError::Broken(reason)) => Err(ServiceError::Unavailable { service, reason }),
    }
}

/// Why a body was not read to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has more bytes than allowed.
    TooLarge,
    /// The connection broke or timed out.
    Broken(String),
}

/// Reads a body of at most `max_bytes`.
///
/// # Errors
/// [`BodyError`].
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

/// The kind of a fault, without the address, which may hold a key.
#[must_use]
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

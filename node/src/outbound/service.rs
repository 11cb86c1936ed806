//! One question to an outside service: bounded bodies, bounded retries, pauses as long as the
//! service asks for, and one error that says what its answer is about.

use std::error::Error;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use leoma_scoring::judge::{is_daily_quota, retry_delay};
use leoma_storage::{NoPublicAddress, RetryPolicy};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};

use super::{OutOfReach, Pace};

/// A time until a limit ends is never as long; a Unix time is never as short since 2001.
const LEAST_UNIX_TIME: Duration = Duration::from_secs(1_000_000_000);
/// Longest word or message of a service that is kept.
const MAX_CODE_CHARS: usize = 120;

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
    /// Our key or our account is refused, for this thing or for all.
    #[error("{service} does not accept our key (HTTP {status} {code}): check {setting}")]
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

    /// Its address must not be reached.
    pub(crate) fn out_of_reach(service: &Service, error: &OutOfReach) -> Self {
        Self::Unavailable { service: service.name, attempts: 0, reason: error.to_string() }
    }

    pub(crate) fn unreadable(service: &Service, reason: &str) -> Self {
        Self::Unreadable { service: service.name, reason: reason.to_owned() }
    }
}

/// Asks a service, retries on faults that may pass, and returns the answer's body.
pub(crate) async fn ask(
    service: &Service,
    request: impl Fn() -> RequestBuilder,
) -> Result<Bytes, ServiceError> {
    ask_at(service, None, request).await
}

/// [`ask`], no faster than `pace`, which rests when the service says so.
pub(crate) async fn ask_paced(
    service: &Service,
    pace: &Pace,
    request: impl Fn() -> RequestBuilder,
) -> Result<Bytes, ServiceError> {
    ask_at(service, Some(pace), request).await
}

async fn ask_at(
    service: &Service,
    pace: Option<&Pace>,
    request: impl Fn() -> RequestBuilder,
) -> Result<Bytes, ServiceError> {
    let mut attempts = service.retry.begin();
    loop {
        if let Some(pace) = pace {
            let rest = pace.rests_for();
            if rest > service.retry.deadline {
                let reason = format!("it asked us to wait, for {} s more", rest.as_secs());
                let attempts = attempts.made();
                return Err(ServiceError::Unavailable { service: service.name, attempts, reason });
            }
            pace.wait().await;
        }
        let time = attempts.start();
        let (reason, wait) = match ask_once(service, pace, request().timeout(time)).await {
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

async fn ask_once(
    service: &Service,
    pace: Option<&Pace>,
    request: RequestBuilder,
) -> Result<Bytes, Failure> {
    let Service { name, key_setting: setting, max_bytes, .. } = *service;
    let passing = |reason| Failure::Passing { reason, wait: None };
    let response = request.send().await.map_err(|error| passing(fault_of(&error)))?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = match bounded_body(response, max_bytes).await {
        Ok(body) => body,
        // Only the code in an error's body is used.
        Err(_) if !status.is_success() => Bytes::new(),
        Err(BodyError::Broken(reason)) => return Err(passing(reason)),
        Err(BodyError::TooLarge) => {
            let reason = format!("over {max_bytes} bytes");
            return Err(Failure::Final(ServiceError::Unreadable { service: name, reason }));
        }
    };
    let wait = named_pause(&headers, &body);
    if let (Some(pace), Some(rest)) = (pace, used_up(&headers).or(wait)) {
        pace.rest(rest);
    }
    if status.is_success() {
        return Ok(body);
    }
    let (code, number) = (error_code(service, &headers, &body), status.as_u16());
    match status {
        // A daily quota is not renewed within our patience.
        StatusCode::TOO_MANY_REQUESTS if is_daily_quota(&code) => {
            let reason = format!("HTTP {number} {code}");
            let error = ServiceError::Unavailable { service: name, attempts: 1, reason };
            return Err(Failure::Final(error));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {}
        _ if status.is_server_error() => {}
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
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

/// The service's own word for an error: a header's, else the body's, else a header's message.
fn error_code(service: &Service, headers: &HeaderMap, body: &[u8]) -> String {
    let header = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        let kept: String = text.chars().take(MAX_CODE_CHARS).collect();
        (!kept.is_empty()).then_some(kept)
    };
    header("x-error-code")
        .or_else(|| Some((service.error_code)(body)).filter(|code| !code.is_empty()))
        .or_else(|| header("x-error-message"))
        .unwrap_or_default()
}

/// How long the service wants us to wait, wherever it says so: `Retry-After` in seconds or as a
/// date, headers about a rate with nothing remaining, or `RetryInfo` in the body of a Google API.
pub(crate) fn named_pause(headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    retry_after
        .and_then(|text| pause_in(text, SystemTime::now()))
        .or_else(|| used_up(headers))
        .or_else(|| retry_delay(body))
}

/// A `Retry-After` of seconds, or of the date until which to wait.
fn pause_in(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let date = |text| httpdate::parse_http_date(text).ok();
    seconds_in(text).or_else(|| Some(date(text)?.duration_since(now).unwrap_or_default()))
}

/// Seconds, whole or with a fraction.
fn seconds_in(text: &str) -> Option<Duration> {
    let whole = text.parse().map(Duration::from_secs).ok();
    whole.or_else(|| Duration::try_from_secs_f64(text.parse().ok()?).ok())
}

/// How long there will be no requests left, where there are none now.
fn used_up(headers: &HeaderMap) -> Option<Duration> {
    used_up_in_one(headers)
        .or_else(|| used_up_in_two(headers, "ratelimit-"))
        .or_else(|| used_up_in_two(headers, "x-ratelimit-"))
}

/// `x-ratelimit-remaining: 0` beside `x-ratelimit-reset`, which is in seconds, or a Unix time in
/// seconds or milliseconds.
fn used_up_in_two(headers: &HeaderMap, prefix: &str) -> Option<Duration> {
    let value = |name: &str| headers.get(format!("{prefix}{name}"))?.to_str().ok();
    let left = seconds_in(value("remaining")?.trim())?;
    let reset = seconds_in(value("reset")?.trim())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let pause = if reset < LEAST_UNIX_TIME {
        reset
    } else if reset < LEAST_UNIX_TIME * 1000 {
        reset.saturating_sub(now)
    } else {
        (reset / 1000).saturating_sub(now)
    };
    left.is_zero().then_some(pause)
}

/// The `t` of `ratelimit: "api";r=0;t=55`: seconds until there are requests again, where there are
/// none left.
fn used_up_in_one(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("ratelimit")?.to_str().ok()?;
    let number = |name: &str| {
        let named = |part: &str| part.trim().strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        text.split([';', ',']).find_map(named)
    };
    let left: u64 = number("r").or_else(|| number("remaining"))?;
    let seconds: u64 = number("t").or_else(|| number("reset"))?;
    (left == 0).then(|| Duration::from_secs(seconds))
}

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyError {
    /// More bytes than allowed, whatever its headers said.
    TooLarge,
    /// The connection broke or timed out.
    Broken(String),
}

/// Reads a body of at most `max_bytes`.
async fn bounded_body(
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
    let kind = if is_out_of_reach(error) {
        "its name has no public address"
    } else if error.is_timeout() {
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

/// Whether the resolver found nothing but private addresses.
fn is_out_of_reach(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<NoPublicAddress>() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn g5_h5_a_pause_is_read_wherever_a_service_names_it() {
        let seconds = |fields: &[(&'static str, &str)], body: &str| {
            named_pause(&headers(fields), body.as_bytes()).map(|pause| pause.as_secs())
        };
        assert_eq!(seconds(&[("retry-after", "12")], ""), Some(12));
        let fraction = named_pause(&headers(&[("retry-after", " 1.5")]), b"");
        assert_eq!(fraction, Some(Duration::from_millis(1500)));
        for odd in ["-1.5", "1e400", "NaN", "inf", "1.5s", ""] {
            assert_eq!(seconds(&[("retry-after", odd)], ""), None, "{odd}");
        }
        assert_eq!(seconds(&[("ratelimit", "\"api\";r=0;t=55")], ""), Some(55));
        assert_eq!(seconds(&[("ratelimit", "limit=500, remaining=0, reset=7")], ""), Some(7));
        assert_eq!(seconds(&[("ratelimit", "\"api\";r=3;t=55")], ""), None);
        for [remaining, reset] in [
            ["x-ratelimit-remaining", "x-ratelimit-reset"],
            ["ratelimit-remaining", "ratelimit-reset"],
        ] {
            assert_eq!(seconds(&[(remaining, "0"), (reset, "7.5")], ""), Some(7));
            assert_eq!(seconds(&[(remaining, "3"), (reset, "7")], ""), None);
            assert_eq!(seconds(&[(remaining, "0")], ""), None);
            assert_eq!(seconds(&[(reset, "7")], ""), None);
            assert_eq!(seconds(&[(remaining, "none"), (reset, "7")], ""), None);
            // The Unix time at which there are requests again.
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            for later in [(at + 90).to_string(), ((at + 90) * 1000).to_string()] {
                let pause = seconds(&[(remaining, "0"), (reset, &later)], "").unwrap();
                assert!((80..=90).contains(&pause), "{pause}");
            }
            assert_eq!(seconds(&[(remaining, "0"), (reset, "1700000000")], ""), Some(0));
        }
        let delay = |text: &str| {
            let detail = serde_json::json!({"@type": "RetryInfo", "retryDelay": text});
            serde_json::json!({"error": {"details": [{"x": 1}, detail]}}).to_string()
        };
        assert_eq!(seconds(&[], &delay("38s")), Some(38));
        assert_eq!(seconds(&[], &format!("[{}]", delay("38s"))), Some(38));
        assert_eq!(seconds(&[], &delay("36.429760048s")), Some(36));
        for odd in ["soon", "-1s", "1e400s", "s"] {
            assert_eq!(seconds(&[], &delay(odd)), None, "{odd}");
        }
        assert_eq!(seconds(&[("retry-after", "never")], "<html>"), None);
        let now = SystemTime::now();
        let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
        let pause = pause_in(&date, now).unwrap();
        assert!((89..=90).contains(&pause.as_secs()), "{pause:?}");
        assert_eq!(pause_in("Thu, 01 Jan 1970 00:00:00 GMT", now), Some(Duration::ZERO));
    }

    #[test]
    fn the_headers_word_comes_before_the_bodys() {
        let service = Service {
            error_code: |body| String::from_utf8_lossy(body).into_owned(),
            ..Service::api("a service", "A_KEY", 1)
        };
        let code = |fields: &[(&'static str, &str)], body: &[u8]| {
            error_code(&service, &headers(fields), body)
        };
        let both = [("x-error-code", "GatedRepo"), ("x-error-message", "Access is restricted")];
        assert_eq!(code(&both, b"body"), "GatedRepo");
        assert_eq!(code(&both[1..], b"body"), "body");
        assert_eq!(code(&both[1..], b""), "Access is restricted");
        assert_eq!(code(&[], b""), "");
    }
}

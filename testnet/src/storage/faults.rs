//! Faults on request: what a real store does on a bad day, on the next requests or on a share of
//! them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use rand::Rng;
use s3s::{Body, HttpResponse, S3Error, S3ErrorCode};
use serde::{Deserialize, Serialize};

/// Most rules at a time; a scenario has a handful.
const MAX_RULES: usize = 64;
/// Time for half a body to arrive before the connection breaks: otherwise the break overtakes it.
const FLUSH: Duration = Duration::from_millis(50);
/// Longest delay of an answer, in milliseconds: longer than any client waits.
const MAX_DELAY_MS: u64 = 600_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 409, nothing done: two writers at a time, as S3 answers them.
    Conflict,
    /// 429, nothing done: R2's limit of one write per second and key.
    TooManyRequests,
    /// 500, nothing done.
    InternalError,
    /// 507, nothing done.
    DiskFull,
    /// Done, and answered after `delay_ms`.
    Slow,
    /// Done, with half of the answer's body before the connection breaks.
    Truncated,
    /// Done, and answered with 500 after `delay_ms`: the client cannot know.
    LostAnswer,
}

impl FaultKind {
    fn is_before(self) -> bool {
        matches!(
            self,
            Self::Conflict | Self::TooManyRequests | Self::InternalError | Self::DiskFull
        )
    }
}

/// A rule: which requests meet which fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only requests to this bucket; all buckets if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Only requests with this method, such as `PUT`; all methods if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The number of requests that meet it; without end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The share of matching requests that meet it, in percent; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// How long the answer takes, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

impl Fault {
    /// The next `count` requests, whatever they are.
    #[must_use]
    pub fn next(kind: FaultKind, count: u32) -> Self {
        Self { count: Some(count), ..Self::always(kind) }
    }

    /// All requests until [`Faults::clear`].
    #[must_use]
    pub fn always(kind: FaultKind) -> Self {
        Self {
            kind,
            bucket: None,
            method: None,
            path: None,
            count: None,
            percent: None,
            delay_ms: 0,
        }
    }

    /// Only requests with this method.
    #[must_use]
    pub fn on(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    /// Only requests to this bucket.
    #[must_use]
    pub fn of_bucket(self, bucket: &str) -> Self {
        Self { bucket: Some(bucket.to_owned()), ..self }
    }

    /// Answers after `delay`.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay_ms: u64::try_from(delay.as_millis()).unwrap_or(MAX_DELAY_MS), ..self }
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        let bucket = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        self.bucket.as_deref().is_none_or(|wanted| wanted == bucket)
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|wanted| path.contains(wanted))
    }
}

/// A rule that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// More rules than a scenario needs.
    #[error("there are already {MAX_RULES} faults; clear them first")]
    TooMany,
    /// A share beyond all requests.
    #[error("percent must be 0 to 100, not {0}")]
    Percent(u8),
    /// A delay beyond what any client waits for.
    #[error("delay_ms must be at most {MAX_DELAY_MS}, not {0}")]
    Delay(u64),
}

#[derive(Debug, Default)]
struct Rules {
    faults: Vec<Fault>,
    met: HashMap<FaultKind, u64>,
    requests: u64,
}

/// A server's faults; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Rules>>);

impl Faults {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule. The earliest rule that matches a request is applied to it.
    ///
    /// # Errors
    /// [`FaultError`] names the field that is out of bounds.
    pub fn inject(&self, fault: Fault) -> Result<(), FaultError> {
        if let Some(percent) = fault.percent.filter(|percent| *percent > 100) {
            return Err(FaultError::Percent(percent));
        }
        if fault.delay_ms > MAX_DELAY_MS {
            return Err(FaultError::Delay(fault.delay_ms));
        }
        let mut rules = self.rules();
        if rules.faults.len() >= MAX_RULES {
            return Err(FaultError::TooMany);
        }
        rules.faults.push(fault);
        Ok(())
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules().faults.clear();
    }

    /// The rules in force, with the counts that are left.
    pub fn list(&self) -> Vec<Fault> {
        self.rules().faults.clone()
    }

    /// How many requests met a fault of this kind since the server started.
    pub fn met(&self, kind: FaultKind) -> u64 {
        self.rules().met.get(&kind).copied().unwrap_or_default()
    }

    /// How many requests the server got since it started.
    pub fn requests(&self) -> u64 {
        self.rules().requests
    }

    /// Counts a request, and takes the fault that it meets.
    pub(super) fn take(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules();
        rules.requests += 1;
        let drawn = rand::rng().random_range(0..100);
        let hit = |fault: &Fault| {
            fault.matches(method, path) && fault.percent.is_none_or(|percent| drawn < percent)
        };
        let index = rules.faults.iter().position(hit)?;
        let fault = rules.faults[index].clone();
        *rules.met.entry(fault.kind).or_default() += 1;
        match rules.faults[index].count.as_mut() {
            Some(left) if *left > 1 => *left -= 1,
            Some(_) => drop(rules.faults.remove(index)),
            None => {}
        }
        Some(fault)
    }
}

/// The answer in place of serving a request; `None` if the fault comes after it is served.
pub(super) async fn instead(fault: &Fault) -> Option<HttpResponse> {
    if !fault.kind.is_before() {
        return None;
    }
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    Some(error_response(fault.kind))
}

/// The answer to a request that was served, as the fault changes it.
pub(super) async fn afterwards(fault: &Fault, response: HttpResponse) -> HttpResponse {
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    match fault.kind {
        FaultKind::LostAnswer => error_response(FaultKind::InternalError),
        FaultKind::Truncated => truncated(response),
        _ => response,
    }
}

fn error_response(kind: FaultKind) -> HttpResponse {
    let (status, code) = match kind {
        FaultKind::Conflict => (409, S3ErrorCode::ConditionalRequestConflict),
        FaultKind::TooManyRequests => (429, S3ErrorCode::SlowDown),
        FaultKind::DiskFull => (507, S3ErrorCode::Custom("InsufficientStorage".into())),
        _ => (500, S3ErrorCode::InternalError),
    };
    let mut error = S3Error::with_message(code, "a fault that was ordered");
    if let Ok(status) = axum::http::StatusCode::from_u16(status) {
        error.set_status_code(status);
    }
    error.to_http_response().unwrap_or_else(|_| {
        let mut response = HttpResponse::new(Body::empty());
        *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

#[derive(Debug, thiserror::Error)]
#[error("the connection breaks here, as ordered")]
struct Broken;

/// Keeps the headers, so that the client expects the whole body, and breaks off after half of it.
fn truncated(response: HttpResponse) -> HttpResponse {
    response.map(|body| {
        let whole = body.map(|chunk| match chunk {
            Ok(bytes) => Ok(bytes.slice(..bytes.len() / 2)),
            Err(_) => Err(Broken),
        });
        let broken = whole.take(1).chain(stream::once(async {
            tokio::time::sleep(FLUSH).await;
            Err::<Bytes, _>(Broken)
        }));
        Body::http_body_unsync(axum::body::Body::from_stream(broken))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_apply_to_what_they_name_and_run_out() {
        let faults = Faults::default();
        faults
            .inject(Fault::next(FaultKind::Conflict, 2).on("PUT").of_bucket("leoma-one"))
            .unwrap();
        assert_eq!(faults.take("GET", "/leoma-one/key"), None);
        assert_eq!(faults.take("PUT", "/leoma-two/key"), None);
        assert!(faults.take("PUT", "/leoma-one/key").is_some());
        assert!(faults.take("put", "/leoma-one/key").is_some());
        assert_eq!(faults.take("PUT", "/leoma-one/key"), None);
        assert_eq!((faults.met(FaultKind::Conflict), faults.requests()), (2, 5));
        assert!(faults.list().is_empty());
    }

    #[test]
    fn rules_are_bounded() {
        let faults = Faults::default();
        let always = Fault::always(FaultKind::Slow);
        assert!(faults.inject(Fault { percent: Some(101), ..always.clone() }).is_err());
        assert!(faults.inject(Fault { delay_ms: u64::MAX, ..always.clone() }).is_err());
        for _ in 0..MAX_RULES {
            faults.inject(always.clone()).unwrap();
        }
        assert_eq!(faults.inject(always), Err(FaultError::TooMany));
        faults.clear();
        faults.inject(Fault { percent: Some(0), ..Fault::always(FaultKind::Slow) }).unwrap();
        assert_eq!(faults.take("GET", "/"), None);
    }

    #[test]
    fn a_rule_is_written_as_in_the_documents() {
        let fault: Fault = serde_json::from_str(
            r#"{"kind":"too_many_requests","bucket":"leoma-one","percent":30}"#,
        )
        .unwrap();
        assert_eq!((fault.kind, fault.percent), (FaultKind::TooManyRequests, Some(30)));
        assert!(serde_json::from_str::<Fault>(r#"{"kind":"gremlins"}"#).is_err());
    }
}

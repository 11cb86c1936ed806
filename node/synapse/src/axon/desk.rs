//! One request, from its headers to its answer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use leoma_protocol::synapse::{
    AxonStamp, Fields, Refusal, RequestHead, SynapseAnswer, SynapseClass, VerifiedHead,
};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::places::Place;
use super::{Axon, Call, Forward};
use crate::bounded::{self, BodyEnd};
use crate::clock;

/// How much of a body is read and dropped whose request is refused before its turn comes: a caller
/// that is still writing reads no answer, and would take the refusal for a broken connection.
const DISCARDED_BYTES: usize = 64 * 1024;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_millis(500);

impl Axon {
    /// Answers a request, whatever it is.
    pub(super) async fn respond(self: Arc<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let mut body = Some(body);
        let path = parts.uri.path();
        match self.handle(path, &parts.method, &parts.headers, &mut body).await {
            Ok((answer, place)) => response(answer, Some(place)),
            Err(refusal) => {
                discard(&mut body).await;
                tracing::debug!(status = refusal.status(), %refusal, "refused a request");
                response(SynapseAnswer::refused(&refusal), None)
            }
        }
    }

    async fn handle(
        &self,
        path: &str,
        method: &Method,
        headers: &HeaderMap,
        body: &mut Option<Body>,
    ) -> Result<(SynapseAnswer, Place), Refusal> {
        let begun = Instant::now();
        let (class, forward) = self.route_of(path).ok_or(Refusal::UnknownSynapse)?;
        if *method != Method::POST {
            return Err(Refusal::Method);
        }
        let head = self.check_head(class, headers)?;
        let deadline = begun + head.timeout().min(self.limits.longest_timeout);
        let place = self.places.enter(head.caller(), deadline).await?;
        let fields = self.read_body(class, &head, body.take().unwrap_or_default()).await?;
        let call = Call {
            caller: head.caller(),
            fields: fields.clone(),
            remaining: deadline.saturating_duration_since(Instant::now()),
        };
        let filled = self.forward(forward, call, deadline).await?;
        let stamp =
            AxonStamp { nonce: clock::now(), uuid: self.uuid.clone(), took: begun.elapsed() };
        let answer = SynapseAnswer::filled(class, &head, &fields, &filled, &stamp, &self.signer);
        let answer = answer.map_err(|error| {
            tracing::error!(synapse = class.name, %error, "an answer does not fit its synapse");
            Refusal::Failed
        })?;
        Ok((answer, place))
    }

    fn route_of(&self, path: &str) -> Option<&(SynapseClass, Arc<dyn Forward>)> {
        self.routes.get(path.strip_prefix('/')?)
    }

    /// Checks everything that the headers must show. Cheap checks come first; the signature check
    /// is the last but one.
    fn check_head(
        &self,
        class: &SynapseClass,
        headers: &HeaderMap,
    ) -> Result<VerifiedHead, Refusal> {
        let now = clock::now();
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let head = RequestHead::read(class, &self.hotkey, pairs)?;
        (self.serves)(&head.claimed_caller()).map_err(Refusal::Forbidden)?;
        head.check_fresh(now, self.limits.longest_timeout)?;
        let head = head.verify(&self.hotkey)?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.take(&head, now)?;
        Ok(head)
    }

    async fn read_body(
        &self,
        class: &SynapseClass,
        head: &VerifiedHead,
        body: Body,
    ) -> Result<Fields, Refusal> {
        let limit = self.limits.body_bytes;
        let read = timeout(self.limits.body_time, bounded::read(body, limit)).await;
        let bytes = read.map_err(|_| Refusal::BodyTooSlow)?.map_err(|end| match end {
            BodyEnd::TooLarge => Refusal::BodyTooLarge { limit },
            BodyEnd::BrokeOff => Refusal::BodyBrokeOff,
        })?;
        let fields = class.read_body(&bytes)?;
        head.check_body(class, &fields)?;
        Ok(fields)
    }

    /// Runs in a task of its own, so that a panic fails only one caller's request.
    async fn forward(
        &self,
        forward: &Arc<dyn Forward>,
        call: Call,
        deadline: Instant,
    ) -> Result<Fields, Refusal> {
        let forward = Arc::clone(forward);
        let task = tokio::spawn(async move { forward.forward(call).await });
        match timeout_at(deadline, AbortOnDropHandle::new(task)).await {
            Ok(Ok(filled)) => filled,
            Ok(Err(error)) => {
                tracing::error!(%error, "answering a synapse panicked");
                Err(Refusal::Failed)
            }
            Err(_) => Err(Refusal::TimedOut),
        }
    }
}

/// Reads a short body that nobody has begun to read.
async fn discard(body: &mut Option<Body>) {
    let short = |body: &mut Body| {
        axum::body::HttpBody::size_hint(body)
            .upper()
            .is_some_and(|size| size <= DISCARDED_BYTES as u64)
    };
    if let Some(body) = body.take_if(short) {
        let _ = timeout(DISCARD_TIME, bounded::read(body, DISCARDED_BYTES)).await;
    }
}

/// The answer as HTTP. The place, if any, is held until the answer is written or the caller is
/// gone.
fn response(answer: SynapseAnswer, place: Option<Place>) -> Response {
    let length = answer.body.len();
    let bytes = Bytes::from(answer.body);
    let once = stream::unfold((Some(bytes), place), |(bytes, place)| async move {
        bytes.map(|bytes| (Ok::<_, std::convert::Infallible>(bytes), (None, place)))
    });
    let mut response = Response::new(Body::from_stream(once));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

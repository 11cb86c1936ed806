//! Gemini as a judge: `leoma_scoring::judge` says what it is asked and reads its replies; this
//! sends them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use leoma_protocol::python_json::Value;
use leoma_scoring::judge::{
    GeminiModel, JudgeAspects, MAX_REPLY_BYTES, Room, error_code, is_daily_quota,
};
use leoma_scoring::media::{Ffmpeg, Limits, MediaError, MediaFault, judge_copy, known_good_clip};
use leoma_scoring::{Aspects, JudgeError, JudgeRequest, Judgement, TaskType};
use leoma_storage::{RetryPolicy, Secret};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use super::{Service, ServiceError, ask};

/// One attempt uploads some megabytes and waits for a model. All of them have to leave time for
/// scoring: a task has to end in its window whichever service is down. For a grade the caller says
/// how long, and that is less.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 4,
    attempt_timeout: Duration::from_secs(75),
    deadline: Duration::from_secs(300),
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(16),
};
/// For the check before a start: someone waits for it.
const PROOF_RETRY: RetryPolicy = RetryPolicy {
    attempts: 2,
    attempt_timeout: Duration::from_secs(40),
    deadline: Duration::from_secs(50),
    ..RETRY
};
/// How long nothing is asked after a daily quota is used up: quotas are renewed once a day, and an
/// operator may raise one at any time.
const QUOTA_REST: Duration = Duration::from_secs(900);
const SERVICE: Service = Service {
    name: "Gemini",
    key_setting: "GEMINI_API_KEY",
    max_bytes: MAX_REPLY_BYTES,
    retry: RETRY,
    error_code,
};

/// A client of one model.
#[derive(Debug)]
pub(crate) struct Gemini {
    client: Client,
    model: GeminiModel,
    url: Url,
    key: HeaderValue,
    service: Service,
    /// The daily quota that was used up, and when.
    spent: Mutex<Option<(Instant, String)>>,
}

impl Gemini {
    /// Sends nothing yet. `base` is the service's address without a path.
    ///
    /// # Errors
    /// [`JudgeError::Settings`] where the base is not an http(s) address, or model or key cannot be
    /// part of a request.
    pub(crate) fn new(
        client: Client,
        base: &str,
        model: &str,
        key: &Secret,
    ) -> Result<Self, JudgeError> {
        let settings = |reason: &str| JudgeError::Settings { reason: reason.to_owned() };
        let model = GeminiModel::new(model)?;
        let url = Url::parse(&format!("{}/{}", base.trim_end_matches('/'), model.path()))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| settings("the base address is not of the form https://host"))?;
        let bad_key = "the key is empty or has characters that a header cannot carry";
        let mut key = HeaderValue::from_str(key.expose())
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| settings(bad_key))?;
        key.set_sensitive(true);
        Ok(Self { client, model, url, key, service: SERVICE, spent: Mutex::new(None) })
    }

    /// Names the judge in verdict files, e.g. `gemini:gemini-2.5-flash`.
    pub(crate) fn id(&self) -> String {
        self.model.id()
    }

    /// A prompt of 50 to 90 words for a clip of ours.
    ///
    /// # Errors
    /// The service could not be asked, or gave no usable answer.
    pub(crate) async fn describe(
        &self,
        clip_mp4: &[u8],
        task: TaskType,
    ) -> Result<String, JudgeError> {
        match self.described(clip_mp4, task).await {
            // Nothing was asked yet.
            Err(JudgeError::TooLarge { .. }) => {
                let copy = judges_copy(clip_mp4).await?;
                self.described(&copy, task).await
            }
            described => described,
        }
    }

    async fn described(&self, clip_mp4: &[u8], task: TaskType) -> Result<String, JudgeError> {
        let request = |room| self.model.description_request(clip_mp4, task, room);
        self.answered(RETRY.deadline, request, |reply| self.model.description(reply)).await
    }

    /// A grade, normalised and as it came. The judge is shown a copy of the video that holds its
    /// picture and nothing else, and fits into a request. It is waited for no longer than `within`.
    ///
    /// # Errors
    /// The service could not be asked, or gave no usable answer.
    pub(crate) async fn judge(
        &self,
        request: JudgeRequest<'_>,
        within: Duration,
    ) -> Result<Judgement, JudgeError> {
        let copy = judges_copy(request.video_mp4).await?;
        self.grade(JudgeRequest { video_mp4: &copy, ..request }, within).await
    }

    async fn grade(
        &self,
        request: JudgeRequest<'_>,
        within: Duration,
    ) -> Result<Judgement, JudgeError> {
        let body = |room| self.model.grading_request(&request, room);
        let read = |reply: &[u8]| {
            let judgement = self.model.judgement(reply, request.thresholds)?;
            if !has_a_grade(&judgement) {
                let reason = "its text holds no grade".to_owned();
                return Err(JudgeError::NoAnswer { judge: self.id(), reason });
            }
            Ok(judgement)
        };
        self.answered(within, body, read).await
    }

    /// Asks for a description of a known-good clip, and returns the model's own name. Success means
    /// that key, model, settings and quota are good.
    ///
    /// # Errors
    /// Whatever keeps answers from being judged.
    pub(crate) async fn prove(&self) -> Result<String, JudgeError> {
        let clip = copied(known_good_clip).await?;
        let impatient = Service { retry: PROOF_RETRY, ..self.service.clone() };
        let body = self.model.description_request(&clip, TaskType::Ti2v, Room::Usual)?;
        let reply = self.ask(&impatient, body).await?;
        self.model.description(&reply)?;
        Ok(self.model.name_in(&reply))
    }

    /// What `read` finds in the reply to `request`; asks once more, with more room, where that is
    /// nothing and time is left.
    async fn answered<T>(
        &self,
        within: Duration,
        request: impl Fn(Room) -> Result<Vec<u8>, JudgeError>,
        read: impl Fn(&[u8]) -> Result<T, JudgeError>,
    ) -> Result<T, JudgeError> {
        let deadline = self.service.retry.deadline.min(within);
        let service = |deadline| {
            let retry = RetryPolicy { deadline, ..self.service.retry };
            Service { retry, ..self.service.clone() }
        };
        let began = Instant::now();
        let answer = read(&self.ask(&service(deadline), request(Room::Usual)?).await?);
        let left = deadline.saturating_sub(began.elapsed());
        match answer {
            Err(JudgeError::NoAnswer { reason, .. }) if !left.is_zero() => {
                tracing::debug!(reason, "the judge gave no usable answer, asking once more");
                read(&self.ask(&service(left), request(Room::Ample)?).await?)
            }
            answer => answer,
        }
    }

    async fn ask(&self, service: &Service, body: Vec<u8>) -> Result<Bytes, JudgeError> {
        if let Some(quota) = self.spent_quota() {
            return Err(JudgeError::Quota { judge: self.id(), quota });
        }
        let body = Bytes::from(body);
        let request = || {
            let request =
                self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
            request.header("x-goog-api-key", self.key.clone()).body(body.clone())
        };
        ask(service, request).await.map_err(|error| self.judge_error(error))
    }

    /// The quota that was used up a short while ago.
    fn spent_quota(&self) -> Option<String> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, quota) = spent.as_ref().filter(|(since, _)| since.elapsed() < QUOTA_REST)?;
        Some(quota.clone())
    }

    fn judge_error(&self, error: ServiceError) -> JudgeError {
        let judge = self.id();
        match error {
            ServiceError::Refused { status, code, .. }
            | ServiceError::Unauthorised { status, code, .. } => {
                JudgeError::Refused { judge, status, code }
            }
            ServiceError::Unavailable { reason, .. } if is_daily_quota(&reason) => {
                let quota = reason;
                let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
                *spent = Some((Instant::now(), quota.clone()));
                JudgeError::Quota { judge, quota }
            }
            ServiceError::Unavailable { attempts, reason, .. } => {
                JudgeError::Unreachable { judge, attempts, reason }
            }
            ServiceError::Unreadable { reason, .. } => {
                JudgeError::Unreachable { judge, attempts: 1, reason }
            }
        }
    }
}

/// Whether a judge's answer holds an overall score or an aspect that is a number. A model that says
/// something else instead may do so about every video, and no miner gets 0 points for that. Where
/// all points are 0, only the text tells whether the judge gave them.
fn has_a_grade(judgement: &Judgement) -> bool {
    let answer = &judgement.answer;
    if answer.unreadable {
        return false;
    }
    if answer.overall_score > 0 || answer.aspect_scores != JudgeAspects::default() {
        return true;
    }
    // As the answer was read: what is between the first two fences, without the word `json`.
    let text = match judgement.raw.split("```").nth(1) {
        Some(fenced) => fenced.strip_prefix("json").unwrap_or(fenced),
        None => judgement.raw.as_str(),
    };
    // A text of many kilobytes was cut and cannot be read: such a judge is asked again.
    let Ok(value) = Value::parse(text.trim().as_bytes()) else { return false };
    let aspects = value.get("aspect_scores");
    let aspect = |name: &str| aspects.and_then(|aspects| aspects.get(name));
    is_number(value.get("overall_score"))
        || Aspects::NAMES.into_iter().any(|name| is_number(aspect(name)))
}

fn is_number(points: Option<&Value>) -> bool {
    let is_finite = |text: &str| text.trim().parse().is_ok_and(f64::is_finite);
    match points {
        Some(Value::Integer(integer)) => is_finite(integer.as_str()),
        Some(Value::Float(number)) => number.is_finite(),
        Some(text) => text.as_str().is_some_and(is_finite),
        None => false,
    }
}

/// The copy of a video that the judge is shown.
async fn judges_copy(video_mp4: &[u8]) -> Result<Vec<u8>, JudgeError> {
    let video = video_mp4.to_vec();
    copied(move |ffmpeg| judge_copy(ffmpeg, &video, &Limits::ANSWER)).await
}

/// A video that `make` makes with ffmpeg, away from the runtime's threads.
async fn copied(
    make: impl FnOnce(&Ffmpeg) -> Result<Vec<u8>, MediaError> + Send + 'static,
) -> Result<Vec<u8>, JudgeError> {
    let made = tokio::task::spawn_blocking(move || {
        let ffmpeg = Ffmpeg::find().map_err(MediaFault::from)?;
        make(&ffmpeg)
    });
    // A panic is caused by what is in the video.
    let panicked = |error: tokio::task::JoinError| JudgeError::Copy { reason: error.to_string() };
    made.await.map_err(panicked)?.map_err(|error| no_copy(&error))
}

/// Why there is no copy. What this machine lacks must not count against a miner: neither a bitrate
/// nor a codec keeps a video that decodes from being copied.
fn no_copy(error: &MediaError) -> JudgeError {
    let reason = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    match error {
        MediaError::Video(_) => JudgeError::Copy { reason },
        MediaError::Fault(_) => JudgeError::Machine { reason },
    }
}

#[cfg(test)]
mod tests;

//! Google's Gemini over its REST interface: `POST {base}/v1beta/models/{model}:generateContent`.

use super::prompts;
use crate::judge::{Judge, JudgeError, JudgeRequest, Judgement, TaskType};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The production address.
const DEFAULT_BASE: &str = "https://generativelanguage.googleapis.com";
/// A grade has a kilobyte or two; what is longer is not read.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The service takes 20 MB per request, which base64 leaves three quarters of.
const MAX_VIDEO_BYTES: usize = 14 << 20;
/// A task's prompt is under 100 words; a description beyond this is cut.
const MAX_DESCRIPTION_CHARS: usize = 2000;
/// The service samples one frame per second unless told otherwise; flicker needs all of them.
const FRAMES_PER_SECOND: u32 = 16;
/// Tokens for a description of 90 words, generously.
const DESCRIPTION_TOKENS: u32 = 400;
/// Tokens for the JSON of a grade with its lists.
const GRADE_TOKENS: u32 = 1024;
/// A longer name is no name.
const MAX_MODEL_CHARS: usize = 100;

/// A key that never shows.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes the key from configuration.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

/// Settings of the client.
#[derive(Debug, Clone)]
pub struct GeminiConfig {
    /// Where the service is, without a path.
    pub base: String,
    /// Model name, e.g. `gemini-2.5-flash`.
    pub model: String,
    /// The operator's key.
    pub key: ApiKey,
    /// For one attempt, upload and answer together.
    pub timeout: Duration,
    /// How often to ask before giving up.
    pub attempts: u32,
    /// Pause before the second attempt, half as long or one and a half times as long by chance; it
    /// doubles each time.
    pub backoff: Duration,
    /// For all attempts at one question: a task has to end in its window whoever is down.
    pub budget: Duration,
}

impl GeminiConfig {
    /// Production settings for a key.
    pub fn new(key: ApiKey) -> Self {
        Self {
            base: DEFAULT_BASE.to_owned(),
            model: "gemini-2.5-flash".to_owned(),
            key,
            timeout: Duration::from_secs(120),
            attempts: 4,
            backoff: Duration::from_secs(2),
            budget: Duration::from_secs(300),
        }
    }
}

/// The client.
#[derive(Debug, Clone)]
pub struct GeminiJudge {
    client: reqwest::Client,
    url: reqwest::Url,
    config: GeminiConfig,
}

/// What the service said.
struct Reply {
    text: String,
    model: String,
}

/// One attempt's failure.
enum Attempt {
    /// Worth another, after the service's own pause where it named one.
    Again { reason: String, pause: Option<Duration> },
    /// Not worth another.
    Final(JudgeError),
}

impl GeminiJudge {
    /// Builds the client; nothing is sent.
    ///
    /// # Errors
    /// [`JudgeError::Settings`] where the base is no http(s) address, or model or key cannot stand
    /// in a request.
    pub fn new(config: GeminiConfig) -> Result<Self, JudgeError> {
        let settings = |reason: String| JudgeError::Settings { reason };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if config.model.is_empty() || !config.model.chars().all(allowed) {
            return Err(settings(format!(
                "model {:?} is not of letters, digits, '-', '.' and '_'",
                config.model
            )));
        }
        let base = config.base.trim_end_matches('/');
        let url =
            reqwest::Url::parse(&format!("{base}/v1beta/models/{}:generateContent", config.model))
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .ok_or_else(|| {
                    settings("the base address is not of the form https://host".to_owned())
                })?;
        let mut key = HeaderValue::from_str(&config.key.0)
            .ok()
            .filter(|_| !config.key.0.is_empty())
            .ok_or_else(|| {
                settings("the key is empty or has characters that a header cannot carry".to_owned())
            })?;
        key.set_sensitive(true);
        let client = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static("x-goog-api-key"),
                key,
            )]))
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| settings("the HTTP client cannot be built on this machine".to_owned()))?;
        Ok(Self { client, url, config })
    }

    /// Asks until there is an answer, a final refusal, no attempt left, or no time for another.
    async fn ask(&self, body: Value) -> Result<Reply, JudgeError> {
        let over = Instant::now() + self.config.budget;
        let mut backoff = self.config.backoff;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answered = tokio::time::timeout_at(over, self.attempt(&body)).await;
            let (reason, named) = match answered {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(Attempt::Final(error))) => return Err(error),
                Ok(Err(Attempt::Again { reason, pause })) => (reason, pause),
                Err(_) => (format!("no time is left of {} s", self.config.budget.as_secs()), None),
            };
            tracing::warn!(judge = self.id(), attempt, reason, "judge did not answer");
            // Validators that lost the service together must not all come back at once, nor before
            // they were told to. A pause as long as the budget is never made, so it may stand for
            // any that is longer.
            let bounded = |pause: Duration| pause.min(self.config.budget);
            let pause = match named {
                Some(named) => bounded(named).mul_f64(rand::random_range(1.0..1.5)),
                None => bounded(backoff).mul_f64(rand::random_range(0.5..1.5)),
            };
            if attempt >= self.config.attempts || Instant::now() + pause >= over {
                return Err(JudgeError::Unreachable {
                    judge: self.id(),
                    attempts: attempt,
                    reason,
                });
            }
            tokio::time::sleep(pause).await;
            backoff = backoff.saturating_mul(2);
        }
    }

    async fn attempt(&self, body: &Value) -> Result<Reply, Attempt> {
        let again =
            |error: reqwest::Error| Attempt::Again { reason: describe_error(&error), pause: None };
        let response = self.client.post(self.url.clone()).json(body).send().await.map_err(again)?;
        let status = response.status();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let pause = pause.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let bytes = bounded_body(response).await?;
        if status.is_success() {
            return self.reply_of(&bytes).map_err(Attempt::Final);
        }
        let code = error_code(&bytes);
        if status.as_u16() == 408 || status.as_u16() == 429 || status.is_server_error() {
            return Err(Attempt::Again {
                reason: format!("HTTP {} {code}", status.as_u16()),
                pause,
            });
        }
        Err(Attempt::Final(JudgeError::Refused { judge: self.id(), status: status.as_u16(), code }))
    }

    /// The text of the first candidate, all its parts in order, and the model's name as the service
    /// gives it.
    fn reply_of(&self, bytes: &[u8]) -> Result<Reply, JudgeError> {
        let no_text =
            |reason: &str| JudgeError::NoText { judge: self.id(), reason: reason.to_owned() };
        let answer: Value =
            serde_json::from_slice(bytes).map_err(|_| no_text("the reply is not JSON"))?;
        let candidate = &answer["candidates"][0];
        let parts = candidate["content"]["parts"].as_array();
        let text: String =
            parts.into_iter().flatten().filter_map(|part| part["text"].as_str()).collect();
        if text.trim().is_empty() {
            let reason = candidate["finishReason"]
                .as_str()
                .or(answer["promptFeedback"]["blockReason"].as_str());
            return Err(no_text(&code_word(reason.unwrap_or("no reason given"))));
        }
        let stated = answer["modelVersion"].as_str().filter(|name| name.len() <= MAX_MODEL_CHARS);
        Ok(Reply { text, model: stated.unwrap_or(&self.config.model).to_owned() })
    }

    fn check_size(&self, bytes: usize) -> Result<(), JudgeError> {
        if bytes > MAX_VIDEO_BYTES {
            return Err(JudgeError::TooLarge { judge: self.id(), bytes });
        }
        Ok(())
    }
}

#[async_trait]
impl Judge for GeminiJudge {
    fn id(&self) -> String {
        format!("gemini:{}", self.config.model)
    }

    async fn describe(&self, clip_mp4: &[u8], task: TaskType) -> Result<String, JudgeError> {
        self.check_size(clip_mp4.len())?;
        let body = json!({
            "contents": [{"role": "user", "parts": [{"text": prompts::description(task.gives_first_frame())}, video(clip_mp4)]}],
            "generationConfig": {"temperature": 0.2, "maxOutputTokens": DESCRIPTION_TOKENS},
        });
        let text = self.ask(body).await?.text;
        Ok(text.trim().chars().take(MAX_DESCRIPTION_CHARS).collect())
    }

    async fn judge(&self, request: JudgeRequest<'_>) -> Result<Judgement, JudgeError> {
        self.check_size(request.video_mp4.len() + request.first_frame_png.map_or(0, <[u8]>::len))?;
        let mut parts = vec![
            json!({"text": prompts::grading(request.prompt, request.first_frame_png.is_some())}),
        ];
        if let Some(picture) = request.first_frame_png {
            parts.push(json!({"text": "The conditioning first frame:"}));
            parts.push(
                json!({"inlineData": {"mimeType": "image/png", "data": STANDARD.encode(picture)}}),
            );
        }
        parts.extend([json!({"text": "The generated video:"}), video(request.video_mp4)]);
        let body = json!({
            "systemInstruction": {"parts": [{"text": prompts::GRADING_SYSTEM}]},
            "contents": [{"role": "user", "parts": parts}],
            "generationConfig": {
                "temperature": 0.1,
                "maxOutputTokens": GRADE_TOKENS,
                "responseMimeType": "application/json",
            },
        });
        let reply = self.ask(body).await?;
        Ok(Judgement::new(&reply.text, &reply.model, request.thresholds))
    }
}

fn video(mp4: &[u8]) -> Value {
    json!({
        "inlineData": {"mimeType": "video/mp4", "data": STANDARD.encode(mp4)},
        "videoMetadata": {"fps": FRAMES_PER_SECOND},
    })
}

async fn bounded_body(mut response: reqwest::Response) -> Result<Vec<u8>, Attempt> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => {
                return Err(Attempt::Again { reason: describe_error(&error), pause: None });
            }
        }
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(Attempt::Again {
                reason: format!("the reply is over {MAX_ANSWER_BYTES} bytes"),
                pause: None,
            });
        }
    }
}

/// The kind of failure in our own words: the library's text would repeat the address.
fn describe_error(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the reply broke off"
    } else {
        "the request failed"
    };
    kind.to_owned()
}

/// Google's own word for an error: the reason where there is one, as `API_KEY_INVALID`, else the
/// status, as `RESOURCE_EXHAUSTED`. Its message may repeat what we sent and is not kept.
fn error_code(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let details = body["error"]["details"].as_array();
    let reason = details.into_iter().flatten().find_map(|detail| detail["reason"].as_str());
    code_word(reason.or(body["error"]["status"].as_str()).unwrap_or_default())
}

fn code_word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphabetic() || matches!(c, '_' | ' ')).take(40).collect()
}

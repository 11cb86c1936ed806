//! Gemini as a judge: `leoma_scoring::judge` says what it is asked and reads its replies; this
//! sends them.

use std::time::Duration;

use bytes::Bytes;
use leoma_scoring::judge::{GeminiModel, MAX_REPLY_BYTES, error_code};
use leoma_scoring::{JudgeError, JudgeRequest, Judgement, TaskType};
use leoma_storage::{RetryPolicy, Secret};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use super::{Service, ServiceError, ask};

/// One attempt uploads some megabytes and waits for a model. All of them have to leave time for
/// scoring: a task has to end in its window whoever is down.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 4,
    attempt_timeout: Duration::from_secs(120),
    deadline: Duration::from_secs(300),
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(16),
};
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
}

impl Gemini {
    /// Sends nothing yet. `base` is the service's address without a path.
    ///
    /// # Errors
    /// [`JudgeError::Settings`] where the base is no http(s) address, or model or key cannot stand
    /// in a request.
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
        Ok(Self { client, model, url, key, service: SERVICE })
    }

    /// Names the judge in verdict files, e.g. `gemini:gemini-2.5-flash`.
    pub(crate) fn id(&self) -> String {
        self.model.id()
    }

    /// A prompt of 50 to 90 words for the clip.
    ///
    /// # Errors
    /// The service could not be asked, or said nothing.
    pub(crate) async fn describe(
        &self,
        clip_mp4: &[u8],
        task: TaskType,
    ) -> Result<String, JudgeError> {
        let request = self.model.description_request(clip_mp4, task)?;
        self.model.description(&self.ask(request).await?)
    }

    /// A grade, normalised and as it came.
    ///
    /// # Errors
    /// The service could not be asked, or said nothing.
    pub(crate) async fn judge(&self, request: JudgeRequest<'_>) -> Result<Judgement, JudgeError> {
        let body = self.model.grading_request(&request)?;
        self.model.judgement(&self.ask(body).await?, request.thresholds)
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Bytes, JudgeError> {
        let body = Bytes::from(body);
        let request = || {
            let request =
                self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
            request.header("x-goog-api-key", self.key.clone()).body(body.clone())
        };
        ask(&self.service, request).await.map_err(|error| self.judge_error(error))
    }

    fn judge_error(&self, error: ServiceError) -> JudgeError {
        let judge = self.id();
        match error {
            ServiceError::Refused { status, code, .. }
            | ServiceError::Unauthorised { status, code, .. } => {
                JudgeError::Refused { judge, status, code }
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

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_scoring::judge::JudgeThresholds;
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const KEY: &str = "secret-key-0123456789";

    /// Answers the n-th request with the n-th reply (the last one from then on) and keeps what was
    /// sent.
    async fn server(replies: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        tokio::spawn(async move {
            for index in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                requests.lock().unwrap().push(request);
                let reply = &replies[index.min(replies.len() - 1)];
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (base, seen)
    }

    async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let count = stream.read(&mut chunk).await.unwrap();
            request.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&request);
            let length = text.to_lowercase().split("content-length: ").nth(1).and_then(|rest| {
                rest.split("\r\n").next().and_then(|number| number.parse::<usize>().ok())
            });
            let body = text.find("\r\n\r\n").map(|end| request.len() - end - 4);
            if count == 0 || body >= length.or(Some(usize::MAX)) {
                return text.into_owned();
            }
        }
    }

    fn reply(status: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn candidate(text: &str) -> String {
        let body = serde_json::json!({"candidates": [{"content": {"parts": [{"text": text}]}}]});
        reply("200 OK", &body.to_string())
    }

    fn client() -> Client {
        Client::builder().no_proxy().build().unwrap()
    }

    fn judge_under(base: String, retry: RetryPolicy) -> Gemini {
        let judge = Gemini::new(client(), &base, "gemini-2.5-flash", &Secret::new(KEY)).unwrap();
        Gemini { service: Service { retry, ..SERVICE }, ..judge }
    }

    fn judge(base: String) -> Gemini {
        let quick = RetryPolicy {
            attempts: 3,
            first_delay: Duration::from_millis(1),
            attempt_timeout: Duration::from_secs(5),
            ..RETRY
        };
        judge_under(base, quick)
    }

    fn request<'a>() -> JudgeRequest<'a> {
        let thresholds = JudgeThresholds::SUBNET;
        JudgeRequest {
            prompt: Some("a red ball rolls"),
            first_frame_png: Some(b"png"),
            video_mp4: b"mp4",
            thresholds,
        }
    }

    #[tokio::test]
    async fn a_grade_survives_a_full_quota_and_a_server_error() {
        let grade = "```json\n{\"overall_score\": 81, \"confidence\": 90}\n```";
        let replies = vec![
            reply("429 Too Many Requests", r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#),
            reply("500 Internal Server Error", ""),
            candidate(grade),
        ];
        let (base, seen) = server(replies).await;
        let judgement = judge(base).judge(request()).await.unwrap();
        assert!(
            judgement.raw.contains("overall_score") && !judgement.model.is_empty(),
            "{judgement:?}"
        );
        let answer = judgement.answer;
        assert_eq!((answer.overall_score, answer.confidence), (81, 90));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 3);
        assert!(
            seen[2].starts_with("POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1")
        );
        assert!(seen[2].contains(&format!("x-goog-api-key: {KEY}")));
        assert!(
            seen[2].contains("\"mimeType\":\"video/mp4\"")
                && seen[2].contains("\"temperature\":0.1")
        );
        assert!(seen[2].contains("a red ball rolls") && seen[2].contains("manipulate"));
    }

    #[tokio::test]
    async fn a_judge_that_is_down_is_an_error_without_the_key() {
        let (base, seen) = server(vec![reply("503 Service Unavailable", KEY)]).await;
        let error = judge(base).judge(request()).await.unwrap_err();
        assert!(matches!(&error, JudgeError::Unreachable { attempts: 3, .. }), "{error}");
        assert_eq!(seen.lock().unwrap().len(), 3);
        let refusal = reply(
            "403 Forbidden",
            &format!(r#"{{"error":{{"status":"PERMISSION_DENIED","message":"{KEY}"}}}}"#),
        );
        let (base, seen) = server(vec![refusal]).await;
        let judge = judge(base);
        let refused = judge.judge(request()).await.unwrap_err();
        assert!(matches!(&refused, JudgeError::Refused { status: 403, .. }), "{refused}");
        assert_eq!(seen.lock().unwrap().len(), 1);
        assert!(refused.to_string().contains("PERMISSION_DENIED"));
        for text in
            [format!("{error} {error:?}"), format!("{refused} {refused:?}"), format!("{judge:?}")]
        {
            assert!(!text.contains(KEY), "{text}");
        }
    }

    /// As the service answers: the status is that of a bad video too, only the reason tells them
    /// apart.
    #[tokio::test]
    async fn a_refused_key_is_told_from_a_refused_video() {
        let code = async |details: serde_json::Value| {
            let error = serde_json::json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": details}});
            let (base, _) = server(vec![reply("400 Bad Request", &error.to_string())]).await;
            match judge(base).judge(request()).await.unwrap_err() {
                JudgeError::Refused { status: 400, code, .. } => code,
                other => panic!("{other:?}"),
            }
        };
        let help = serde_json::json!({"@type": "type.googleapis.com/google.rpc.Help", "links": []});
        let info = serde_json::json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"});
        assert_eq!(code(serde_json::json!([help, info])).await, "API_KEY_INVALID");
        for details in [serde_json::json!([help]), serde_json::Value::Null] {
            assert_eq!(code(details).await, "INVALID_ARGUMENT");
        }
    }

    #[tokio::test]
    async fn an_endless_an_empty_and_a_blocked_reply_are_errors() {
        let endless = reply("200 OK", &"x".repeat(2 << 20));
        let error = judge(server(vec![endless]).await.0)
            .describe(b"mp4", TaskType::Ti2v)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("over 1048576 bytes"), "{error}");
        let blocked = reply("200 OK", r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#);
        let error = judge(server(vec![blocked]).await.0)
            .describe(b"mp4", TaskType::Ti2v)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("SAFETY"), "{error}");
        let error = judge("http://127.0.0.1:1".to_owned())
            .describe(b"mp4", TaskType::Ti2v)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("cannot connect"), "{error}");
    }

    #[tokio::test]
    async fn a_reply_that_never_comes_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let quick = RetryPolicy {
            attempts: 2,
            first_delay: Duration::from_millis(1),
            attempt_timeout: Duration::from_millis(50),
            ..RETRY
        };
        let error = judge_under(base, quick).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
        assert!(matches!(&error, JudgeError::Unreachable { attempts: 2, .. }), "{error}");
        assert!(error.to_string().contains("timed out"), "{error}");
    }

    #[tokio::test]
    async fn a_pause_that_the_budget_has_no_room_for_is_not_made() {
        let busy = reply("503 Service Unavailable\r\nretry-after: 30", "");
        let (base, seen) = server(vec![busy]).await;
        let short = RetryPolicy { deadline: Duration::from_secs(20), ..RETRY };
        let error = judge_under(base, short).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
        assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");
        assert_eq!(seen.lock().unwrap().len(), 1);

        // Nor one that no clock can count.
        let (base, _) =
            server(vec![reply("429 Too Many Requests\r\nretry-after: 18446744073709551615", "")])
                .await;
        let error = judge_under(base, RETRY).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
        assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let spent = RetryPolicy { deadline: Duration::from_millis(50), ..RETRY };
        let error = judge_under(base, spent).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
        assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");
        assert!(error.to_string().contains("timed out"), "{error}");
    }

    #[test]
    fn wrong_settings_are_named() {
        let base = "https://service.example";
        let reason = |base: &str, model: &str, key: &str| {
            Gemini::new(client(), base, model, &Secret::new(key)).unwrap_err().to_string()
        };
        assert!(reason("ftp://x", "model", KEY).contains("https://host"));
        assert!(reason(base, "a/b", KEY).contains("model"));
        assert!(reason(base, "model", "a\nb").contains("key"));
        assert!(reason(base, "model", "").contains("key"));
    }
}

//! The Chutes API: a miner's deployment, and the request for a video.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use leoma_storage::Secret;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::ServicesConfig;
use crate::outbound::{BodyError, Service, ServiceError, ask, bounded_body, fault_of};

/// Largest description of a deployment, which has a few KiB.
const MAX_CHUTE_BYTES: usize = 256 * 1024;
const SERVICE: Service = Service::api("the Chutes API", "CHUTES_API_KEY", MAX_CHUTE_BYTES);
/// Pause before the second attempt to connect to a miner.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);
/// Longest DNS label, which a slug becomes.
const MAX_SLUG_CHARS: usize = 63;

/// What the API says about a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Chute {
    /// Whether it is running.
    #[serde(default)]
    pub hot: bool,
    /// Its name in the endpoint's address.
    pub slug: String,
    /// The model revision it serves.
    #[serde(default)]
    pub revision: Option<String>,
}

/// The request for a video, as miners know it.
#[derive(Clone, Debug)]
pub(crate) struct GenerateRequest {
    /// The prompt, where the task has one.
    pub prompt: Option<String>,
    /// The first frame as PNG, where the task has one.
    pub first_frame: Option<Bytes>,
    /// Frames per second.
    pub fps: u32,
    /// Frames.
    pub frames: u32,
}

#[derive(Serialize)]
struct GenerateBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    fps: u32,
    frames: u32,
    resolution: &'static str,
    fast: bool,
}

impl<'a> From<&'a GenerateRequest> for GenerateBody<'a> {
    fn from(request: &'a GenerateRequest) -> Self {
        let base64 = |png| base64::engine::general_purpose::STANDARD.encode(png);
        Self {
            prompt: request.prompt.as_deref(),
            image: request.first_frame.as_ref().map(base64),
            fps: request.fps,
            frames: request.frames,
            resolution: "480p",
            fast: true,
        }
    }
}

/// Why a miner gave no video. Each is the miner's own fault and becomes an entry in the verdict file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    /// Not reached, or nothing in the answer.
    NoResponse(String),
    /// No complete answer in time.
    Timeout,
    /// An HTTP error.
    Http(u16),
    /// An answer that does not end within the limit.
    TooLarge,
}

/// A client of the API and of miners' endpoints.
#[derive(Clone, Debug)]
pub(crate) struct ChutesClient {
    http: Client,
    api: String,
    generate: String,
    key: Option<Secret>,
}

impl ChutesClient {
    /// A client with the operator's addresses and key.
    pub(crate) fn new(http: Client, config: &ServicesConfig) -> Self {
        Self {
            http,
            api: config.chutes_api_url.clone(),
            generate: config.chutes_generate_url.clone(),
            key: config.chutes_api_key.clone(),
        }
    }

    /// Looks a deployment up.
    pub(crate) async fn chute(&self, chute_id: &str) -> Result<Chute, ServiceError> {
        let url = path_url(&self.api, ["chutes", chute_id])
            .ok_or_else(|| ServiceError::not_found(&SERVICE))?;
        let body = ask(&SERVICE, || {
            let request = self.http.get(url.clone());
            match &self.key {
                Some(key) => request.header("Authorization", key.expose()),
                None => request,
            }
        })
        .await?;
        let unreadable = |reason| ServiceError::unreadable(&SERVICE, reason);
        let chute: Chute =
            serde_json::from_slice(&body).map_err(|_| unreadable("not JSON with a slug"))?;
        // The slug becomes part of an address: anything but a DNS label could lead our key
        // elsewhere.
        let label =
            |slug: &str| slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if chute.slug.is_empty() || chute.slug.len() > MAX_SLUG_CHARS || !label(&chute.slug) {
            return Err(unreadable("its slug is not a host name's part"));
        }
        Ok(chute)
    }

    /// Asks a miner for a video of at most `max_bytes` and reads it to the end. Tries again once, and
    /// only if it could not connect.
    pub(crate) async fn generate(
        &self,
        slug: &str,
        request: &GenerateRequest,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Bytes, AnswerFault> {
        let body = GenerateBody::from(request);
        let call = || {
            let call =
                self.http.post(self.generate.replace("{slug}", slug)).json(&body).timeout(timeout);
            match &self.key {
                Some(key) => call.bearer_auth(key.expose()),
                None => call,
            }
        };
        let asking = async {
            let mut answer = call().send().await;
            // Nothing was asked yet where no connection came about: only then is a second time no
            // second chance.
            if answer.as_ref().is_err_and(|error| error.is_connect() && !error.is_timeout()) {
                tokio::time::sleep(CONNECT_PAUSE).await;
                answer = call().send().await;
            }
            let response = answer.map_err(|error| {
                if error.is_timeout() {
                    AnswerFault::Timeout
                } else {
                    AnswerFault::NoResponse(fault_of(&error))
                }
            })?;
            let status = response.status();
            if !status.is_success() {
                return Err(AnswerFault::Http(status.as_u16()));
            }
            match bounded_body(response, max_bytes).await {
                Ok(video) if video.is_empty() => {
                    Err(AnswerFault::NoResponse("an empty answer".to_owned()))
                }
                Ok(video) => Ok(video),
                Err(BodyError::TooLarge) => Err(AnswerFault::TooLarge),
                Err(BodyError::Broken(reason)) if reason == "timed out" => {
                    Err(AnswerFault::Timeout)
                }
                Err(BodyError::Broken(reason)) => Err(AnswerFault::NoResponse(reason)),
            }
        };
        // The client's timeout restarts with a redirect; this one covers everything.
        tokio::time::timeout(timeout, asking).await.unwrap_or(Err(AnswerFault::Timeout))
    }
}

/// `base` with path segments appended, each escaped; `None` for segments that would climb.
pub(super) fn path_url<'a>(base: &str, segments: impl IntoIterator<Item = &'a str>) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    {
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        for segment in segments {
            if segment.is_empty() || segment == "." || segment == ".." {
                return None;
            }
            path.push(segment);
        }
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_segments_stay_in_their_place() {
        let url = |segment| {
            path_url("https://api.example/base", ["chutes", segment]).map(|url| url.to_string())
        };
        assert_eq!(url("c-1").unwrap(), "https://api.example/base/chutes/c-1");
        assert_eq!(
            url("../../x?y#z").unwrap(),
            "https://api.example/base/chutes/..%2F..%2Fx%3Fy%23z"
        );
        assert_eq!(url(".."), None);
        assert_eq!(url(""), None);
    }

    #[test]
    fn a_task_gives_a_picture_a_prompt_or_both() {
        let body = |prompt: Option<&str>, first_frame: Option<&'static [u8]>| {
            let first_frame = first_frame.map(Bytes::from_static);
            let request = GenerateRequest {
                prompt: prompt.map(str::to_owned),
                first_frame,
                fps: 16,
                frames: 81,
            };
            let body = serde_json::to_value(GenerateBody::from(&request)).unwrap();
            (body.get("prompt").cloned(), body.get("image").cloned())
        };
        assert_eq!(body(Some("p"), Some(b"png")), (Some("p".into()), Some("cG5n".into())));
        assert_eq!(body(Some("p"), None), (Some("p".into()), None));
        assert_eq!(body(None, Some(b"png")), (None, Some("cG5n".into())));
    }

    fn asked(address: std::net::SocketAddr) -> impl Future<Output = Result<Bytes, AnswerFault>> {
        let settings = [("CHUTES_GENERATE_URL".to_owned(), format!("http://{address}/{{slug}}"))];
        let sources = crate::config::Sources {
            environment: settings.into_iter().collect(),
            ..Default::default()
        };
        let config = crate::config::Config::load(&sources).unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        let client = ChutesClient::new(http, &config.services);
        async move {
            let request = GenerateRequest {
                prompt: Some("p".into()),
                first_frame: Some(Bytes::from_static(b"png")),
                fps: 16,
                frames: 81,
            };
            client.generate("slug", &request, Duration::from_secs(30), 10).await
        }
    }

    #[tokio::test]
    async fn a_miner_that_cannot_be_connected_to_is_tried_once_more() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Nobody listens there at first.
        let late = async {
            tokio::time::sleep(CONNECT_PAUSE / 4).await;
            let listener = tokio::net::TcpListener::bind(free).await.unwrap();
            let answer = axum::routing::post(|_asked: Bytes| async { "video" });
            let server = axum::serve(listener, axum::Router::new().route("/slug", answer));
            tokio::spawn(async move { server.await });
        };
        assert_eq!(tokio::join!(asked(free), late).0, Ok(Bytes::from_static(b"video")));
    }

    #[tokio::test]
    async fn a_miner_that_breaks_off_has_had_its_chance() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let again = async {
            drop(listener.accept().await.unwrap());
            tokio::time::timeout(CONNECT_PAUSE * 2, listener.accept()).await.is_ok()
        };
        let (answer, again) = tokio::join!(asked(address), again);
        assert!(matches!(answer, Err(AnswerFault::NoResponse(_))), "{answer:?}");
        assert!(!again);
    }
}

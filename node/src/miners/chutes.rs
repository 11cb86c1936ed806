//! The Chutes API: a miner's deployment, and the request for a video.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use leoma_storage::Secret;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::whose_fault::Reply;
use crate::config::ServicesConfig;
use crate::outbound::{Pace, Reach, Service, ServiceError, ask_paced, fault_of, named_pause};

/// Largest description of a deployment, which has a few KiB.
const MAX_CHUTE_BYTES: usize = 256 * 1024;
const SERVICE: Service = Service::api("the Chutes API", "CHUTES_API_KEY", MAX_CHUTE_BYTES);
/// Pause before the second attempt to connect to a miner.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for what a control asks: a refusal by the gateway comes at once.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that show whether it can be an MP4.
const BOX_HEADER_BYTES: usize = 8;
/// Kinds of boxes that an MP4 begins with.
const FIRST_BOXES: [&[u8; 4]; 9] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"uuid"];
/// Longest DNS label, which a slug becomes.
const MAX_SLUG_CHARS: usize = 63;

/// What the API says about a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Chute {
    /// Whether it is running; `None` where the API does not say.
    #[serde(default)]
    pub hot: Option<bool>,
    /// Its name in the endpoint's address.
    pub slug: String,
    /// The model revision it serves.
    #[serde(default)]
    pub revision: Option<String>,
}

impl Chute {
    /// Whether it is running.
    ///
    /// # Errors
    /// The API does not say: it may have changed its form, for this one or for all.
    pub(crate) fn is_running(&self) -> Result<bool, ServiceError> {
        let reason = "it does not say whether the chute is running (`hot`)";
        self.hot.ok_or_else(|| ServiceError::unreadable(&SERVICE, reason))
    }
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

impl GenerateRequest {
    /// Its body, made once for all miners.
    pub(crate) fn to_body(&self) -> serde_json::Result<Bytes> {
        Ok(serde_json::to_vec(&GenerateBody::from(self))?.into())
    }
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

/// A miner's reply to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replied {
    /// What it was.
    pub reply: Reply,
    /// Details for people, where the reply is a fault.
    pub detail: String,
    /// How long to wait before the next request, where it says so.
    pub pause: Option<Duration>,
}

impl Replied {
    fn new(reply: Reply, detail: impl Into<String>) -> Self {
        Self { reply, detail: detail.into(), pause: None }
    }

    fn of(error: &reqwest::Error) -> Self {
        let reply = if error.is_timeout() && !error.is_connect() {
            Reply::Timeout
        } else if error.is_connect() {
            Reply::Unreachable
        } else {
            Reply::BrokenOff
        };
        Self::new(reply, fault_of(error))
    }

    /// For a request without a time limit of ours: if it timed out, the system has given up a
    /// connection that fell silent.
    fn of_unlimited(error: &reqwest::Error) -> Self {
        let replied = Self::of(error);
        match replied.reply {
            Reply::Timeout => Self { reply: Reply::BrokenOff, ..replied },
            _ => replied,
        }
    }
}

/// A client of the API and of miners' endpoints.
#[derive(Clone, Debug)]
pub(crate) struct ChutesClient {
    http: Client,
    miners: Client,
    reach: Reach,
    api: String,
    generate: String,
    key: Option<Secret>,
    api_pace: Pace,
    miners_pace: Pace,
}

impl ChutesClient {
    /// A client with the operator's addresses, key and pace.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn new(reach: Reach, config: &ServicesConfig) -> Result<Self, reqwest::Error> {
        let pace = || Pace::per_minute(config.chutes_per_minute);
        Ok(Self {
            http: reach.api_client()?,
            miners: reach.miner_client()?,
            reach,
            api: config.chutes_api_url.clone(),
            generate: config.chutes_generate_url.clone(),
            key: config.chutes_api_key.clone(),
            api_pace: pace(),
            miners_pace: pace(),
        })
    }

    /// Looks a deployment up.
    pub(crate) async fn chute(&self, chute_id: &str) -> Result<Chute, ServiceError> {
        let url = path_url(&self.api, ["chutes", chute_id])
            .ok_or_else(|| ServiceError::not_found(&SERVICE))?;
        self.reach
            .check(&url)
            .await
            .map_err(|error| ServiceError::out_of_reach(&SERVICE, &error))?;
        let body = ask_paced(&SERVICE, &self.api_pace, || {
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
            return Err(unreadable("its slug is not a DNS label"));
        }
        Ok(chute)
    }

    /// Waits until our pace allows another request to a miner.
    pub(crate) async fn pace(&self) {
        self.miners_pace.wait().await;
    }

    /// Sends nothing to any miner for `rest`.
    pub(crate) fn rest(&self, rest: Duration) {
        self.miners_pace.rest(rest);
    }

    /// Asks a miner once for a video and writes it to a new file at `path`; a reply that is not a
    /// video leaves no file. Tries again once, and only if it could not connect. Has no time limit
    /// of its own.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn generate(
        &self,
        slug: &str,
        body: &Bytes,
        max_bytes: usize,
        path: &Path,
    ) -> std::io::Result<Replied> {
        let call = match self.call(slug).await {
            Ok(call) => call.header(CONTENT_TYPE, "application/json").body(body.clone()),
            Err(replied) => return Ok(replied),
        };
        let again = call.try_clone();
        let mut answer = call.send().await;
        // Without a connection nothing was asked yet: only then is a second attempt not a second
        // chance.
        if let (true, Some(again)) = (answer.as_ref().is_err_and(reqwest::Error::is_connect), again)
        {
            tokio::time::sleep(CONNECT_PAUSE).await;
            answer = again.send().await;
        }
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Ok(Replied::of_unlimited(&error)),
        };
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let pause = named_pause(response.headers(), &[]);
            let detail = format!("HTTP {status}");
            return Ok(Replied { reply: Reply::Status(status), detail, pause });
        }
        let written = write_video(response, max_bytes, path).await;
        if !matches!(written, Ok(Replied { reply: Reply::Video | Reply::NotVideo, .. })) {
            let _not_there = tokio::fs::remove_file(path).await;
        }
        written
    }

    /// The reply of `slug`, a deployment that has answered before, to a request that asks for no
    /// video, so that it costs nothing: the deployment refuses it, or the gateway does first.
    pub(crate) async fn control(&self, slug: &str) -> Reply {
        self.pace().await;
        let call = match self.call(slug).await {
            Ok(call) => call.header(CONTENT_TYPE, "application/json").body("{}"),
            Err(replied) => return replied.reply,
        };
        let mut response = match call.timeout(CONTROL_TIMEOUT).send().await {
            Ok(response) => response,
            Err(error) => return Replied::of(&error).reply,
        };
        if !response.status().is_success() {
            return Reply::Status(response.status().as_u16());
        }
        // A deployment that accepts anything may begin a video.
        match response.chunk().await {
            Ok(Some(bytes)) if begins_a_video(&bytes) => Reply::Video,
            Ok(Some(_)) => Reply::NotVideo,
            Ok(None) => Reply::Empty,
            Err(error) => Replied::of(&error).reply,
        }
    }

    async fn call(&self, slug: &str) -> Result<RequestBuilder, Replied> {
        let refuse = |detail: String| Replied::new(Reply::Unreachable, detail);
        let url = Url::parse(&self.generate.replace("{slug}", slug))
            .map_err(|_| refuse("its slug does not form a valid address".to_owned()))?;
        self.reach.check(&url).await.map_err(|error| refuse(error.to_string()))?;
        let call = self.miners.post(url);
        Ok(match &self.key {
            Some(key) => call.bearer_auth(key.expose()),
            None => call,
        })
    }
}

/// Writes an answer's body to a file as it arrives.
async fn write_video(
    mut response: Response,
    max_bytes: usize,
    path: &Path,
) -> std::io::Result<Replied> {
    let mut file = File::create(path).await?;
    let (mut bytes, mut begins) = (0_usize, Vec::with_capacity(BOX_HEADER_BYTES));
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Ok(Replied::of_unlimited(&error)),
        };
        bytes += chunk.len();
        if bytes > max_bytes {
            return Ok(Replied::new(Reply::TooLarge, "more bytes than any clip needs"));
        }
        let missing = BOX_HEADER_BYTES.saturating_sub(begins.len()).min(chunk.len());
        begins.extend_from_slice(&chunk[..missing]);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(match bytes {
        0 => Replied::new(Reply::Empty, "an empty answer"),
        _ if begins_a_video(&begins) => Replied::new(Reply::Video, ""),
        _ => Replied::new(Reply::NotVideo, "not an MP4"),
    })
}

fn begins_a_video(bytes: &[u8]) -> bool {
    let kind = bytes.get(4..BOX_HEADER_BYTES);
    kind.is_some_and(|kind| FIRST_BOXES.iter().any(|known| *known == kind))
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
mod tests;

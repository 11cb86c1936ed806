//! A miner's endpoint: `POST /generate` → MP4 bytes. The lie: the video of another clip.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::render::Order;
use super::{ClipIndex, MinerError, Renderer, Result, Role};
use crate::corpus::{CLIP_FRAMES, FRAME_RATE};
use crate::services::Lie;

/// A request carries one picture as base64.
const MAX_REQUEST_BYTES: usize = 32 << 20;
/// How long a miner that will not answer holds the connection.
const SILENCE: Duration = Duration::from_secs(2);

/// One miner.
#[derive(Clone, Debug)]
pub struct Miner {
    /// Its deployment's name.
    pub slug: String,
    /// Its role.
    pub role: Role,
    /// Whether a miner before it has the same role.
    pub is_twin: bool,
    /// The clips that it knows.
    pub clips: Arc<ClipIndex>,
    /// What makes its videos.
    pub renderer: Arc<Renderer>,
}

/// What a validator asks, as deployments of the subnet take it.
#[derive(Debug, Deserialize)]
struct Request {
    prompt: Option<String>,
    image: Option<String>,
    #[serde(default = "clip_rate")]
    fps: u32,
    #[serde(default = "clip_frames")]
    frames: usize,
    #[serde(default = "clip_resolution")]
    resolution: String,
}

fn clip_rate() -> u32 {
    FRAME_RATE
}
fn clip_frames() -> usize {
    CLIP_FRAMES
}
fn clip_resolution() -> String {
    "480p".into()
}

/// The endpoint of one miner.
pub fn router(miner: Miner) -> Router {
    Router::new()
        .route("/generate", post(generate))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(Arc::new(miner))
}

async fn generate(
    State(miner): State<Arc<Miner>>,
    lie: Option<Extension<Lie>>,
    Json(request): Json<Request>,
) -> Response {
    let refuse =
        |message: &str| (StatusCode::BAD_REQUEST, Json(json!({"detail": message}))).into_response();
    if request.prompt.as_ref().is_some_and(String::is_empty) {
        return refuse("prompt is empty");
    }
    if (request.fps, request.frames, request.resolution.as_str())
        != (FRAME_RATE, CLIP_FRAMES, "480p")
    {
        return refuse("this model makes 81 frames at 16 fps in 480p");
    }
    let given = match (&request.image, &request.prompt) {
        (Some(image), _) => match base64::engine::general_purpose::STANDARD.decode(image) {
            Ok(picture) => Given::Picture(picture),
            Err(_) => return refuse("image is not base64"),
        },
        (None, Some(prompt)) => Given::Words(prompt.clone()),
        (None, None) => return refuse("neither image nor prompt"),
    };
    if miner.role == Role::Sometimes && !answers(&miner.slug, given.bytes()) {
        tokio::time::sleep(SILENCE).await;
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"detail": "no instances available"})),
        )
            .into_response();
    }
    match video(&miner, given, lie.is_some()).await {
        Ok(video) => ([(header::CONTENT_TYPE, "video/mp4")], video).into_response(),
        Err(error) => {
            tracing::warn!(slug = miner.slug, %error, "cannot make a video");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"detail": "generation failed"})))
                .into_response()
        }
    }
}

/// What a miner makes its video from.
enum Given {
    Picture(Vec<u8>),
    Words(String),
}

impl Given {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Picture(picture) => picture,
            Self::Words(words) => words.as_bytes(),
        }
    }
}

async fn video(miner: &Miner, given: Given, lie: bool) -> Result<bytes::Bytes> {
    let mut clip = match given {
        Given::Picture(picture) => miner.clips.find(picture).await?,
        // A model that is not shown the scene makes what the words say.
        Given::Words(prompt) => miner.clips.of_words(&prompt).ok_or(MinerError::NoClip)?,
    };
    if lie {
        clip = miner.clips.another(&clip);
    }
    tracing::debug!(
        slug = miner.slug,
        clip = %clip.path.display(),
        start_micros = clip.start_micros,
        "clip found"
    );
    let neighbour = miner.clips.another(&clip);
    let order = Order::new([clip, neighbour], (miner.role, miner.is_twin), &miner.slug);
    miner.renderer.render(order).await
}

/// True for half of all requests, and always the same for one request, whoever asks.
fn answers(slug: &str, given: &[u8]) -> bool {
    let digest = Sha256::new().chain_update(slug).chain_update(given).finalize();
    digest[0] & 1 == 0
}

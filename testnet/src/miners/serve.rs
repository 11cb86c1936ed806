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

use super::{CLIP_FRAMES, ClipIndex, Renderer, Result, Role};
use crate::corpus::FRAME_RATE;
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
    /// The clips that it knows.
    pub clips: Arc<ClipIndex>,
    /// What makes its videos.
    pub renderer: Arc<Renderer>,
}

/// What a validator asks, as deployments of the subnet take it.
#[derive(Debug, Deserialize)]
struct Request {
    prompt: Option<String>,
    image: String,
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
    if request.prompt.is_some_and(|prompt| prompt.is_empty()) {
        return refuse("prompt is empty");
    }
    if (request.fps, request.frames, request.resolution.as_str())
        != (FRAME_RATE, CLIP_FRAMES, "480p")
    {
        return refuse("this model makes 81 frames at 16 fps in 480p");
    }
    let Ok(picture) = base64::engine::general_purpose::STANDARD.decode(&request.image) else {
        return refuse("image is not base64");
    };
    if miner.role == Role::Sometimes && !answers(&miner.slug, &picture) {
        tokio::time::sleep(SILENCE).await;
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"detail": "no instances available"})),
        )
            .into_response();
    }
    match video(&miner, picture, lie.is_some()).await {
        Ok(video) => ([(header::CONTENT_TYPE, "video/mp4")], video).into_response(),
        Err(error) => {
            tracing::warn!(slug = miner.slug, %error, "cannot make a video");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"detail": "generation failed"})))
                .into_response()
        }
    }
}

async fn video(miner: &Miner, picture: Vec<u8>, lie: bool) -> Result<bytes::Bytes> {
    let mut clip = miner.clips.find(picture).await?;
    if lie {
        clip = miner.clips.another(&clip);
    }
    tracing::debug!(
        slug = miner.slug,
        clip = %clip.path.display(),
        start_micros = clip.start_micros,
        "clip found"
    );
    miner.renderer.render(clip, miner.role, &miner.slug).await
}

/// Half of all pictures, and for one picture always the same answer: who asks makes no difference.
fn answers(slug: &str, picture: &[u8]) -> bool {
    let digest = Sha256::new().chain_update(slug).chain_update(picture).finalize();
    digest[0] & 1 == 0
}

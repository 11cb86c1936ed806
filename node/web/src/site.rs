//! What every handler works with: the running source, the rules for callers, and the clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leoma_protocol::{AddressLimit, Hotkey};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::access::{Busy, Claim, Denied, RateLimit, SignedCalls, Videos};
use crate::board::{Board, BoardError};
use crate::source::{Phase, Progress, Source, Subnet, Unavailable};
use crate::view::View;

/// Readers that follow the head at a time, and of these from one address.
const FOLLOWERS: usize = 256;
const FOLLOWERS_PER_ADDRESS: usize = 16;
/// Seconds after which a video may be asked for again: answers are sent in less.
const VIDEOS_AGAIN_SECONDS: u32 = 5;

/// The settings of the HTTP servers.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// Who may change the blacklist.
    pub admins: Vec<Hotkey>,
    /// How far off a signed call's time may be.
    pub signature_expiry: Duration,
    /// Whose pages may call; empty for any, but on the operator's listener for none.
    pub cors_origins: Vec<String>,
    /// Further names under which the operator's listener may be asked, in lower case.
    pub hosts: Vec<String>,
}

impl Default for SiteSettings {
    fn default() -> Self {
        let signature_expiry = Duration::from_secs(300);
        Self { admins: Vec::new(), signature_expiry, cors_origins: Vec::new(), hosts: Vec::new() }
    }
}

/// Milliseconds since 1970.
pub(crate) type Clock = fn() -> i64;

/// The system's clock.
pub(crate) fn system_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What handlers share. Both listeners have the same one.
#[derive(Clone, Debug)]
pub struct Site {
    progress: Progress,
    pub(crate) settings: Arc<SiteSettings>,
    pub(crate) signed: Arc<SignedCalls>,
    pub(crate) rate: Arc<RateLimit>,
    pub(crate) clock: Clock,
    pub(crate) scrape: Arc<Mutex<()>>,
    pub(crate) videos: Arc<Videos>,
    pub(crate) followers: Arc<AddressLimit>,
    pub(crate) stop: CancellationToken,
}

impl Site {
    /// A site that shows what `progress` leads to, until `stop`.
    pub fn new(progress: Progress, settings: SiteSettings, stop: CancellationToken) -> Self {
        Self::at(progress, settings, stop, system_clock)
    }

    pub(crate) fn at(
        progress: Progress,
        settings: SiteSettings,
        stop: CancellationToken,
        clock: Clock,
    ) -> Self {
        Self {
            progress,
            signed: Arc::new(SignedCalls::new(settings.signature_expiry)),
            settings: Arc::new(settings),
            rate: Arc::default(),
            clock,
            scrape: Arc::default(),
            videos: Arc::default(),
            followers: AddressLimit::new(FOLLOWERS, FOLLOWERS_PER_ADDRESS),
            stop,
        }
    }

    /// The running source, or the step of the start.
    pub(crate) fn source(&self) -> Result<Arc<dyn Source>, ApiError> {
        match &*self.progress.0.borrow() {
            Phase::Running(source) => Ok(Arc::clone(source)),
            Phase::Starting(step) => {
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("starting: {step}")))
            }
        }
    }

    pub(crate) fn subnet(&self) -> Result<Arc<dyn Subnet>, ApiError> {
        Ok(self.source()?.subnet())
    }

    /// What is posted here, where anything is kept.
    pub(crate) fn board(&self) -> Result<Option<Arc<dyn Board>>, ApiError> {
        Ok(self.subnet()?.board())
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        (self.clock)() / 1000
    }

    /// Who claims to make a signed call, if that hotkey may make any. Nothing is decided yet about
    /// what it may do. It comes before the body is read and the signature is checked, so that a
    /// stranger costs neither.
    pub(crate) async fn claim(&self, headers: &HeaderMap) -> Result<Claim, ApiError> {
        let claim = self.signed.claim(headers, self.now())?;
        if !self.may_call(claim.hotkey).await? {
            let detail = format!("{} is neither a validator nor an administrator", claim.hotkey);
            return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(claim)
    }

    async fn may_call(&self, hotkey: Hotkey) -> Result<bool, ApiError> {
        let text = hotkey.to_string();
        if let Some(board) = self.board()? {
            let listed = board.blacklist().await?;
            if let Some(entry) = listed.iter().find(|entry| entry.hotkey == text) {
                let reason = entry.reason.as_deref().unwrap_or("no reason given");
                let detail = format!("{hotkey} is blacklisted: {reason}");
                return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
            }
        }
        Ok(self.is_admin(hotkey) || self.subnet()?.view().await?.validator(&text).is_some())
    }

    /// Whether `hotkey` is a validator on the allowlist.
    ///
    /// # Errors
    /// 503 before the allowlist has been read: a refusal would be taken for final.
    pub(crate) async fn is_listed(&self, hotkey: Hotkey) -> Result<bool, ApiError> {
        let view = self.subnet()?.view().await?;
        if !view.snapshot.validators.iter().any(|validator| validator.listed) {
            let detail = "the allowlist has not been read yet; try again in a minute";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        Ok(view.is_listed(&hotkey.to_string()))
    }

    pub(crate) fn is_admin(&self, hotkey: Hotkey) -> bool {
        self.settings.admins.contains(&hotkey)
    }
}

/// An error as the dashboard's clients know it: a status, and `{"detail": …}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    /// Seconds after which the call may be made again.
    retry_after: Option<u32>,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, and where it helps, what to do.
    pub detail: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }

    /// The same error, with the seconds after which the call may be made again.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} is not known here"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let again = self.retry_after.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
        (self.status, again, axum::Json(ErrorBody { detail: self.detail })).into_response()
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.0)
    }
}

impl From<BoardError> for ApiError {
    fn from(error: BoardError) -> Self {
        tracing::error!(%error, "failed to use the board");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "posts cannot be stored or read now")
    }
}

impl From<Denied> for ApiError {
    fn from(error: Denied) -> Self {
        let status = match error {
            Denied::TooMany => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Busy> for ApiError {
    fn from(error: Busy) -> Self {
        let status = match error {
            Busy::Visitor => StatusCode::TOO_MANY_REQUESTS,
            Busy::Bucket | Busy::Everywhere => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string()).retry_after(VIDEOS_AGAIN_SECONDS)
    }
}

/// The newest view; while the process starts, the call is refused with the step.
#[derive(Debug)]
pub(crate) struct Now(pub(crate) Arc<View>);

impl FromRequestParts<Site> for Now {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, site: &Site) -> Result<Self, ApiError> {
        Ok(Self(site.subnet()?.view().await?))
    }
}

/// The running source; while the process starts, the call is refused with the step.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Arc<dyn Source>);

impl FromRequestParts<Site> for Running {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, site: &Site) -> Result<Self, ApiError> {
        site.source().map(Self)
    }
}

/// The system's time as ISO 8601.
pub fn iso_now() -> Option<String> {
    iso(system_clock() / 1000)
}

/// Seconds since 1970 as ISO 8601.
pub(crate) fn iso(seconds: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp(seconds, 0)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

/// The time of a block as ISO 8601: an estimate, counted back from the head.
pub(crate) fn block_time(view: &View, block: u64) -> Option<String> {
    view.snapshot.time_of(block).and_then(iso)
}

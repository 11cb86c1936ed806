//! What is common to posts: who may post, how long texts may be, and how a post is refused.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request};
use axum::http::StatusCode;
use leoma_protocol::Hotkey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoResponses, ToSchema};

use crate::access::Claim;
use crate::board::Board;
use crate::site::{ApiError, ErrorBody, Site};

/// How much of a post was kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Entries.
    pub accepted: usize,
}

/// How every signed call may be refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document only")]
pub(super) enum Refused {
    #[response(status = 401, description = "A header is missing, expired, used or not signed")]
    Unsigned(ErrorBody),
    #[response(status = 403, description = "This hotkey may not do this")]
    Forbidden(ErrorBody),
    #[response(status = 413, description = "The body has more than 2 MiB")]
    TooLarge(ErrorBody),
    #[response(status = 422, description = "The body is malformed, or something in it too large")]
    Unprocessable(ErrorBody),
    #[response(status = 429, description = "Too many calls: ask again later")]
    TooMany(ErrorBody),
    #[response(status = 503, description = "The service starts, or cannot store posts now")]
    Unavailable(ErrorBody),
}

/// How `POST /validators` and similar calls answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document only")]
pub(super) enum OwnersAlone {
    #[response(status = 401, description = "A header is missing, expired, used or not signed")]
    Unsigned(ErrorBody),
    #[response(status = 403, description = "This hotkey may not do this")]
    Forbidden(ErrorBody),
    #[response(status = 409, description = "Only the subnet owner changes this, on chain")]
    OnChain(ErrorBody),
    #[response(status = 413, description = "The body has more than 2 MiB")]
    TooLarge(ErrorBody),
    #[response(status = 429, description = "Too many calls: ask again later")]
    TooMany(ErrorBody),
    #[response(status = 503, description = "The service starts")]
    Unavailable(ErrorBody),
}

/// A refusal of what a body says.
pub(super) fn unprocessable(detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// The body as JSON.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| unprocessable(error.to_string()))
}

/// Refuses a list with more than `limit` entries of `what`.
pub(super) fn at_most<T>(list: &[T], limit: usize, what: &str) -> Result<(), ApiError> {
    if list.len() <= limit {
        return Ok(());
    }
    Err(unprocessable(format!("a post holds at most {limit} {what}")))
}

/// Refuses the first text with more characters than its limit; `of` comes before its name.
pub(super) fn short_texts(
    of: &str,
    texts: &[(&str, Option<&String>, usize)],
) -> Result<(), ApiError> {
    let long = |text: &String, limit: usize| text.chars().count() > limit;
    match texts.iter().find(|(_, text, limit)| text.is_some_and(|text| long(text, *limit))) {
        Some((name, _, limit)) => {
            Err(unprocessable(format!("{of}{name} has more than {limit} characters")))
        }
        None => Ok(()),
    }
}

/// Refuses a malformed hotkey of a miner; `of` comes before the name of its field.
pub(super) fn need_hotkey(of: &str, text: &str) -> Result<(), ApiError> {
    if text.parse::<Hotkey>().is_err() {
        return Err(unprocessable(format!("{of}miner_hotkey is not a hotkey")));
    }
    Ok(())
}

pub(super) fn need_board(site: &Site) -> Result<Arc<dyn Board>, ApiError> {
    site.board()?.ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "this service keeps no posts")
    })
}

/// The board, without the posts of validators that have left the allowlist, which would fill the
/// disk.
pub(super) async fn board_of_listed(site: &Site) -> Result<Arc<dyn Board>, ApiError> {
    let board = need_board(site)?;
    let view = site.subnet()?.view().await?;
    let listed = view.snapshot.validators.iter().filter(|one| one.listed);
    let listed: Vec<String> = listed.map(|one| one.hotkey.to_string()).collect();
    // Without an allowlist nobody knows who has left it.
    if !listed.is_empty() {
        board.forget_others(listed).await?;
    }
    Ok(board)
}

/// A signed call of a validator or an administrator.
pub(super) struct Signed {
    pub(super) caller: Hotkey,
    pub(super) body: Bytes,
}

impl Signed {
    async fn read(claim: Claim, request: Request, site: &Site) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, site)
            .await
            .map_err(|refused| ApiError::new(refused.status(), refused.body_text()))?;
        site.signed.take(&claim, &body, site.now())?;
        Ok(Self { caller: claim.hotkey, body })
    }
}

impl FromRequest<Site> for Signed {
    type Rejection = ApiError;

    async fn from_request(request: Request, site: &Site) -> Result<Self, ApiError> {
        let claim = site.claim(request.headers()).await?;
        Self::read(claim, request, site).await
    }
}

/// A signed call of a validator on the allowlist.
pub(super) struct SignedByListed(pub(super) Signed);

impl FromRequest<Site> for SignedByListed {
    type Rejection = ApiError;

    async fn from_request(request: Request, site: &Site) -> Result<Self, ApiError> {
        let claim = site.claim(request.headers()).await?;
        // A permit is bought with stake; what is posted here fills a validator's disk.
        if !site.is_listed(claim.hotkey).await? {
            let detail = format!("{} is not on the allowlist", claim.hotkey);
            return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
        }
        Signed::read(claim, request, site).await.map(Self)
    }
}

/// A signed call of an administrator.
pub(super) struct SignedByAdmin(pub(super) Signed);

impl FromRequest<Site> for SignedByAdmin {
    type Rejection = ApiError;

    async fn from_request(request: Request, site: &Site) -> Result<Self, ApiError> {
        let signed = Signed::from_request(request, site).await?;
        if !site.is_admin(signed.caller) {
            let detail = format!("{} is not in ADMIN_HOTKEYS", signed.caller);
            return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(Self(signed))
    }
}

/// The allowlist's hash is committed on chain by the subnet owner: no server can change it.
fn only_the_owner() -> ApiError {
    let detail = "the allowlist and its interval are committed on chain by the subnet owner: use \
        `leoma validator add`, `remove` and `publish --interval`";
    ApiError::new(StatusCode::CONFLICT, detail)
}

#[utoipa::path(post, path = "/validators", responses(OwnersAlone))]
pub(super) async fn add_validator(_: SignedByAdmin) -> ApiError {
    only_the_owner()
}

#[utoipa::path(
    delete, path = "/validators/{hotkey}", params(("hotkey" = String, Path,)),
    responses(OwnersAlone)
)]
pub(super) async fn remove_validator(Path(_): Path<String>, _: SignedByAdmin) -> ApiError {
    only_the_owner()
}

#[utoipa::path(post, path = "/rotation/interval", responses(OwnersAlone))]
pub(super) async fn rotation_interval(_: SignedByAdmin) -> ApiError {
    only_the_owner()
}

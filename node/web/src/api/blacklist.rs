//! `/blacklist/…`.

use axum::Json;
use axum::extract::{Path, State};
use leoma_protocol::Hotkey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::writes::{
    Refused, Signed, SignedByAdmin, need_board, read_json, short_texts, unprocessable,
};
use crate::board::Blacklisted;
use crate::site::{ApiError, ErrorBody, Site, iso};

/// Longest reason.
const MAX_REASON_CHARS: usize = 255;

async fn listed(site: &Site) -> Result<Vec<Blacklisted>, ApiError> {
    match site.board()? {
        Some(board) => Ok(board.blacklist().await?),
        None => Ok(Vec::new()),
    }
}

#[utoipa::path(get, path = "/blacklist", responses((status = 200, body = [Blacklisted])))]
pub(super) async fn list(State(site): State<Site>) -> Result<Json<Vec<Blacklisted>>, ApiError> {
    Ok(Json(listed(&site).await?))
}

#[utoipa::path(get, path = "/blacklist/miners", responses((status = 200, body = [String])))]
pub(super) async fn hotkeys(State(site): State<Site>) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(listed(&site).await?.into_iter().map(|entry| entry.hotkey).collect()))
}

#[utoipa::path(
    get, path = "/blacklist/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = Blacklisted), (status = 404, body = ErrorBody))
)]
pub(super) async fn one(
    State(site): State<Site>,
    Path(hotkey): Path<String>,
) -> Result<Json<Blacklisted>, ApiError> {
    let found = listed(&site).await?.into_iter().find(|entry| entry.hotkey == hotkey);
    found.map(Json).ok_or_else(|| ApiError::not_found("this hotkey on the blacklist"))
}

/// A hotkey to blacklist.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ToBlacklist {
    hotkey: String,
    /// At most 255 characters.
    reason: Option<String>,
}

#[utoipa::path(
    post, path = "/blacklist", request_body = ToBlacklist,
    responses((status = 200, body = Blacklisted), Refused)
)]
pub(super) async fn add(
    State(site): State<Site>,
    SignedByAdmin(Signed { caller, body }): SignedByAdmin,
) -> Result<Json<Blacklisted>, ApiError> {
    let ToBlacklist { hotkey, reason } = read_json(&body)?;
    let hotkey: Hotkey = hotkey
        .parse()
        .map_err(|error: leoma_protocol::HotkeyError| unprocessable(error.to_string()))?;
    short_texts("", &[("reason", reason.as_ref(), MAX_REASON_CHARS)])?;
    let entry = Blacklisted {
        hotkey: hotkey.to_string(),
        reason,
        added_by: Some(caller.to_string()),
        created_at: iso(site.now()),
    };
    need_board(&site)?.blacklist_add(entry.clone()).await?;
    Ok(Json(entry))
}

/// What was taken off the blacklist.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Removed {
    /// The hotkey.
    pub removed: String,
}

#[utoipa::path(
    delete, path = "/blacklist/{hotkey}", params(("hotkey" = String, Path,)),
    responses((status = 200, body = Removed), (status = 404, body = ErrorBody), Refused)
)]
pub(super) async fn remove(
    State(site): State<Site>,
    Path(hotkey): Path<String>,
    _: SignedByAdmin,
) -> Result<Json<Removed>, ApiError> {
    if !need_board(&site)?.blacklist_remove(&hotkey).await? {
        return Err(ApiError::not_found("this hotkey on the blacklist"));
    }
    Ok(Json(Removed { removed: hotkey }))
}

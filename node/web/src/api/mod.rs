//! The HTTP API that the subnet's dashboards read.
//!
//! | file | paths |
//! |---|---|
//! | `overview.rs` | `/health`, `/overview`, `/weights` |
//! | `miners.rs` | `/miners/…` |
//! | `tasks.rs` | `/tasks/…` |
//! | `validators.rs` | `/validators/…` |
//! | `scores.rs` | `/scores/…` |
//! | `samples.rs` | `/samples/…` |
//! | `blacklist.rs` | `/blacklist/…` |
//! | `writes.rs` | what is common to posts, and those that only the subnet owner can do |
//! | `rows.rs` | which verdicts a list holds |
//!
//! The OpenAPI document is made from the same handlers and types, so that it cannot differ.

mod blacklist;
mod miners;
mod overview;
mod rows;
mod samples;
mod scores;
mod tasks;
#[cfg(test)]
mod tests;
mod validators;
mod writes;

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::site::Site;

#[derive(OpenApi)]
#[openapi(info(
    title = "Leoma",
    description = "What validators of the subnet agreed on. Errors are {\"detail\": …} with the \
        HTTP status. Signed calls carry X-Validator-Hotkey, X-Signature and X-Timestamp.",
    license(name = "MIT", identifier = "MIT")
))]
struct Document;

fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(overview::health))
        .routes(routes!(overview::overview))
        .routes(routes!(overview::weights))
        .routes(routes!(miners::list))
        .routes(routes!(miners::valid))
        .routes(routes!(miners::all))
        .routes(routes!(miners::active))
        .routes(routes!(miners::by_hotkey))
        .routes(routes!(miners::info))
        .routes(routes!(miners::by_uid))
        .routes(routes!(miners::tasks))
        .routes(routes!(miners::tasks_of_all))
        .routes(routes!(miners::report))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::latest))
        .routes(routes!(tasks::window))
        .routes(routes!(tasks::task))
        .routes(routes!(tasks::task_of_miner))
        .routes(routes!(validators::list, writes::add_validator))
        .routes(routes!(validators::one, writes::remove_validator))
        .routes(routes!(scores::all))
        .routes(routes!(scores::rank))
        .routes(routes!(scores::stats))
        .routes(routes!(scores::of_miner))
        .routes(routes!(scores::by_validators))
        .routes(routes!(scores::of_validator))
        .routes(routes!(samples::list))
        .routes(routes!(samples::of_any_task))
        .routes(routes!(samples::of_task))
        .routes(routes!(samples::of_validator))
        .routes(routes!(samples::of_miner))
        .routes(routes!(samples::post))
        .routes(routes!(samples::post_batch))
        .routes(routes!(blacklist::list, blacklist::add))
        .routes(routes!(blacklist::hotkeys))
        .routes(routes!(blacklist::one, blacklist::remove))
        .routes(routes!(writes::rotation_interval))
}

/// The paths of the API, and `/openapi.json`.
pub(crate) fn router() -> Router<Site> {
    let (router, _) = routes().split_for_parts();
    let document = openapi_json();
    router.route(
        "/openapi.json",
        get(|| async { ([(axum::http::header::CONTENT_TYPE, "application/json")], document) }),
    )
}

/// The OpenAPI document of the API, as indented JSON.
pub fn openapi_json() -> String {
    let (_, document) = routes().split_for_parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

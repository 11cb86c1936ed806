//! The pages: HTML from this server, readable without JavaScript, without requests to other hosts.
//!
//! | file | page |
//! |---|---|
//! | `overview.rs` | `/` |
//! | `miners.rs` | `/ui/miners`, `/ui/miners/{hotkey}` |
//! | `task.rs` | `/ui/tasks/{id}` |
//! | `validators.rs` | `/ui/validators` |
//! | `epochs.rs` | `/ui/epochs`, `/ui/epochs/{block}` |
//! | `node.rs` | `/ui/node`, for the operator alone |
//! | `layout.rs` | what all pages have |
//! | `audit.rs` | the commands that check what a page says |
//! | `charts.rs` | strips of tasks, lines over time, the mesh as a picture |
//! | `assets/` | the stylesheet and the script |

mod audit;
mod charts;
mod epochs;
mod layout;
mod miners;
mod node;
mod overview;
mod task;
#[cfg(test)]
mod tests;
mod validators;

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::site::Site;

const STYLES: &str = include_str!("assets/leoma.css");
const SCRIPT: &str = include_str!("assets/leoma.js");
const ICON: &str = include_str!("assets/icon.svg");

/// The pages for everybody.
pub(crate) fn router() -> Router<Site> {
    let asset = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/", get(overview::page))
        .route("/ui/miners", get(miners::list))
        .route("/ui/miners/{hotkey}", get(miners::one))
        .route("/ui/tasks/{id}", get(task::page))
        .route("/ui/validators", get(validators::page))
        .route("/ui/epochs", get(epochs::list))
        .route("/ui/epochs/{block}", get(epochs::one))
        .route("/assets/leoma.css", asset("text/css; charset=utf-8", STYLES))
        .route("/assets/leoma.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/assets/icon.svg", asset("image/svg+xml", ICON))
}

/// The page for the operator; to everybody else it says where it is.
pub(crate) fn node_router(operator: bool) -> Router<Site> {
    let page = if operator { get(node::page) } else { get(node::elsewhere) };
    Router::new().route("/ui/node", page)
}

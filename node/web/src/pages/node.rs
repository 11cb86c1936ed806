//! The operator's own page. It is on the private listener only.

use axum::extract::State;
use maud::html;

use super::layout::{Page, PageError};
use crate::site::{ApiError, Running, Site};
use crate::view::alarms;

pub(super) async fn page(
    State(site): State<Site>,
    source: Result<Running, ApiError>,
) -> Result<Page, PageError> {
    let Running(source) = source?;
    let checks = source.readiness();
    let ready = checks.iter().all(|check| check.ok);
    let view = source.subnet().view().await.map_err(ApiError::from)?;
    let alarms = alarms(&view, &checks, site.now());
    let body = html! {
        p.big { @if ready { span.yes { "Ready" } } @else { span.no { "Not ready" } } }
        div.scroll tabindex="0" role="region" aria-label="Checks" { table {
            thead { tr { th { "Check" } th { "Passes" } th { "Found" } } }
            tbody { @for check in &checks { tr {
                td { (check.name) }
                td { @if check.ok { span.yes { "yes" } } @else { span.no { "no" } } }
                td.wrap { (check.detail) }
            } } }
        } }
        @for alarm in alarms { p.alarm { b { (alarm.what) } ". Next: " (alarm.next) "." } }
        h2 { "Machine" }
        dl.facts { @for [name, value] in source.machine() { dt { (name) } dd.wrap { (value) } } }
        h2 { "Settings" }
        p.note { "Secrets are hidden. " code { "leoma config show" } " prints the same." }
        div.scroll tabindex="0" role="region" aria-label="Settings" { table {
            thead { tr { th { "Setting" } th { "Value" } th { "From" } } }
            tbody { @for [name, value, found] in source.settings() { tr {
                td { code { (name) } } td.wrap { (value) } td { (found) }
            } } }
        } }
    };
    Ok(Page { title: "My node".into(), section: "/ui/node", live: false, body })
}

/// On the public listener: where the page is.
pub(super) async fn elsewhere() -> Page {
    let body = html! {
        p { "The operator finds this page on the validator's own machine, at "
            code { "http://" "LEOMA_HTTP_LISTEN" "/ui/node" } "." }
    };
    Page { title: "My node".into(), section: "/ui/node", live: false, body }
}

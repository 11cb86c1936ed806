//! What all pages have: head, navigation, errors, and how things are written.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::site::ApiError;

/// A page, ready to be sent.
pub(super) struct Page {
    /// Its title.
    pub(super) title: String,
    /// The path of its entry in the navigation.
    pub(super) section: &'static str,
    /// Its content.
    pub(super) body: Markup,
    /// Whether it is refreshed at each block.
    pub(super) live: bool,
}

const SECTIONS: [(&str, &str); 5] = [
    ("/", "Overview"),
    ("/ui/miners", "Miners"),
    ("/ui/validators", "Validators"),
    ("/ui/epochs", "Epochs"),
    ("/ui/node", "My node"),
];

impl Page {
    fn markup(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Leoma" }
                    link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/leoma.css";
                    script src="/assets/leoma.js" defer {}
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header {
                        a.brand href="/" { "Leoma" }
                        nav aria-label="Pages" {
                            @for (path, name) in SECTIONS {
                                a href=(path) aria-current=[(path == self.section).then_some("page")] {
                                    (name)
                                }
                            }
                        }
                    }
                    main id="content" data-live[self.live] {
                        h1 { (self.title) }
                        (self.body)
                    }
                    footer {
                        "Served by this node. "
                        a href="/openapi.json" { "API" }
                        " · times are estimated from block numbers"
                    }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.markup().into_string()).into_response()
    }
}

/// An error as a page.
pub(super) struct PageError(ApiError);

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let ApiError { status, detail, .. } = self.0;
        let starting = status == StatusCode::SERVICE_UNAVAILABLE;
        let page = Page {
            title: if starting { "Not ready".into() } else { "Not found".into() },
            section: "",
            live: false,
            body: html! {
                p role="status" { (detail) }
                @if starting { p { "This page will be here in a moment: reload it." } }
            },
        };
        (status, page).into_response()
    }
}

/// First and last characters of a hotkey or hash, with all of it on hover and for readers.
pub(super) fn short(text: &str) -> Markup {
    let start: String = text.chars().take(6).collect();
    let count = text.chars().count();
    let end: String = text.chars().skip(count.saturating_sub(4)).collect();
    html! { abbr title=(text) { @if count > 12 { (start) "…" (end) } @else { (text) } } }
}

/// A miner, with a link to its page.
pub(super) fn miner(hotkey: &str) -> Markup {
    html! { a href={ "/ui/miners/" (hotkey) } { (short(hotkey)) } }
}

/// A task, with a link to its page.
pub(super) fn task(id: u64) -> Markup {
    html! { a href={ "/ui/tasks/" (id) } { (id) } }
}

/// A share as percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Points in tenths.
pub(super) fn points(tenths: u16) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A time as a reader sees it.
pub(super) fn time(iso: Option<String>) -> Markup {
    match iso {
        Some(iso) => html! {
            time datetime=(iso) { (iso.replace('T', " ").trim_end_matches('Z')) " UTC" }
        },
        None => html! { "–" },
    }
}

/// Something, or a dash.
pub(super) fn or_dash(value: Option<impl maud::Render>) -> Markup {
    match value {
        Some(value) => html! { (value) },
        None => html! { "–" },
    }
}

/// A reason word with what it means.
pub(super) fn reason(word: &str) -> Markup {
    let (kind, detail) = word.split_once(':').unwrap_or((word, ""));
    let meaning = match (kind, detail.split_once('=').map(|(name, _)| name)) {
        ("blacklisted", _) => "an administrator blacklisted it",
        ("missing_model_name", _) => "its commitment names no model",
        ("missing_model_revision", _) => "its commitment names no revision",
        ("missing_chute_id", _) => "its commitment names no chute",
        ("model_name_must_start_with_leoma", _) => "the repository's name must begin with leoma",
        ("model_name_must_end_with_hotkey", _) => "the repository's name must end with the hotkey",
        ("max_commits_exceeded_2", _) => "it committed more than twice",
        ("chute_fetch_failed", _) => "Chutes does not know its chute",
        ("chute_not_running", _) => "its chute is not hot: start it",
        ("revision_mismatch", Some("chute")) => {
            "its chute serves another revision than it committed"
        }
        ("revision_mismatch", Some("hf")) => "Hugging Face has another commit at this revision",
        ("hf_model_fetch_failed", _) => "Hugging Face has no weights at this revision",
        ("duplicate_model", _) => "another miner committed the same weights earlier",
        _ => "",
    };
    html! { code { (word) } @if !meaning.is_empty() { ": " (meaning) } }
}

/// A command to copy. The button works with JavaScript; the text can be selected without.
pub(super) fn command(text: &str) -> Markup {
    html! { div.command { pre tabindex="0" { code { (text) } } button type="button" data-copy hidden { "Copy" } } }
}

/// Where an epoch was computed from files alone, in place of the command that checks it.
pub(super) fn uncertified() -> Markup {
    html! { p.note {
        "Computed from the verdict files in buckets, without certificates and witnesses. A "
        "validator's page has what it decided, with the command that checks it."
    } }
}

/// Nothing to show, and why.
pub(super) fn nothing(why: &str) -> Markup {
    html! { p.nothing { (why) } }
}

/// Pieces after each other.
pub(super) fn joined(pieces: impl IntoIterator<Item = Markup>, between: &str) -> Markup {
    let pieces: Vec<String> = pieces.into_iter().map(Markup::into_string).collect();
    PreEscaped(pieces.join(&html! { (between) }.into_string()))
}

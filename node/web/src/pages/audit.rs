//! The commands with which a reader checks what a page says, as they are pasted into a shell.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::access::asked_host;
use crate::site::Site;
use crate::view::{Epoch, TaskFile, TaskRecord, View};

/// The subnet that commands are about unless they name another.
const NETUID: u16 = 99;

/// The address under which the reader asked for the page, which the commands ask too: it works from
/// the reader's machine. `None` where it is not known or could mean something to a shell.
pub(super) struct Asked(Option<String>);

impl FromRequestParts<Site> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Infallible> {
        let header = parts.headers.get(header::HOST).map(|value| value.as_bytes());
        let host = asked_host(&parts.uri, header).and_then(|host| std::str::from_utf8(host).ok());
        let forwarded = parts.headers.get("x-forwarded-proto");
        let scheme = if forwarded.is_some_and(|value| value == "https") { "https" } else { "http" };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        let host = host.filter(|host| !host.is_empty() && host.bytes().all(plain));
        Ok(Self(host.map(|host| format!("{scheme}://{host}"))))
    }
}

/// `leoma audit` for the chain and subnet of this page.
fn audit(view: &View) -> String {
    let snapshot = &view.snapshot;
    let mut command = String::new();
    if let Some(network) = &snapshot.network {
        command.push_str(&format!("NETWORK={network} "));
    }
    if snapshot.netuid != NETUID {
        command.push_str(&format!("NETUID={} ", snapshot.netuid));
    }
    if let Some(mechanism) = &snapshot.mechanism {
        command.push_str(&format!("MECHANISM={mechanism} "));
    }
    command.push_str("leoma audit");
    command
}

/// The allowlist from here: a reader may not be able to read the source bucket. The chain names its
/// hash, so it cannot be forged.
fn allowlist(asked: &str, digest: Option<&String>) -> String {
    digest.map_or_else(String::new, |digest| {
        format!(" --allowlist <(curl -fsS {asked}/allowlists/{digest})")
    })
}

/// The command that recomputes an epoch.
pub(super) fn of_epoch(view: &View, epoch: &Epoch, Asked(asked): &Asked) -> String {
    let mut command = format!("{} --epoch {}", audit(view), epoch.block);
    if let Some(asked) = asked {
        command.push_str(&format!(" --validator {asked}"));
        command.push_str(&allowlist(asked, epoch.allowlist.as_ref()));
    }
    command
}

/// The command that scores a task's videos again, from the sampler's files as this page passes them
/// on.
pub(super) fn of_scores(view: &View, file: &TaskFile, Asked(asked): &Asked) -> String {
    let mut command = format!("{} --task {} --scores", audit(view), file.verdict.task_id);
    if let Some(asked) = asked {
        command.push_str(&format!(" --buckets {asked}/media/{}", file.verdict.producer));
    }
    command
}

/// The command that checks a task's clip, or all of a task that has none, with the sampler's files
/// as this page passes them on.
pub(super) fn of_task(
    view: &View,
    file: &TaskFile,
    record: &TaskRecord,
    Asked(asked): &Asked,
) -> String {
    let mut command = format!("{} --task {}", audit(view), file.verdict.task_id);
    if let Some(asked) = asked {
        command.push_str(&format!(" --buckets {asked}/media/{}", file.verdict.producer));
        command.push_str(&allowlist(asked, record.allowlist.as_ref()));
    }
    command
}

//! `/media/…`: the files of tasks that are held here, passed on from their sampler's bucket, so
//! that a page needs no other host. Below a sampler's hotkey every file has the same name as in the
//! bucket, so that `leoma audit --buckets` reads it like the bucket.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use leoma_protocol::Hotkey;

use crate::access::Permits;
use crate::headers::client_of;
use crate::listener::Peer;
use crate::site::{ApiError, Now, Site};
use crate::source::{Media, MediaObject};
use crate::view::View;

/// Objects are written once, so that a copy stays true.
const FOR_A_DAY: &str = "public, max-age=86400, immutable";
/// Bytes that are handed to a connection at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What can be asked for.
enum Asked {
    /// A file in the sampler's bucket.
    Media(Media),
    /// The verdict file, which is held here.
    Verdict { task_id: u64, producer: String },
}

/// The object with this name, if a verdict file that is held here speaks of it: nothing else in a
/// bucket can be asked for.
fn known(view: &View, producer: &str, task_id: &str, name: &str) -> Option<Asked> {
    let task_id: u64 = task_id.parse().ok()?;
    let hotkey: Hotkey = producer.parse().ok()?;
    let files = view.files_of(task_id);
    let file = files.iter().find(|file| &*file.verdict.producer == producer)?;
    let object = match name.split_once('/') {
        None if name == "metadata.json" => MediaObject::Metadata,
        None if name == "first_frame.png" => MediaObject::FirstFrame,
        None if name == "original_clip.mp4" => MediaObject::Clip,
        None if name == "challenge.wav" => MediaObject::Sound,
        None if name == "reference.bvh" => MediaObject::Reference,
        Some(("answers", answer)) => {
            let miner = answer.strip_suffix(".bvh")?;
            view.entry_of(file, miner)?;
            MediaObject::Motion(miner.parse().ok()?)
        }
        Some(("generated_videos", answer)) => {
            let miner = answer.strip_suffix(".mp4")?;
            view.entry_of(file, miner)?;
            MediaObject::Answer(miner.parse().ok()?)
        }
        Some(("evaluation_results", verdict)) if verdict.strip_suffix(".json")? == producer => {
            return Some(Asked::Verdict { task_id, producer: producer.to_owned() });
        }
        _ => return None,
    };
    Some(Asked::Media(Media { task_id, producer: hotkey, object }))
}

pub(crate) async fn media(
    State(site): State<Site>,
    Now(view): Now,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path((producer, task_id, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let media = match known(&view, &producer, &task_id, &name) {
        Some(Asked::Media(media)) => media,
        Some(Asked::Verdict { task_id, producer }) => {
            let file = site.source()?.verdict(task_id, &producer).await;
            let file = file.ok_or_else(|| ApiError::not_found("this verdict file"))?;
            return Ok(([(header::CONTENT_TYPE, "application/json")], file).into_response());
        }
        None => return Err(ApiError::not_found("this file")),
    };
    let visitor = client_of(peer.ip(), &headers);
    let Some((bytes, room)) = fetch(&site, media, visitor).await? else {
        return Err(ApiError::not_found("this file in its sampler's bucket"));
    };
    let kind = match media.object {
        MediaObject::Metadata => "application/json",
        MediaObject::FirstFrame => "image/png",
        MediaObject::Clip | MediaObject::Answer(_) => "video/mp4",
        MediaObject::Sound => "audio/wav",
        MediaObject::Reference | MediaObject::Motion(_) => "application/octet-stream",
    };
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let response = match range.map(|text| range_of(text, bytes.len() as u64)) {
        None => sent(bytes, room),
        Some(Some((first, last))) => part(&bytes, first, last, room),
        Some(None) => {
            let all = format!("bytes */{}", bytes.len());
            (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, all)]).into_response()
        }
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, FOR_A_DAY),
        // A stranger made these bytes: nothing in them may act for this site.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    Ok((headers, response).into_response())
}

/// The file, with its room in memory, which is taken until the answer is sent.
async fn fetch(
    site: &Site,
    media: Media,
    visitor: IpAddr,
) -> Result<Option<(Bytes, Permits)>, ApiError> {
    let turn = site.videos.turn(visitor, media.producer).await?;
    let Some(bytes) = site.subnet()?.media(media).await? else { return Ok(None) };
    let room = site.videos.room(visitor, bytes.len()).await?;
    drop(turn);
    Ok(Some((bytes, room)))
}

/// An answer that gives its room back when it is sent or given up.
fn sent(bytes: Bytes, room: Permits) -> Response {
    let length = [(header::CONTENT_LENGTH, bytes.len())];
    let chunks = stream::unfold((bytes, room), |(mut left, room)| async move {
        let chunk = left.split_to(left.len().min(CHUNK_BYTES));
        (!chunk.is_empty()).then_some((Ok::<_, Infallible>(chunk), (left, room)))
    });
    (StatusCode::OK, length, Body::from_stream(chunks)).into_response()
}

fn part(bytes: &Bytes, first: u64, last: u64, room: Permits) -> Response {
    let content_range = format!("bytes {first}-{last}/{}", bytes.len());
    let wanted = bytes.slice(first as usize..=last as usize);
    let headers = [(header::CONTENT_RANGE, content_range)];
    (StatusCode::PARTIAL_CONTENT, headers, sent(wanted, room)).into_response()
}

/// First and last byte of a range such as `bytes=0-`, `bytes=5-9` or `bytes=-3`; `None` if no byte
/// is in it, or there are several ranges.
fn range_of(text: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), length.checked_sub(1)?),
        (first, "") => (first.parse().ok()?, length.checked_sub(1)?),
        (first, last) => {
            (first.parse().ok()?, last.parse::<u64>().ok()?.min(length.checked_sub(1)?))
        }
    };
    (first <= last && last < length).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_the_file() {
        for (text, expected) in [
            ("bytes=0-", Some((0, 9))),
            ("bytes=3-5", Some((3, 5))),
            ("bytes=3-500", Some((3, 9))),
            ("bytes=-4", Some((6, 9))),
            ("bytes=-400", Some((0, 9))),
            ("bytes=-0", None),
            ("bytes=10-", None),
            ("bytes=5-3", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("items=0-1", None),
            ("bytes=18446744073709551615-", None),
        ] {
            assert_eq!(range_of(text, 10), expected, "{text}");
        }
        assert_eq!(range_of("bytes=0-", 0), None);
    }
}

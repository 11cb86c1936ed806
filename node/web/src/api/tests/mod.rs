//! The contract with the dashboards: every path, field and type of the Python API.
//!
//! | file | tests |
//! |---|---|
//! | `reads.rs` | the fields of every answer, and what is not known |
//! | `posts.rs` | who may post what, and what becomes of it |
//! | `listeners.rs` | headers, names, limits and videos, for the operator and for everybody |

mod listeners;
mod posts;
mod reads;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use leoma_protocol::{Digest, Hotkey};
use serde_json::Value;
use sp_core::{Pair as _, sr25519};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::listener::Peer;
use crate::server::{Audience, router};
use crate::site::{Clock, Site, SiteSettings};
use crate::source::Start;
use crate::testing::{MemorySource, Scale, subnet};
use crate::view::{Snapshot, Validator};

const NOW: i64 = 1_780_000_000;
const PEER: ConnectInfo<Peer> =
    ConnectInfo(Peer(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 40_000))));

fn pair(seed: u8) -> sr25519::Pair {
    sr25519::Pair::from_seed(&[seed; 32])
}

fn hotkey(seed: u8) -> String {
    Hotkey::from(pair(seed).public()).to_string()
}

/// Keys 1 and 2 are validators, key 9 is an administrator.
fn snapshot() -> Snapshot {
    let mut snapshot = subnet(Scale { miners: 5, tasks: 12, validators: 3 });
    for seed in [1, 2] {
        let validator =
            Validator { hotkey: hotkey(seed).into(), listed: true, ..Validator::default() };
        snapshot.validators.push(validator);
    }
    snapshot
}

fn app_of(snapshot: Snapshot, audience: Audience) -> Router {
    app_at(snapshot, audience, || NOW * 1000)
}

fn app_at(snapshot: Snapshot, audience: Audience, clock: Clock) -> Router {
    let (start, progress) = Start::new("test");
    start.finish(MemorySource::new(snapshot));
    let admin = Hotkey::from(pair(9).public());
    let settings = SiteSettings { admins: vec![admin], ..SiteSettings::default() };
    router(Site::at(progress, settings, CancellationToken::new(), clock), audience)
}

fn app() -> Router {
    app_of(snapshot(), Audience::Operator)
}

async fn ask(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn get(app: &Router, path: &str) -> (StatusCode, Value) {
    let response = ask(app, Request::get(path).body(Body::empty()).unwrap()).await;
    let status = response.status();
    let body = text(response).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

fn signed_by(seed: u8, method: Method, path: &str, body: &str, at: i64) -> Request<Body> {
    let message = format!("{}:{at}", Digest::of(body.as_bytes()));
    let signature = pair(seed).sign(message.as_bytes());
    Request::builder()
        .method(method)
        .uri(path)
        .header("X-Validator-Hotkey", hotkey(seed))
        .header("X-Signature", hex::encode(signature.0))
        .header("X-Timestamp", at.to_string())
        .body(Body::from(body.to_owned()))
        .unwrap()
}

async fn call(app: &Router, seed: u8, method: Method, path: &str, body: &str) -> (u16, Value) {
    let response = ask(app, signed_by(seed, method, path, body, NOW)).await;
    (response.status().as_u16(), serde_json::from_str(&text(response).await).unwrap())
}

/// `field:type`, where a type may be `int`, `num`, `text`, `bool`, `list`, `map` or `time`, and `?`
/// allows null.
fn check(path: &str, value: &Value, fields: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{path}: not an object: {value}"));
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap();
        let found = object.get(name).unwrap_or_else(|| panic!("{path}: no field {name}"));
        let (kind, nullable) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        let right = match kind {
            "int" => found.is_u64() || found.is_i64(),
            "num" => found.is_number(),
            "text" => found.is_string(),
            "bool" => found.is_boolean(),
            "list" => found.is_array(),
            "map" => found.is_object(),
            "time" => found
                .as_str()
                .is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
            other => panic!("no type is named {other}"),
        };
        assert!(right || (nullable && found.is_null()), "{path}: {name} is {found}, not {kind}");
    }
}

const SAMPLE: &str = "id:int task_id:int validator_hotkey:text miner_hotkey:text prompt:text? \
    passed:bool confidence:int? reasoning:text? evaluated_at:time? latency_ms:int?";

#[test]
fn the_openapi_document_in_docs_is_that_of_the_handlers() {
    let written = include_str!("../../../../../docs/openapi.json");
    assert!(
        written == super::openapi_json(),
        "run `leoma reference docs` to write docs/openapi.json"
    );
}

//! Pulling from a stand-in of the registry's file API.

use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::StreamExt as _;
use indicatif::ProgressBar;
use leoma_protocol::Digest;
use serde_json::{Value, json};

use super::pull::{PullError, Pulled};
use super::*;
use crate::config::{Config, Sources};

const MODEL: &str = "siglip-base-patch16-224";

/// A repository at one commit, and what goes wrong with it.
#[derive(Debug, Default)]
struct Registry {
    commit: String,
    files: Vec<(&'static str, Vec<u8>)>,
    /// Bytes after which an answer breaks off, used up one by one.
    breaks: Vec<usize>,
    /// Whether the weights' sum is that of other bytes.
    lies: bool,
    /// `Range` of every request for a file.
    ranges: Vec<Option<String>>,
}

type Shared = Arc<Mutex<Registry>>;

fn a_registry() -> Registry {
    let weights = (0..200_000_u32).map(|at| ((at * 7919) >> 5) as u8).collect();
    Registry {
        commit: "c".repeat(40),
        files: vec![
            ("config.json", b"{}".to_vec()),
            ("model.safetensors", weights),
            ("tokenizer.json", b"{\"t\": 1}".to_vec()),
            ("README.md", b"not needed".to_vec()),
        ],
        ..Registry::default()
    }
}

async fn commit(State(registry): State<Shared>) -> Json<Value> {
    let registry = registry.lock().unwrap();
    let sibling = |(name, bytes): &(&str, Vec<u8>)| {
        let mut sibling = json!({"rfilename": name, "size": bytes.len()});
        if name.ends_with(".safetensors") {
            let sum = if registry.lies { Digest::of(b"other") } else { Digest::of(bytes) };
            sibling["lfs"] = json!({"sha256": sum.to_string(), "size": bytes.len()});
        }
        sibling
    };
    let siblings: Vec<Value> = registry.files.iter().map(sibling).collect();
    Json(json!({"sha": registry.commit, "siblings": siblings}))
}

async fn file(
    State(registry): State<Shared>,
    Path((_, _, revision, name)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut registry = registry.lock().unwrap();
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    registry.ranges.push(range.clone());
    let Some((_, bytes)) = registry.files.iter().find(|(known, _)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    assert_eq!(revision, registry.commit);
    let from: usize = range.map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
    let rest = bytes[from..].to_vec();
    let status = if from > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let said = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    let breaks = (name == "model.safetensors").then(|| registry.breaks.pop()).flatten();
    let body = match breaks {
        None => Body::from(rest),
        Some(after) => {
            let first = Bytes::from(rest[..after].to_vec());
            let broken = async {
                // The client has to have read what comes before.
                tokio::time::sleep(Duration::from_millis(300)).await;
                Err(std::io::Error::other("the line is cut"))
            };
            let begun = futures::stream::once(async { Ok(first) });
            Body::from_stream(begun.chain(futures::stream::once(broken)))
        }
    };
    (status, [(header::CONTENT_RANGE, said)], body).into_response()
}

/// A registry that answers, and a client of it.
async fn served(registry: Registry) -> (Shared, Hub) {
    let shared: Shared = Arc::new(Mutex::new(registry));
    let router = axum::Router::new()
        .route("/api/models/{owner}/{name}/revision/{revision}", get(commit))
        .route("/{owner}/{name}/resolve/{revision}/{file}", get(file))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = [("HF_API_URL", base.as_str()), ("LEOMA_LOCAL_NETWORK", "true")];
    let environment =
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let config = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
    let hub = Hub::new(&config.services).unwrap();
    (shared, hub)
}

async fn pulled(hub: &Hub, folder: &FilePath, revision: Option<&str>) -> Result<Pulled, PullError> {
    let model = KnownModel::find(MODEL).unwrap();
    pull(hub, model, folder, revision, &ProgressBar::hidden()).await
}

#[tokio::test]
async fn a_model_is_pulled_once_and_verified_by_its_lock() {
    let (registry, hub) = served(a_registry()).await;
    let folder = tempfile::tempdir().unwrap();
    let first = pulled(&hub, folder.path(), None).await.unwrap();
    assert_eq!(first.fetched, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(first.lock.revision, "c".repeat(40));
    let stated: Vec<bool> = first.lock.files.iter().map(|file| file.stated).collect();
    assert_eq!(stated, [false, true, false], "only large files have a sum in the registry");
    // A newer commit changes nothing until it is asked for.
    registry.lock().unwrap().commit = "d".repeat(40);
    assert_eq!(pulled(&hub, folder.path(), None).await.unwrap().fetched, [""; 0]);
    let lock = Lock::read(folder.path()).unwrap().unwrap();
    assert_eq!(lock, first.lock);
    let states = verify(&lock, folder.path()).await.unwrap();
    assert!(states.iter().all(|(_, state)| *state == FileState::Matches), "{states:?}");
    // One bit, and a file that is gone.
    let weights = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let states = verify(&lock, folder.path()).await.unwrap();
    assert_eq!(states[0].1, FileState::Missing);
    assert!(matches!(&states[1].1, FileState::Differs { found } if found.starts_with("sha256")));
    registry.lock().unwrap().commit = "c".repeat(40);
    let mended = pulled(&hub, folder.path(), None).await.unwrap();
    assert_eq!(mended.fetched, ["config.json", "model.safetensors"]);
    // The small file is compared with what came first.
    registry.lock().unwrap().files[0].1 = b"[]".to_vec();
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let error = pulled(&hub, folder.path(), None).await.unwrap_err().to_string();
    assert!(error.contains("config.json has sha256"), "{error}");
}

#[tokio::test]
async fn a_pull_that_breaks_off_goes_on_where_it_ended() {
    // The second answer breaks off at once, which is no progress, the first and third do not.
    let breaks = vec![100_000, 0, 50_000];
    let (registry, hub) = served(Registry { breaks, ..a_registry() }).await;
    let folder = tempfile::tempdir().unwrap();
    let pulled = pulled(&hub, folder.path(), None).await.unwrap();
    assert_eq!(pulled.fetched.len(), 3);
    let registry = registry.lock().unwrap();
    let resumed: Vec<&str> = registry.ranges.iter().flatten().map(String::as_str).collect();
    assert!(!resumed.is_empty() && resumed.iter().all(|range| range.starts_with("bytes=")));
    assert_eq!(
        std::fs::read(folder.path().join("model.safetensors")).unwrap(),
        registry.files[1].1
    );
}

#[tokio::test]
async fn bytes_with_another_sum_are_not_kept() {
    let (_registry, hub) = served(Registry { lies: true, ..a_registry() }).await;
    let folder = tempfile::tempdir().unwrap();
    let error = pulled(&hub, folder.path(), None).await.unwrap_err().to_string();
    let expected = Digest::of(b"other").to_string();
    assert!(error.contains("model.safetensors has sha256") && error.contains(&expected), "{error}");
    assert!(!folder.path().join("model.safetensors").exists());
    assert_eq!(parts_in(folder.path()), [""; 0]);
}

/// The names of files that have not come whole.
fn parts_in(folder: &FilePath) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".part")).collect()
}

#[tokio::test]
async fn a_pull_goes_on_with_bytes_of_its_own_commit_alone() {
    let (registry, hub) = served(a_registry()).await;
    let folder = tempfile::tempdir().unwrap();
    let weights = registry.lock().unwrap().files[1].1.clone();
    let part = |commit: &str| folder.path().join(format!(".model.safetensors.{commit}.part"));
    // What an earlier pull of another commit left, which may even be as long as the file.
    std::fs::write(part(&"d".repeat(40)), vec![0; weights.len()]).unwrap();
    std::fs::write(folder.path().join(".model.safetensors.part"), [0; 1000]).unwrap();
    std::fs::write(part(&"c".repeat(40)), &weights[..1000]).unwrap();
    pulled(&hub, folder.path(), None).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("model.safetensors")).unwrap(), weights);
    let registry = registry.lock().unwrap();
    let ranges: Vec<&str> = registry.ranges.iter().flatten().map(String::as_str).collect();
    assert_eq!(ranges, ["bytes=1000-"]);
    assert_eq!(parts_in(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_commit_without_a_needed_file_is_refused_with_the_next_step() {
    let mut registry = a_registry();
    registry.files.retain(|(name, _)| *name != "model.safetensors");
    let (_registry, hub) = served(registry).await;
    let folder = tempfile::tempdir().unwrap();
    let error = pulled(&hub, folder.path(), None).await.unwrap_err().to_string();
    assert!(error.contains("has no model.safetensors") && error.contains("--revision"), "{error}");
}

#[tokio::test]
async fn a_pulled_folder_is_copied_to_a_machine_without_a_network() {
    let (_registry, hub) = served(a_registry()).await;
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = KnownModel::find(MODEL).unwrap();
    let progress = ProgressBar::hidden();
    let error = copy(model, folder.path(), other.path(), &progress).await.unwrap_err().to_string();
    assert!(error.contains("holds no pulled model"), "{error}");
    let first = pulled(&hub, folder.path(), None).await.unwrap();
    let copied = copy(model, folder.path(), other.path(), &progress).await.unwrap();
    assert_eq!((copied.lock.clone(), copied.fetched.len()), (first.lock, 3));
    let states = verify(&copied.lock, other.path()).await.unwrap();
    assert!(states.iter().all(|(_, state)| *state == FileState::Matches));
    std::fs::write(folder.path().join("tokenizer.json"), b"{\"t\": 2}").unwrap();
    std::fs::remove_file(other.path().join("tokenizer.json")).unwrap();
    let error = copy(model, folder.path(), other.path(), &progress).await.unwrap_err().to_string();
    assert!(error.contains("tokenizer.json has sha256"), "{error}");
}

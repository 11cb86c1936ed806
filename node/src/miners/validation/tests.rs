//! Miners checked against doubles of both services.

use std::sync::Mutex;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::*;
use crate::config::{Config, Sources};
use crate::outbound::Reach;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "planted-token";

/// What a double answers about one miner, or about all.
#[derive(Clone, Debug)]
enum Says {
    /// A status, an `X-Error-Code` and a message.
    Status(u16, &'static str, &'static str),
    /// 429 with nothing left for this many seconds.
    Limited(u64),
    /// A page.
    Page,
    /// Half of an announced body.
    Half,
    /// The right answer, late.
    Late,
    /// A redirect to this address.
    Redirect(String),
    /// The right answer about a chute, with this `hot` or without it.
    Hot(Option<serde_json::Value>),
    /// The right answer with this `lfs`.
    Lfs(serde_json::Value),
}

#[derive(Clone, Debug, Default)]
struct Doubles(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    chutes: HashMap<String, Says>,
    all_chutes: Option<Says>,
    models: HashMap<String, Says>,
    all_models: Option<Says>,
    requests: Vec<(String, Option<String>)>,
}

impl Says {
    fn response(&self) -> Option<Response> {
        Some(match self {
            Self::Status(status, code, message) => {
                let status = StatusCode::from_u16(*status).unwrap();
                let mut headers = HeaderMap::new();
                if !code.is_empty() {
                    headers.insert("x-error-code", code.parse().unwrap());
                }
                (status, headers, Json(json!({ "error": message }))).into_response()
            }
            Self::Limited(seconds) => {
                let named = format!("\"api\";r=0;t={seconds}");
                (StatusCode::TOO_MANY_REQUESTS, [("ratelimit", named)]).into_response()
            }
            Self::Page => "<html>moved</html>".into_response(),
            Self::Redirect(to) => axum::response::Redirect::temporary(to).into_response(),
            Self::Half => {
                let half = axum::body::Body::from_stream(futures::stream::iter([
                    Ok(bytes::Bytes::from_static(b"{\"sha\"")),
                    Err(std::io::Error::other("broken off")),
                ]));
                half.into_response()
            }
            Self::Hot(hot) => {
                let mut chute = json!({"slug": "c", "revision": REVISION});
                if let Some(hot) = hot {
                    chute["hot"] = hot.clone();
                }
                Json(chute).into_response()
            }
            Self::Late | Self::Lfs(_) => return None,
        })
    }
}

/// A limit is announced only once all concurrent requests are on their way.
async fn said(says: Option<&Says>) -> Option<Response> {
    let late = match says {
        Some(Says::Limited(_)) => 300,
        Some(Says::Late) => 1000,
        _ => 0,
    };
    tokio::time::sleep(Duration::from_millis(late)).await;
    says.and_then(Says::response)
}

impl Doubles {
    async fn chute(State(doubles): State<Self>, Path(id): Path<String>) -> Response {
        let says = {
            let mut inner = doubles.0.lock().unwrap();
            inner.requests.push((format!("chutes/{id}"), None));
            inner.all_chutes.as_ref().or(inner.chutes.get(&id)).cloned()
        };
        said(says.as_ref()).await.unwrap_or_else(|| {
            Json(json!({"hot": true, "slug": id, "revision": REVISION})).into_response()
        })
    }

    async fn model(
        State(doubles): State<Self>,
        Path(path): Path<String>,
        headers: HeaderMap,
    ) -> Response {
        let token = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let name = path.split("/revision/").next().unwrap().to_owned();
        let says = {
            let mut inner = doubles.0.lock().unwrap();
            inner.requests.push((path.clone(), token));
            inner.all_models.as_ref().or(inner.models.get(&name)).cloned()
        };
        said(says.as_ref()).await.unwrap_or_else(|| {
            let plain = json!({"sha256": leoma_protocol::Digest::of(name.as_bytes()).to_string()});
            let lfs = match says {
                Some(Says::Lfs(lfs)) => lfs,
                _ => plain,
            };
            let files = json!([{"rfilename": "a.safetensors", "lfs": lfs}]);
            Json(json!({"id": name, "sha": REVISION, "siblings": files})).into_response()
        })
    }

    /// Listens, and returns the address.
    async fn serve(&self) -> String {
        let router = axum::Router::new()
            .route("/chutes/{id}", get(Self::chute))
            .route("/api/models/{*path}", get(Self::model))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.lock().unwrap());
    }

    /// Requests whose path contains `part`.
    fn asked(&self, part: &str) -> Vec<(String, Option<String>)> {
        let requests = self.0.lock().unwrap().requests.clone();
        requests.into_iter().filter(|(path, _)| path.contains(part)).collect()
    }
}

/// A validator before the doubles, and what it found last.
struct World {
    doubles: Doubles,
    validator: MinerValidator,
    alarms: Alarms,
    table: MinerTable,
    subjects: Vec<Subject>,
}

fn hotkey(n: u8) -> Hotkey {
    Hotkey::from_bytes([n; 32])
}

fn model_of(n: u8) -> String {
    format!("owner/leoma-{}", hotkey(n))
}

impl World {
    /// `miners` valid miners, checked once; afterwards nothing is cached.
    async fn new(miners: u8, token: Option<&str>) -> Self {
        let world = Self::unchecked(miners, token, "3600").await;
        assert_eq!(world.table.valid().count(), usize::from(miners));
        world
    }

    async fn unchecked(miners: u8, token: Option<&str>, state_ttl: &str) -> Self {
        let doubles = Doubles::default();
        let base = doubles.serve().await;
        let mut settings = vec![
            ("CHUTES_API_URL", base.as_str()),
            ("HF_API_URL", &base),
            ("CHUTE_CACHE_TTL", "0"),
            ("MODEL_HASH_CACHE_TTL", "0"),
            ("MINER_STATE_TTL", state_ttl),
            ("CHUTES_REQUESTS_PER_MINUTE", "60000"),
            ("HF_REQUESTS_PER_MINUTE", "60000"),
        ];
        settings.extend(token.map(|token| ("HF_TOKEN", token)));
        let environment = settings.into_iter().map(|(name, value)| (name.into(), value.into()));
        let sources = Sources { environment: environment.collect(), ..Sources::default() };
        let services = Config::load(&sources).unwrap().services;
        let (reach, alarms) = (Reach::new(true), Alarms::default());
        let validator = MinerValidator::new(
            ChutesClient::new(reach, &services).unwrap(),
            HuggingFaceClient::new(reach, &services).unwrap(),
            &services,
            alarms.clone(),
        );
        let subject = |n: u8| {
            let text = json!({
                "model_name": model_of(n), "model_revision": REVISION, "chute_id": format!("c{n}"),
            });
            let commitment =
                Commitment { block: BlockNumber(n.into()), text: text.to_string(), count: 1 };
            Subject { hotkey: hotkey(n), uid: Uid(n.into()), commitment }
        };
        let subjects = (1..=miners).map(subject).collect();
        let mut world = Self { doubles, validator, alarms, table: MinerTable::default(), subjects };
        world.check().await;
        world
    }

    async fn check(&mut self) {
        let subjects = self.subjects.clone();
        self.table = self.validator.check(BlockNumber(9), subjects, &self.table).await;
    }

    /// One word for each miner.
    fn states(&self) -> Vec<String> {
        let word = |validity: &Validity| match validity {
            Validity::Valid { .. } => "valid".to_owned(),
            Validity::Served { address } => format!("served at {address}"),
            Validity::Invalid { reason } => reason.clone(),
            Validity::Unknown { .. } => "unknown".to_owned(),
        };
        self.table.miners.values().map(|miner| word(&miner.validity)).collect()
    }

    fn alarm(&self) -> String {
        let checks = self.alarms.checks();
        checks.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect()
    }
}

#[tokio::test]
async fn h1_a_hidden_gated_or_deleted_repository_makes_its_miner_invalid_alone() {
    for (status, code) in [
        (401, "RepoNotFound"),
        (403, "GatedRepo"),
        (401, "GatedRepo"),
        (404, "RepoNotFound"),
        (404, "RevisionNotFound"),
        (403, "DisabledRepo"),
    ] {
        for token in [None, Some(TOKEN)] {
            let mut world = World::new(3, token).await;
            let says = Says::Status(status, code, "Access is restricted");
            world.doubles.set(|inner| drop(inner.models.insert(model_of(1), says)));
            world.check().await;
            assert_eq!(world.states(), ["hf_model_fetch_failed", "valid", "valid"], "{code}");
            assert_eq!(world.alarm(), "", "{status} {code} {token:?}");
        }
    }
}

#[tokio::test]
async fn h2_a_bad_token_is_ours_and_named_and_makes_nobody_invalid() {
    let mut world = World::new(2, Some(TOKEN)).await;
    let bad = Says::Status(401, "", "Invalid credentials in Authorization header");
    world.doubles.set(|inner| inner.all_models = Some(bad));
    world.check().await;
    assert_eq!(world.states(), ["valid", "valid"]);
    assert!(world.alarm().contains("HF_TOKEN"), "{}", world.alarm());
    assert!(!world.alarm().contains(TOKEN));
    world.doubles.set(|inner| inner.all_models = None);
    world.check().await;
    assert_eq!(world.alarm(), "");

    // As a repository that does not exist, which is what it says to a bad token too.
    let hidden = Says::Status(401, "RepoNotFound", "Invalid credentials");
    world.doubles.set(|inner| inner.all_models = Some(hidden));
    world.check().await;
    assert_eq!(world.states(), ["valid", "valid"]);
    assert!(world.alarm().contains("HF_TOKEN"), "{}", world.alarm());
}

#[tokio::test]
async fn a_chute_that_the_api_does_not_call_running_or_not_keeps_its_state() {
    for silent in [None, Some(serde_json::Value::Null)] {
        let mut world = World::new(3, None).await;
        let says = Says::Hot(silent.clone());
        world.doubles.set(|inner| drop(inner.chutes.insert("c1".into(), says.clone())));
        world.check().await;
        assert_eq!(world.states(), ["valid"; 3]);
        assert_eq!(world.alarm(), "", "it is one of three");
        world.doubles.set(|inner| inner.all_chutes = Some(says));
        world.check().await;
        assert_eq!(world.states(), ["valid"; 3]);
        assert!(world.alarm().starts_with("chutes: "), "{}", world.alarm());
        assert!(world.alarm().contains("`hot`"), "{}", world.alarm());
        // One that is said not to run does not.
        world.doubles.set(|inner| inner.all_chutes = Some(Says::Hot(Some(false.into()))));
        world.check().await;
        assert_eq!(world.states(), ["chute_not_running"; 3]);
        assert_eq!(world.alarm(), "");
    }
}

#[tokio::test]
async fn an_error_that_names_every_repository_is_ours_unless_the_control_is_answered() {
    for (status, code, token) in [
        (404, "RepoNotFound", None),
        (404, "RepoNotFound", Some(TOKEN)),
        (401, "RepoNotFound", None),
        (404, "RevisionNotFound", Some(TOKEN)),
        (403, "GatedRepo", None),
    ] {
        let says = || Says::Status(status, code, "Repository not found");
        let mut world = World::new(3, token).await;
        world.doubles.set(|inner| inner.all_models = Some(says()));
        world.check().await;
        assert_eq!(world.states(), ["valid"; 3], "{status} {code} {token:?}");
        assert!(world.alarm().starts_with("hugging_face: "), "{}", world.alarm());

        // The public model is there: these repositories are gone indeed.
        world.doubles.set(|inner| {
            inner.all_models = None;
            inner.models = [1, 2, 3].map(|n| (model_of(n), says())).into();
        });
        world.check().await;
        assert_eq!(world.states(), ["hf_model_fetch_failed"; 3], "{status} {code} {token:?}");
        assert_eq!(world.alarm(), "", "{status} {code} {token:?}");
    }
}

#[tokio::test]
async fn nothing_is_known_of_a_repository_that_was_named_only_while_all_were() {
    let mut world = World::unchecked(2, None, "0").await;
    let says = Says::Status(404, "RepoNotFound", "Repository not found");
    world.doubles.set(|inner| inner.all_models = Some(says));
    world.check().await;
    assert_eq!(world.states(), ["unknown"; 2], "no state stands any more");
}

#[tokio::test]
async fn h3_withheld_hashes_make_two_miners_neither_valid_nor_copies() {
    let mut world = World::new(2, None).await;
    let hidden = || Says::Lfs(json!({"sha256": "*".repeat(64)}));
    world.doubles.set(|inner| {
        inner.models = [1, 2].map(|n| (model_of(n), hidden())).into();
    });
    world.check().await;
    assert_eq!(world.states(), ["hf_model_fetch_failed"; 2]);
}

#[tokio::test]
async fn h5_a_limit_is_waited_for_and_nobody_is_invalid() {
    let mut world = World::new(3, None).await;
    world.doubles.set(|inner| {
        inner.requests.clear();
        inner.all_models = Some(Says::Limited(200));
    });
    world.check().await;
    assert_eq!(world.states(), ["valid"; 3]);
    assert!(world.alarm().starts_with("hugging_face: "), "{}", world.alarm());
    // One request of each that was on its way; no second ones.
    let asked = world.doubles.asked("leoma-").len();
    assert!(asked <= 3, "{asked} requests");
}

#[tokio::test]
async fn a_renamed_repository_is_followed_within_its_host_and_our_token_goes_nowhere_else() {
    let mut world = World::new(2, Some(TOKEN)).await;
    let elsewhere = Doubles::default();
    let other_host = elsewhere.serve().await;
    world.doubles.set(|inner| {
        let renamed = format!("/api/models/renamed/x/revision/{REVISION}?blobs=true");
        inner.models.insert(model_of(1), Says::Redirect(renamed));
        let away = format!("{other_host}/api/models/x/y/revision/{REVISION}");
        inner.models.insert(model_of(2), Says::Redirect(away));
    });
    world.check().await;
    assert_eq!(world.states(), ["valid", "hf_model_fetch_failed"]);
    assert_eq!(world.doubles.asked("renamed/x").len(), 1);
    assert_eq!(elsewhere.asked("").len(), 0);
}

#[tokio::test]
async fn a_state_that_nobody_confirms_is_forgotten() {
    let mut world = World::unchecked(1, None, "0").await;
    assert_eq!(world.states(), ["valid"]);
    world.doubles.set(|inner| inner.all_models = Some(Says::Limited(200)));
    world.check().await;
    assert_eq!(world.states(), ["unknown"]);
}

#[tokio::test]
async fn h7_only_the_full_commit_hash_is_a_revision() {
    let mut world = World::new(1, None).await;
    for revision in ["main", "v1", "0123456", &REVISION.to_uppercase()] {
        let text = json!({"model_name": model_of(1), "model_revision": revision, "chute_id": "c1"});
        world.subjects[0].commitment.text = text.to_string();
        world.check().await;
        assert_eq!(world.states(), ["revision_mismatch:chute=01234567"], "{revision}");
    }
}

/// What one fault does to one of three miners, and to all of them, at one service.
async fn outcome(service: &str, says: &Says, all: bool) -> (String, String) {
    let mut world = World::new(3, Some(TOKEN)).await;
    world.doubles.set(|inner| match (service, all) {
        ("chutes", true) => inner.all_chutes = Some(says.clone()),
        ("chutes", false) => drop(inner.chutes.insert("c1".into(), says.clone())),
        (_, true) => inner.all_models = Some(says.clone()),
        (_, false) => drop(inner.models.insert(model_of(1), says.clone())),
    });
    world.check().await;
    let states = world.states();
    assert_eq!(
        states[1..].iter().filter(|state| *state == "valid").count(),
        2,
        "{service} {says:?} {all}: {states:?}"
    );
    let named = world.alarm().split(':').next().unwrap_or_default().to_owned();
    (states[0].clone(), named)
}

#[tokio::test]
async fn the_matrix_of_both_apis_is_the_documented_one() {
    let faults = [
        ("401", Says::Status(401, "", "no")),
        ("402", Says::Status(402, "", "no")),
        ("403", Says::Status(403, "", "no")),
        ("404", Says::Status(404, "", "no")),
        ("429", Says::Limited(200)),
        ("5xx", Says::Status(502, "", "")),
        ("reset", Says::Half),
        ("slow, but in time", Says::Late),
        ("wrong body", Says::Page),
        ("redirect to another host", Says::Redirect("http://127.0.0.1:1/x".into())),
    ];
    let mut lines = vec![
        "| service | fault | of one miner | of all |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for (service, name) in [("chutes", "Chutes API"), ("hugging_face", "Hugging Face API")] {
        for (fault, says) in &faults {
            let mut cells = Vec::new();
            for all in [false, true] {
                let (state, alarm) = outcome(service, says, all).await;
                let state = match state.as_str() {
                    "valid" if matches!(says, Says::Late) => "valid".to_owned(),
                    "valid" => "last state stands".to_owned(),
                    reason => format!("invalid, `{reason}`"),
                };
                let alarm = if alarm.is_empty() { "none".into() } else { format!("`{alarm}`") };
                cells.push(format!("{state}; alarm: {alarm}"));
            }
            lines.push(format!("| {name} | {fault} | {} | {} |", cells[0], cells[1]));
        }
    }
    crate::field_page::check("apis", &lines.join("\n"));
}

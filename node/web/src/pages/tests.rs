//! Every page of a full subnet: light enough, from this host only, and safe with hostile texts.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use leoma_protocol::Nano;
use leoma_protocol::verdict::Observation;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::server::{Audience, router};
use crate::site::{Site, SiteSettings};
use crate::source::Start;
use crate::testing::{MemorySource, Scale, subnet};
use crate::view::{Miner, Snapshot, Validity};

/// A page with its stylesheet, script and icon, without media.
const MAX_PAGE_BYTES: usize = 250 * 1000;
const FULL: Scale = Scale { miners: 240, tasks: 100, validators: 16 };

fn app(snapshot: Snapshot) -> Router {
    let (start, progress) = Start::new("test");
    let now = || 1_780_000_000_000;
    start.finish(MemorySource::new(snapshot));
    let site = Site::at(progress, SiteSettings::default(), CancellationToken::new(), now);
    router(site, Audience::Operator)
}

async fn get(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    vec![
        "/".into(),
        "/ui/miners".into(),
        "/ui/miners?sort=score&show=valid".into(),
        format!("/ui/miners/{}", snapshot.miners[1].hotkey),
        format!("/ui/tasks/{}", snapshot.files[0].verdict.task_id),
        "/ui/validators".into(),
        "/ui/epochs".into(),
        format!("/ui/epochs/{}", snapshot.epochs[0].block),
        "/ui/node".into(),
    ]
}

#[tokio::test]
async fn every_page_is_light_and_from_this_host_only() {
    let snapshot = subnet(FULL);
    let app = app(snapshot.clone());
    let mut assets = 0;
    for path in ["/assets/leoma.css", "/assets/leoma.js", "/assets/icon.svg"] {
        let (status, text) = get(&app, path).await;
        assert_eq!(status, 200, "{path}");
        assets += text.len();
    }
    for path in paths(&snapshot) {
        let (status, page) = get(&app, &path).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert!(page.len() + assets <= MAX_PAGE_BYTES, "{path} has {} bytes", page.len() + assets);
        for attribute in ["src=\"", "href=\"", "action=\""] {
            for rest in page.split(attribute).skip(1) {
                assert!(rest.starts_with('/') || rest.starts_with('#'), "{path}: {}", &rest[..40]);
            }
        }
        assert!(!page.contains(" style=") && !page.contains(" onclick="), "{path}");
        assert_eq!(page.matches("<script").count(), 1, "{path}");
        assert!(page.contains("<html lang=\"en\">") && page.contains("<h1>"), "{path}");
    }
}

#[tokio::test]
async fn texts_of_miners_and_validators_are_never_markup() {
    let hostile = "</p><script>alert(1)</script>\"'>";
    let mut snapshot = subnet(Scale { miners: 2, tasks: 2, validators: 2 });
    snapshot.miners[0].model_name = Some(hostile.into());
    snapshot.miners[0].chute_slug = Some(hostile.into());
    snapshot.miners[1].validity = Validity::Invalid(hostile.into());
    snapshot.validators[0].agent = Some(hostile.into());
    snapshot.epochs[0].reason = hostile.into();
    for file in &mut snapshot.files {
        let verdict = Arc::make_mut(&mut file.verdict);
        verdict.judge = hostile.into();
        verdict.entries.iter_mut().for_each(|entry| {
            entry.reasoning = hostile.into();
            entry.status = hostile.into();
        });
    }
    let app = app(snapshot.clone());
    let mut seen = 0;
    for path in paths(&snapshot) {
        let (_, page) = get(&app, &path).await;
        assert!(!page.contains("<script>alert"), "{path}");
        seen += page.matches("&lt;script&gt;alert").count();
    }
    assert!(seen >= 6, "{seen}");
}

#[tokio::test]
async fn a_task_shows_each_answer_with_its_reasons_and_the_audit_command() {
    let snapshot = subnet(Scale { miners: 3, tasks: 4, validators: 2 });
    let file = &snapshot.files[1];
    let (task, producer) = (file.verdict.task_id, file.verdict.producer.clone());
    let entries = file.verdict.entries.clone();
    let (status, page) = get(&app(snapshot), &format!("/ui/tasks/{task}")).await;
    assert_eq!(status, 200);
    for entry in entries {
        let video =
            format!("src=\"/media/{producer}/{task}/generated_videos/{}.mp4\"", entry.miner);
        assert!(page.contains(&video), "{video}");
        assert!(page.contains(&*entry.reasoning));
    }
    assert!(page.contains("A boat turns &lt;slowly&gt; in the harbour"));
    assert!(page.contains(&format!("leoma audit --task {task}")));
    assert!(page.contains("temporal consistency") && page.contains("Attested by 2"));
    let cells = ["0.310", "0.400", "0.050"].map(|n| format!("<td class=\"number\">{n}</td>"));
    assert!(page.contains(&cells.concat()), "{page}");
}

#[tokio::test]
async fn a_task_without_a_clip_shows_what_was_measured_and_the_audit_command() {
    let mut snapshot = subnet(Scale { miners: 2, tasks: 2, validators: 1 });
    (snapshot.has_clips, snapshot.mechanism) = (false, Some("motion".to_owned()));
    let verdict = Arc::make_mut(&mut snapshot.files[0].verdict);
    let (task, producer) = (verdict.task_id, verdict.producer.clone());
    let observed = |pool: &str, values: &[Option<i64>]| Observation {
        pool: pool.parse().unwrap(),
        values: values.iter().map(|value| value.map(Nano)).collect(),
        counts: vec![("t0".parse().unwrap(), 5)],
    };
    let [one, other] = &mut verdict.entries[..] else { panic!("two miners") };
    one.observations =
        [observed("motion", &[Some(886_737_799), Some(10_000_000_000), None])].into();
    other.observations = [observed("close", &[Some(5)])].into();
    other.is_reading = true;
    let reader = other.miner.clone();
    let (status, page) = get(&app(snapshot), &format!("/ui/tasks/{task}")).await;
    assert_eq!(status, 200);
    for shown in ["motion", "t0=5", "0.886737799 10 –", "0.000000005", "read this itself"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let command = format!("MECHANISM=motion leoma audit --task {task}");
    assert!(page.contains(&command) && !page.contains("--scores"), "{page}");
    // The page has neither pictures nor what plays them, and the reader is no miner.
    for absent in ["<video", "<img", "data-player", "Prompt", "cannot be read", "needed"] {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    assert!(!page.contains(&format!("href=\"/ui/miners/{reader}\"")), "{page}");
    assert!(page.contains(&*producer));
}

#[tokio::test]
async fn an_epoch_shows_what_each_validator_has_on_chain() {
    let mut snapshot = subnet(Scale { miners: 3, tasks: 4, validators: 4 });
    let block = snapshot.epochs[0].block;
    for (row, word) in snapshot.epochs[0].weights.iter_mut().zip(["same", "other", "nothing"]) {
        row.compared = word.to_owned();
    }
    let (_, page) = get(&app(snapshot), &format!("/ui/epochs/{block}")).await;
    for words in ["equal", "not equal", "set nothing in this epoch", "4=65535"] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[tokio::test]
async fn witnesses_are_shown_for_tasks_validators_and_files() {
    let mut snapshot = subnet(Scale { miners: 2, tasks: 4, validators: 4 });
    let epoch = &mut snapshot.epochs[0];
    let (block, absent) = (epoch.block, epoch.witnesses[3].clone());
    // Of four, each names the files that it holds: all, none, one and three of them.
    epoch.required_witnesses = 3;
    for (file, by) in epoch.witnessed.iter_mut().zip([4, 0, 1, 3]) {
        file.by = epoch.witnesses[..by].to_vec();
    }
    let app = app(snapshot);
    let (_, overview) = get(&app, "/").await;
    assert_eq!(overview.matches("class=\"witnessed\"").count(), 2, "{overview}");
    assert_eq!(overview.matches("class=\"certified\"").count(), 2, "{overview}");
    let (_, page) = get(&app, &format!("/ui/epochs/{block}")).await;
    for words in ["witnessed by all 4<", "witnessed by nobody<", "witnessed by <abbr"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let but_one = format!("witnessed by all but <abbr title=\"{absent}\"");
    assert!(page.contains(&but_one), "{but_one}: {page}");
    let (_, page) = get(&app, "/ui/validators").await;
    for words in ["1 of 1 <small>3 files</small>", "1 of 1 <small>1 files</small>"] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[tokio::test]
async fn audit_commands_ask_the_address_that_the_reader_asked() {
    let mut snapshot = subnet(Scale { miners: 2, tasks: 2, validators: 2 });
    snapshot.netuid = 2;
    snapshot.network = Some("test".to_owned());
    let block = snapshot.epochs[0].block;
    let verdict = Arc::clone(&snapshot.files[0].verdict);
    let (task, producer) = (verdict.task_id, &verdict.producer);
    let app = app(snapshot);
    let ask = async |path: &str, host: &str| {
        let request = Request::get(path).header("host", host).header("x-forwarded-proto", "https");
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let list = format!("https://127.0.0.1:9090/allowlists/{}", "a".repeat(64));
    let epoch = ask(&format!("/ui/epochs/{block}"), "127.0.0.1:9090").await;
    let command = format!(
        "NETWORK=test NETUID=2 leoma audit --epoch {block} --validator https://127.0.0.1:9090 \
         --allowlist &lt;(curl -fsS {list})"
    );
    assert!(epoch.contains(&command), "{command}: {epoch}");
    let page = ask(&format!("/ui/tasks/{task}"), "127.0.0.1:9090").await;
    let command =
        format!("leoma audit --task {task} --buckets https://127.0.0.1:9090/media/{producer} ");
    assert!(page.contains(&command), "{command}: {page}");
}

#[tokio::test]
async fn the_overview_says_when_another_machine_has_the_hotkey() {
    let mut snapshot = subnet(Scale { miners: 3, tasks: 8, validators: 3 });
    let (_, page) = get(&app(snapshot.clone()), "/").await;
    assert!(page.contains("Nothing needs attention."), "{page}");
    snapshot.own_faults.is_doubled = true;
    let app = app(snapshot);
    for path in ["/", "/ui/node"] {
        let (_, page) = get(&app, path).await;
        assert!(page.contains("another machine runs with this hotkey"), "{path}: {page}");
        assert!(!page.contains("Nothing needs attention."), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_miner_that_has_left_still_has_a_page() {
    let mut snapshot = subnet(Scale { miners: 2, tasks: 2, validators: 1 });
    let gone = snapshot.miners[0].hotkey.clone();
    snapshot.miners[0] = Miner { hotkey: gone.clone(), ..Miner::default() };
    let app = app(snapshot);
    let (status, page) = get(&app, &format!("/ui/miners/{gone}")).await;
    assert_eq!(status, 200);
    assert!(page.contains("no slot on the subnet"), "{page}");
    assert!(page.contains("temporal_consistency 43.0"), "{page}");
    let (_, list) = get(&app, "/ui/miners").await;
    assert!(list.contains(&format!("href=\"/ui/miners/{gone}\"")), "{list}");
}

#[tokio::test]
async fn what_is_not_known_is_a_page_too() {
    let app = app(subnet(Scale { miners: 1, tasks: 1, validators: 1 }));
    for path in ["/ui/miners/5x", "/ui/tasks/1", "/ui/tasks/x", "/ui/epochs/1"] {
        let (status, page) = get(&app, path).await;
        assert_eq!(status, 404, "{path}");
        assert!(page.contains("<html"), "{path}");
    }
}

#[tokio::test]
async fn an_empty_subnet_says_what_is_missing() {
    let app = app(Snapshot::default());
    for path in ["/", "/ui/miners", "/ui/validators", "/ui/epochs"] {
        let (status, page) = get(&app, path).await;
        assert_eq!(status, 200, "{path}: {page}");
    }
    let (_, page) = get(&app, "/").await;
    assert!(page.contains("There is no allowlist yet."), "{page}");
    // Whoever is not a validator says by what it knows who is online.
    let (_, page) = get(&app, "/ui/validators").await;
    assert!(page.contains("Online: set weights or signed a file"), "{page}");
}

//! The stand-in services and miners, asked as validators ask them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use leoma_scoring::media::{
    ClipShape, Limits, SceneRules, choose_segment, cut_clip, first_frame_png, one_shot_segments,
};
use leoma_scoring::{AspectPolicy, Aspects, DeviceChoice, Fingerprint, Outcome, Reference, Scorer};
use leoma_testnet::corpus::{self, ffmpeg};
use leoma_testnet::miners::{Role, VIDEO};
use leoma_testnet::seed::Seed;
use leoma_testnet::services::{
    Counts, Fault, FaultKind, MinerEntry, Service, Services, ServicesConfig,
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

const CHUTES_KEY: &str = "chutes-key";
const GEMINI_KEY: &str = "gemini-key";
static CORPUS: tokio::sync::OnceCell<PathBuf> = tokio::sync::OnceCell::const_new();

async fn make_corpus() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = corpus::make(&Seed::new("services test"), cache).await.unwrap();
    // Two clips are enough here, and quicker to index.
    let few = made.with_extension("few");
    std::fs::create_dir_all(&few).unwrap();
    let clips = corpus::list(&made).unwrap().into_iter().take(2);
    for file in clips.flat_map(|clip| [clip.with_extension("scene.json"), clip]) {
        // Linked, so that no test in another process ever reads half of one.
        let linked = std::fs::hard_link(&file, few.join(file.file_name().unwrap()));
        if let Err(error) = linked {
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{error}");
        }
    }
    few
}

struct World {
    services: Services,
    client: Client,
    corpus: PathBuf,
    _work: tempfile::TempDir,
}

fn entry(role: Role) -> MinerEntry {
    MinerEntry {
        slug: role.to_string(),
        role,
        chute_id: format!("chute-{role}"),
        model_name: format!("owner/leoma-{role}"),
        model_revision: "a".repeat(40),
        weights_sha256: vec!["12".repeat(32), "34".repeat(32)],
    }
}

async fn world() -> World {
    // Made once for all tests, and kept for the next run.
    let corpus = CORPUS.get_or_init(make_corpus).await.clone();
    let work = tempfile::tempdir().unwrap();
    let config = ServicesConfig {
        chutes_keys: vec![CHUTES_KEY.into()].into(),
        gemini_keys: vec![GEMINI_KEY.into()].into(),
        miners: Role::ALL.into_iter().map(entry).collect(),
        corpus: corpus.clone(),
        work: work.path().to_owned(),
        encoders: 2,
    };
    let services = Services::start(config).await.unwrap();
    World { services, client: Client::builder().no_proxy().build().unwrap(), corpus, _work: work }
}

impl World {
    async fn chute(&self, id: &str, key: &str) -> Response {
        let url = format!("{}/chutes/{id}", self.services.report().chutes_api);
        self.client.get(url).header("Authorization", key).send().await.unwrap()
    }

    async fn model(&self, path: &str) -> Response {
        self.client
            .get(format!("{}/api/models/{path}", self.services.report().hugging_face))
            .send()
            .await
            .unwrap()
    }

    async fn gemini(&self, key: &str, body: Value) -> Response {
        let url = format!(
            "{}/v1beta/models/gemini-2.5-flash:generateContent",
            self.services.report().gemini
        );
        self.client.post(url).header("x-goog-api-key", key).json(&body).send().await.unwrap()
    }

    async fn generate(&self, role: Role, picture: &[u8]) -> Response {
        let url = self.services.report().chutes_generate.replace("{slug}", &role.to_string());
        let image = base64::engine::general_purpose::STANDARD.encode(picture);
        let body = json!({
            "prompt": "p",
            "image": image,
            "fps": 16,
            "frames": 81,
            "resolution": "480p",
            "fast": true,
        });
        self.client.post(url).bearer_auth(CHUTES_KEY).json(&body).send().await.unwrap()
    }

    fn order(&self, service: Service, target: Option<&str>, kind: FaultKind) {
        let target = target.map(str::to_owned);
        self.services
            .board()
            .add(Fault { service, target, kind, count: Some(1), delay_ms: Some(300) })
            .unwrap();
    }
}

/// The picture that a validator cuts out of a clip.
async fn frame(clip: &Path, number: usize) -> Vec<u8> {
    let (path, filter) = (clip.display().to_string(), format!("select=eq(n\\,{number})"));
    let words = [
        "-i",
        &path,
        "-vf",
        &filter,
        "-frames:v",
        "1",
        "-c:v",
        "png",
        "-f",
        "image2pipe",
        "pipe:1",
    ];
    ffmpeg::run(&words.map(String::from), Vec::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_answer_as_the_real_ones_do() {
    let world = world().await;
    let chute: Value = world.chute("chute-good", CHUTES_KEY).await.json().await.unwrap();
    assert_eq!((&chute["hot"], &chute["slug"]), (&json!(true), &json!("good")));
    assert_eq!(chute["revision"], "a".repeat(40));
    assert_eq!(world.chute("chute-good", "other").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.chute("chute-none", CHUTES_KEY).await.status(), StatusCode::NOT_FOUND);

    let path = format!("owner/leoma-good/revision/{}?blobs=true", "a".repeat(40));
    let model: Value = world.model(&path).await.json().await.unwrap();
    assert_eq!(model["sha"], "a".repeat(40));
    let weights: Vec<&Value> = model["siblings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["lfs"].is_object())
        .collect();
    assert_eq!(weights[0]["lfs"]["sha256"], "12".repeat(32));
    assert!(weights[0]["rfilename"].as_str().unwrap().ends_with(".safetensors"));
    assert_eq!(world.model("owner/none/revision/main").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        world.model(&format!("owner/leoma-good/revision/{}", "b".repeat(40))).await.status(),
        StatusCode::NOT_FOUND
    );

    let description: Value = world
        .gemini(GEMINI_KEY, json!({"contents": [{"parts": [{"text": "describe"}]}]}))
        .await
        .json()
        .await
        .unwrap();
    assert!(
        description["candidates"][0]["content"]["parts"][0]["text"]
            .as_str()
            .unwrap()
            .starts_with("The view")
    );
    let request =
        json!({"contents": [], "generationConfig": {"responseMimeType": "application/json"}});
    let judgement: Value = world.gemini(GEMINI_KEY, request.clone()).await.json().await.unwrap();
    let text = judgement["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap()["aspect_scores"].as_object().unwrap().len(),
        6
    );
    assert_eq!(world.gemini("other", request).await.status(), StatusCode::BAD_REQUEST);
}

/// The scorer's result for an answer: the status of its entry, the reason, and its fingerprint.
fn judged(
    scorer: &Scorer,
    reference: &Reference,
    video: &[u8],
) -> (String, String, Option<Fingerprint>) {
    let scored = scorer.score(reference, video).unwrap();
    let (status, reason) = match scored.outcome {
        Outcome::Usable { grade, raw } => {
            let weaknesses = Aspects::weaknesses(&raw, scorer.policy());
            (
                if grade.passed { "passed" } else { "failed" }.to_owned(),
                format!("{}: {weaknesses}", grade.overall),
            )
        }
        Outcome::Unusable { status, reason, .. } => (status.to_string(), reason),
    };
    (status, reason, scored.fingerprint)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn the_metrics_pass_good_miners_and_call_every_cheat_by_its_name() {
    let world = world().await;
    let scorer = Scorer::open(DeviceChoice::Cpu, AspectPolicy::SUBNET).unwrap();
    let (width, height) = VIDEO;
    let shape = ClipShape { width, height, ..ClipShape::TASK };
    for clip in corpus::list(&world.corpus).unwrap() {
        let video = std::fs::read(&clip).unwrap();
        // As a validator cuts it: a source with a cut in it says nothing about jumps.
        let limits = Limits::SOURCE;
        let (rules, length) = (SceneRules::REFERENCE, shape.duration_ms());
        let shots = one_shot_segments(scorer.ffmpeg(), &video, &rules, length, &limits).unwrap();
        let start = choose_segment([7; 32], &shots, length).unwrap();
        let task = cut_clip(scorer.ffmpeg(), &video, start, &shape, &limits).unwrap();
        let (reference, picture) = (
            scorer.reference(&task).unwrap(),
            first_frame_png(scorer.ffmpeg(), &task, &Limits::ANSWER).unwrap(),
        );
        let mut good = None;
        let mut graded: Vec<(Role, Fingerprint)> = Vec::new();
        // The good one first: others are copies of its video.
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Sometimes) {
            let answer = world.generate(role, &picture).await;
            assert_eq!(answer.status(), StatusCode::OK, "{role}");
            let video = answer.bytes().await.unwrap();
            assert!(video.len() < 8 << 20, "{role} answers with {} bytes", video.len());
            let (status, reason, fingerprint) = judged(&scorer, &reference, &video);
            println!("{role}: {status}, {reason}");
            match role.expected() {
                None => assert_eq!(status, "passed", "{role}: {reason}"),
                Some(_) if role.steals() => {
                    let (good, own): (&Fingerprint, _) =
                        (good.as_ref().unwrap(), fingerprint.unwrap());
                    assert!(own.is_copy_of(good), "{role}: {} {reason}", own.distance(good));
                    continue;
                }
                Some(expected) => {
                    assert_eq!(status, expected.status, "{role}: {reason}");
                    assert!(reason.contains(expected.reason), "{role}: {reason}");
                }
            }
            // Only what is graded can be a copy; a copied model is not asked for a video.
            let is_graded = matches!(status.as_str(), "passed" | "failed");
            let Some(own) = fingerprint.filter(|_| is_graded && role != Role::Copycat) else {
                continue;
            };
            for (earlier, print) in &graded {
                let distance = own.distance(print);
                assert!(!own.is_copy_of(print), "{role} and {earlier}: {distance}");
            }
            if role == Role::Good {
                good = Some(own.clone());
            }
            graded.push((role, own));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_miner_answers_only_sometimes_and_the_same_to_everybody() {
    let world = world().await;
    let clip = corpus::list(&world.corpus).unwrap().remove(0);
    let asked = (0..12).map(|number| {
        let (world, clip) = (&world, &clip);
        async move {
            let picture = frame(clip, 33 + 6 * number).await;
            let ask = || world.generate(Role::Sometimes, &picture);
            let (one, other) = tokio::join!(ask(), ask());
            assert_eq!(one.status(), other.status());
            usize::from(one.status() == StatusCode::OK)
        }
    });
    let answered: usize = futures::future::join_all(asked).await.into_iter().sum();
    assert!((2..=10).contains(&answered), "answered {answered} of 12");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_shown_once_and_counted() {
    let world = world().await;
    let ask = || world.chute("chute-good", CHUTES_KEY);
    world.order(Service::Chutes, Some("chute-good"), FaultKind::Http500);
    assert_eq!(
        world.chute("chute-blur", CHUTES_KEY).await.status(),
        StatusCode::OK,
        "a fault of another target"
    );
    assert_eq!(ask().await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask().await.status(), StatusCode::OK);

    world.order(Service::Chutes, None, FaultKind::Http429);
    let refused = ask().await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
    );

    world.order(Service::Chutes, None, FaultKind::Slow);
    let before = std::time::Instant::now();
    assert_eq!(ask().await.status(), StatusCode::OK);
    assert!(before.elapsed() >= Duration::from_millis(300));

    world.order(Service::Chutes, None, FaultKind::Stall);
    assert!(tokio::time::timeout(Duration::from_secs(1), ask()).await.is_err());

    world.order(Service::Chutes, None, FaultKind::Lie);
    assert_ne!(ask().await.json::<Value>().await.unwrap()["revision"], "a".repeat(40));

    world.order(Service::Chutes, None, FaultKind::Garbage);
    assert!(ask().await.json::<Value>().await.is_err());

    world.order(Service::Chutes, None, FaultKind::Truncate);
    let cut = ask().await;
    assert_eq!(cut.status(), StatusCode::OK);
    assert!(cut.bytes().await.is_err(), "a cut body looks whole");

    world.order(Service::Chutes, None, FaultKind::Endless);
    let mut endless = ask().await;
    let mut read = 0;
    while read < 300 << 20 {
        read += endless.chunk().await.unwrap().expect("the endless body ended").len();
    }
    drop(endless);

    world.order(Service::Chutes, None, FaultKind::Oversize);
    assert!(ask().await.bytes().await.unwrap().len() > 256 << 20);
    assert_eq!(world.services.board().counts()["chutes/api"], Counts { requests: 11, faults: 9 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_that_lies_shows_another_clip_and_one_that_stalls_holds_the_gateway() {
    let world = world().await;
    let clip = corpus::list(&world.corpus).unwrap().remove(0);
    let picture = frame(&clip, 33).await;
    let honest = world.generate(Role::Good, &picture).await.bytes().await.unwrap();
    world.order(Service::Miner, Some("good"), FaultKind::Lie);
    let other = world.generate(Role::Good, &picture).await.bytes().await.unwrap();
    assert_ne!(honest, other);
    assert_eq!(
        world.generate(Role::Good, &picture).await.bytes().await.unwrap(),
        honest,
        "kept answers are the same bytes"
    );
    world.order(Service::Miner, Some("good"), FaultKind::Truncate);
    assert!(world.generate(Role::Good, &picture).await.bytes().await.is_err());
    world.order(Service::Miner, Some("good"), FaultKind::Stall);
    let stalled =
        tokio::time::timeout(Duration::from_secs(1), world.generate(Role::Good, &picture)).await;
    assert!(stalled.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn miners_refuse_what_is_no_request() {
    let world = world().await;
    let url = world.services.report().chutes_generate.replace("{slug}", "good");
    for (body, status) in [
        (json!({"prompt": "p", "image": "*", "fps": 16, "frames": 81, "resolution": "480p"}), 400),
        (
            json!({"prompt": "p", "image": "AAAA", "fps": 24, "frames": 81, "resolution": "480p"}),
            400,
        ),
        (json!({"prompt": "", "image": "AAAA"}), 400),
        // A request needs a prompt or an image. One is enough, but its scene is unknown here.
        (json!({}), 400),
        (json!({"prompt": "p"}), 500),
        (json!({"image": "AAAA"}), 500),
        (json!({"prompt": "p", "image": "AAAA"}), 500),
    ] {
        let answer =
            world.client.post(&url).bearer_auth(CHUTES_KEY).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{body}");
    }
    let stranger = world.client.post(&url).bearer_auth("x").json(&json!({})).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_ordered_over_http() {
    let world = world().await;
    let url = format!("{}/admin/faults", world.services.report().admin);
    let order = json!({"service": "chutes", "kind": "http_500", "count": 1});
    assert_eq!(
        world.client.post(&url).json(&order).send().await.unwrap().status(),
        StatusCode::CREATED
    );
    let listed: Value = world.client.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed[0]["kind"], "http_500");
    assert_eq!(
        world.chute("chute-good", CHUTES_KEY).await.status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(
        world
            .client
            .post(&url)
            .json(&json!({"service": "chutes", "kind": "odd"}))
            .send()
            .await
            .unwrap()
            .status(),
        422
    );
    assert_eq!(world.client.delete(&url).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let counts: Value = world
        .client
        .get(format!("{}/admin/counts", world.services.report().admin))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(counts["chutes/api"], json!({"requests": 1, "faults": 1}));
}

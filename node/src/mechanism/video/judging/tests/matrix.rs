//! What each fault of the judge leads to, about one video and about all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leoma_storage::Secret;

use super::*;
use crate::mechanism::video::done::Done;
use crate::miners::whose_fault::{OurFault, judge_needs_control};

/// How long one attempt at the judge may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Less than that.
const SLOW: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Status(u16),
    /// 429 for a quota of the day.
    DailyQuota,
    Silent,
    Reset,
    Slow,
    Page,
}

/// A judge with a fault: about the video that it is asked about first, or about all. Counts the
/// requests about the first.
async fn faulty_judge(fault: Fault, all: bool) -> (String, Arc<AtomicUsize>) {
    let (first, requests) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&requests);
    let judge = move |request: Bytes| {
        let video = video_in(&request);
        let is_first = *first.get_or_init(|| video.clone()) == video;
        counted.fetch_add(usize::from(is_first), Ordering::Relaxed);
        reply((is_first || all).then_some(fault))
    };
    let router = axum::Router::new()
        .route("/v1beta/models/{call}", axum::routing::post(judge))
        .layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, requests)
}

/// The video that a request shows.
fn video_in(request: &[u8]) -> String {
    let request: serde_json::Value = serde_json::from_slice(request).unwrap();
    let parts = request["contents"][0]["parts"].as_array().unwrap();
    let mut shown = parts.iter().map(|part| &part["inlineData"]);
    shown.find(|data| data["mimeType"] == "video/mp4").unwrap()["data"].to_string()
}

async fn reply(fault: Option<Fault>) -> Response {
    match fault {
        Some(Fault::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::DailyQuota) => (StatusCode::TOO_MANY_REQUESTS, daily_quota()).into_response(),
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::Reset) => {
            let broken = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))];
            Body::from_stream(stream::iter(broken)).into_response()
        }
        Some(Fault::Page) => "<html>maintenance</html>".into_response(),
        Some(Fault::Slow) => {
            tokio::time::sleep(SLOW).await;
            grade().into_response()
        }
        None => grade().into_response(),
    }
}

fn daily_quota() -> String {
    let quota = serde_json::json!({"quotaId": "GenerateRequestsPerDayPerProjectPerModel"});
    let details = serde_json::json!([{"violations": [quota]}, {"retryDelay": "1s"}]);
    let error = serde_json::json!({"status": "RESOURCE_EXHAUSTED", "details": details});
    serde_json::json!([{"error": error}]).to_string()
}

fn grade() -> String {
    let aspects: serde_json::Map<_, _> =
        Aspects::NAMES.map(|name| (name.to_owned(), 90.into())).into_iter().collect();
    let grade = serde_json::json!({
        "overall_score": 90, "confidence": 80, "reasoning": "seen", "aspect_scores": aspects,
    });
    let parts = serde_json::json!([{"text": grade.to_string()}]);
    serde_json::json!({"candidates": [{"content": {"parts": parts}}]}).to_string()
}

/// A task with one answer, which is measured already.
struct Bench {
    judging: Judging,
    begun: Begun,
    answer: Answer,
    video: Bytes,
    scored: Scored,
}

impl Bench {
    /// `None` without ffmpeg.
    async fn open() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let clip = scene(folder.path(), 16, false)?;
        let video = Bytes::from(scene(folder.path(), 22, true)?);
        let settings =
            [("LEOMA_DEVICE", "cpu"), ("LEOMA_JUDGE", "both"), ("GEMINI_API_KEY", "a-key")];
        let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let sources = crate::config::Sources { environment, ..Default::default() };
        let config = Config::load(&sources).unwrap();
        let judging = Judging::open_with(&config, this_test_as_worker()).await.unwrap();
        let limits = leoma_scoring::media::Limits::ANSWER;
        let first_frame =
            leoma_scoring::media::first_frame_png(judging.ffmpeg(), &clip, &limits).unwrap();
        let (at, prompt) = (BlockNumber(1), Some("a pattern".to_owned()));
        let begun = Begun { at, clip: a_clip(&clip, &first_frame), prompt };
        let reference = judging.reference(&begun.clip.mp4).await.unwrap().with_prompt("a pattern");
        let scored = judging.scorer().score(&reference, video.clone()).await.unwrap();
        let replied = Replied { reply: Reply::Video, detail: String::new(), pause: None };
        Some(Self { judging, begun, answer: answer(1, replied), video, scored })
    }

    /// One try at the task, as a turn makes it.
    async fn attempt(&self, judging: &Judging, done: &mut Done) -> Result<String, TaskError> {
        let Self { begun, answer, video, scored, .. } = self;
        let judgment = judging.judged(begun, answer, video, scored.clone(), WITHIN).await?;
        done.judged.insert(answer.miner, judgment);
        let (refused, silent) = done.ungraded();
        if judge_needs_control(refused, silent) {
            if !judging.takes_the_source(begun, WITHIN).await? {
                return Err(OurFault::Judge.into());
            }
            done.settle_refusals();
            done.settle_silences(true)?;
        }
        match &done.judged[&answer.miner] {
            Judgment::Entry(judged) => Ok(judged.entry.status.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// What a fault leads to, and the requests about the video at the first try.
    async fn outcome(&self, fault: Fault, all: bool) -> (String, usize) {
        let (base, asked) = faulty_judge(fault, all).await;
        let client = Reach::new(true).api_client().unwrap();
        let gemini = Gemini::new(client, &base, "gemini-2.5-flash", &Secret::new("a-key")).unwrap();
        let gemini = Some(Arc::new(gemini.in_a_hurry(ATTEMPT)));
        let judging = Judging { gemini, ..self.judging.clone() };
        let mut done = Done::default();
        let first = self.attempt(&judging, &mut done).await;
        let requests = asked.load(Ordering::Relaxed);
        let alarm = match first {
            Ok(status) => return (format!("entry `{status}`"), requests),
            Err(error) => error.alarm().unwrap(),
        };
        let what = match self.attempt(&judging, &mut done).await {
            Ok(status) => format!("no file, alarm: `{alarm}`; at the second try entry `{status}`"),
            Err(error) => {
                assert_eq!(error.alarm(), Some(alarm), "{error}");
                format!("no file, tried again; alarm: `{alarm}`")
            }
        };
        (what, requests)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_of_the_judge_is_the_documented_one() {
    let Some(bench) = Bench::open().await else { return };
    let faults = [
        ("401", Fault::Status(401)),
        ("402", Fault::Status(402)),
        ("403", Fault::Status(403)),
        ("404", Fault::Status(404)),
        ("429", Fault::Status(429)),
        ("429, daily quota", Fault::DailyQuota),
        ("500", Fault::Status(500)),
        ("503", Fault::Status(503)),
        ("time-out", Fault::Silent),
        ("reset", Fault::Reset),
        ("slow, but in time", Fault::Slow),
        ("wrong body", Fault::Page),
    ];
    let mut lines = vec![
        "| fault | requests | about one video | about all |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for (name, fault) in faults {
        let (one, all) = tokio::join!(bench.outcome(fault, false), bench.outcome(fault, true));
        assert_eq!(one.1, all.1, "{name}");
        lines.push(format!("| {name} | {} | {} | {} |", one.1, one.0, all.0));
    }
    crate::field_page::check("judge", &lines.join("\n"));
}

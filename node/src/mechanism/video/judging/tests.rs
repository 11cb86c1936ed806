//! Answers judged by real worker processes, with a judge that is a stand-in.

mod matrix;

use super::*;
use crate::mechanism::video::tests::a_clip;
use crate::miners::Replied;
use futures::stream;
use leoma_protocol::{BlockNumber, Hotkey};

/// More than the stand-in takes for an answer.
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn tasks_of_words_alone_need_someone_who_finds_the_words() {
    let environment = [("LEOMA_TASK".to_owned(), "t2v".to_owned())].into();
    let config =
        Config::load(&crate::config::Sources { environment, ..Default::default() }).unwrap();
    let refused =
        Judging::open_with(&config, this_test_as_worker()).await.err().unwrap().to_string();
    assert!(refused.contains("LEOMA_JUDGE"), "{refused}");
}

#[test]
fn every_fault_of_a_miner_has_its_status() {
    for (reply, status) in [
        (Reply::Unreachable, EntryStatus::NoResponse),
        (Reply::BrokenOff, EntryStatus::NoResponse),
        (Reply::Empty, EntryStatus::NoResponse),
        (Reply::Timeout, EntryStatus::Timeout),
        (Reply::Status(500), EntryStatus::HttpError),
        (Reply::TooLarge, EntryStatus::Undecodable),
    ] {
        let judged =
            Judged::without_video(&answer(1, Replied { reply, detail: "x".into(), pause: None }));
        assert_eq!((&judged.entry.status, judged.entry.passed), (&status, false));
    }
}

fn answer(n: u8, replied: Replied) -> Answer {
    Answer {
        miner: Hotkey::from_bytes([n; 32]),
        model_revision: "r".into(),
        commit_block: BlockNumber(n.into()),
        latency_ms: 1,
        replied,
    }
}

/// This very test program, running [`worker_process`] alone, whose frames do not share a stream
/// with the test's own lines.
fn this_test_as_worker() -> WorkerProgram {
    let test = std::env::current_exe().unwrap().display().to_string();
    let name = "mechanism::video::judging::tests::worker_process";
    let script =
        format!("exec 3>&1 1>&2; exec '{test}' --ignored --exact {name} --nocapture --quiet");
    WorkerProgram { path: "/bin/sh".into(), arguments: ["-c".into(), script.into()].into() }
}

#[test]
#[ignore = "the process that another test scores in"]
fn worker_process() {
    use leoma_scoring::worker::{open_scorer, serve};
    let Ok(output) = std::fs::File::options().write(true).open("/proc/self/fd/3") else {
        return;
    };
    serve(&mut std::io::stdin().lock(), output, open_scorer).unwrap();
}

/// A clip of a task's length or an honest continuation of its first frame, or a printed reason why
/// there is none: a ground slides past under two things with paths of their own. A continuation has
/// other paths, and another ground where the first frame does not show it.
fn scene(folder: &std::path::Path, quality: u32, is_continuation: bool) -> Option<Vec<u8>> {
    leoma_scoring::media::Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()?;
    let texture = |grid: &str, seed: u32, size: &str| {
        format!(
            "color=gray:s={grid}:r=16,format=yuv444p,noise=alls=100:all_seed={seed},trim=end_frame=1,\
             scale={size}:flags=bicubic,eq=contrast=1.8,\
             loop=loop=-1:size=1:start=0,setpts=N/16/TB"
        )
    };
    let seen = texture("60x36", 1, "480x320");
    let (ground, speed, turn, fall) = match is_continuation {
        false => (seen, 1.0, 25, 1.5),
        true => {
            let unseen = texture("60x36", 7, "480x320");
            let ground = format!(
                "{unseen}[unseen];{seen},crop=320:192:20:40[seen];[unseen][seen]overlay=20:40"
            );
            (ground, 0.8, 30, 1.2)
        }
    };
    let (one, other) = (texture("12x12", 2, "76x76"), texture("10x10", 3, "64x64"));
    let graph = format!(
        "{ground},crop=320:192:x='20+{speed}*n':y='40+10*sin(n/12)'[ground];{one}[one];{other}[other];\
         [ground][one]overlay=x='W*(0.4+0.33*sin(n/{turn}))':y='H*(0.3+0.2*sin(n/20))'[both];\
         [both][other]overlay=x='W*0.7-2*{speed}*n':y='H*0.1+{fall}*n'"
    );
    let path = folder.join(format!("{quality}.mp4"));
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-threads", "2", "-filter_complex", &graph])
        .args(["-frames:v", "81", "-r", "16"])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-pix_fmt",
            "yuv420p",
            "-crf",
            &quality.to_string(),
        ])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    Some(std::fs::read(path).unwrap())
}

/// Stands in for the judge, which declines the second video, is down for the fourth and from the
/// sixth on, and likes all others; and for miners: `copy`, `padded` and `endless`.
async fn stand_in(copy: Bytes, padded: Bytes) -> String {
    use axum::body::Body;
    use axum::extract::{DefaultBodyLimit, Path};
    use axum::http::StatusCode;
    use axum::routing::post;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let aspects: serde_json::Map<_, _> =
        Aspects::NAMES.map(|name| (name.to_owned(), 90.into())).into_iter().collect();
    let grade = serde_json::json!({
        "overall_score": 90, "confidence": 80, "reasoning": "seen", "aspect_scores": aspects,
    })
    .to_string();
    let answer =
        serde_json::json!({"candidates": [{"content": {"parts": [{"text": grade}]}}]}).to_string();
    // Requests are read to their end: an early answer would break the connection off.
    let asked = Arc::new(AtomicUsize::new(0));
    let judge = move |request: Bytes| {
        assert!(request.len() < 14 << 20, "the padding reached the judge");
        let declined = r#"{"promptFeedback": {"blockReason": "SAFETY"}}"#.to_owned();
        let (status, body) = match asked.fetch_add(1, Ordering::Relaxed) {
            1 => (StatusCode::OK, declined),
            3 | 5.. => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            _ => (StatusCode::OK, answer.clone()),
        };
        // A pause that is never made: the judge is asked once.
        std::future::ready((status, [("retry-after", "9999")], body))
    };
    let miner = move |Path(slug): Path<String>, _request: Bytes| {
        let body = match slug.as_str() {
            "copy" => Body::from(copy.clone()),
            "padded" => Body::from(padded.clone()),
            _ => Body::from_stream(stream::repeat_with(|| {
                Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536]))
            })),
        };
        std::future::ready(body)
    };
    let router = axum::Router::new()
        .route("/v1beta/models/{call}", post(judge))
        .route("/generate/{slug}", post(miner))
        .layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_too_large_for_us_or_declined_by_the_judge_fail_alone() {
    use crate::miners::ChutesClient;
    use leoma_scoring::media::Limits;
    let folder = tempfile::tempdir().unwrap();
    let (Some(clip), Some(copy)) =
        (scene(folder.path(), 16, false), scene(folder.path(), 22, true))
    else {
        return;
    };
    // A box that players skip: the same pictures in more bytes than the judge takes, and fewer
    // than we do. The judge is shown the pictures alone.
    let padding = 20_u32 << 20;
    let padded =
        [&copy[..], &padding.to_be_bytes(), b"free", &vec![0; padding as usize - 8]].concat();
    assert!(padded.len() < Limits::ANSWER.file_bytes);
    let base = stand_in(copy.into(), padded.into()).await;
    let settings = [
        ("LEOMA_LOCAL_NETWORK", "true".to_owned()),
        ("GEMINI_API_URL", base.clone()),
        ("GEMINI_API_KEY", "a-key".to_owned()),
        ("CHUTES_GENERATE_URL", format!("{base}/generate/{{slug}}")),
        ("LEOMA_DEVICE", "cpu".to_owned()),
        ("LEOMA_JUDGE", "both".to_owned()),
    ];
    let environment = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let sources = crate::config::Sources { environment, ..Default::default() };
    let config = Config::load(&sources).unwrap();
    let judging = Judging::open_with(&config, this_test_as_worker()).await.unwrap();
    let first_frame =
        leoma_scoring::media::first_frame_png(judging.ffmpeg(), &clip, &Limits::ANSWER).unwrap();
    let clip = a_clip(&clip, &first_frame);
    let chutes = ChutesClient::new(Reach::new(true), &config.services).unwrap();
    let request = super::super::requests::request(judging.task(), &clip, Some("a pattern"));
    assert!(request.prompt.is_some() && request.first_frame.is_some());
    let unprompted = super::super::requests::request(TaskType::I2v, &clip, Some("a pattern"));
    assert!(unprompted.prompt.is_none() && unprompted.first_frame.is_some());
    let unseen = super::super::requests::request(TaskType::T2v, &clip, Some("a pattern"));
    assert!(unseen.prompt.is_some() && unseen.first_frame.is_none());
    let begun = Begun { at: BlockNumber(1), clip, prompt: Some("a pattern".into()) };
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    let reference = judging.reference(&begun.clip.mp4).await.unwrap().with_prompt("a pattern");
    let mut all = Vec::new();
    for (n, slug) in (1..).zip(["copy", "padded", "endless"]) {
        let path = folder.path().join(format!("{slug}.answer"));
        let (body, most) = (request.to_body().unwrap(), Limits::ANSWER.file_bytes);
        let replied = chutes.generate(slug, &body, most, &path).await.unwrap();
        let answer = answer(n, replied);
        all.push(match answer.is_file() {
            false => Judged::without_video(&answer),
            true => {
                match judging.judge(&reference, &begun, &answer, &path, &metrics, WITHIN).await {
                    Ok(Judgment::Entry(judged)) => *judged,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    assert!(judging.takes_the_source(&begun, WITHIN).await.unwrap());
    // The judge fails with one video and takes the source clip, and then it takes neither.
    let path = folder.path().join("copy.answer");
    let again = answer(4, Replied { reply: Reply::Video, detail: String::new(), pause: None });
    match judging.judge(&reference, &begun, &again, &path, &metrics, WITHIN).await.unwrap() {
        Judgment::Silence { entry, error: JudgeError::Unreachable { .. } } => {
            assert_eq!((entry.entry.passed, &entry.entry.status), (false, &EntryStatus::Failed));
        }
        other => panic!("{other:?}"),
    }
    let down = judging.judge(&reference, &begun, &again, &path, &metrics, WITHIN).await;
    assert!(matches!(down, Err(TaskError::Judge(JudgeError::Unreachable { .. }))), "{down:?}");
    let [copy, padded, endless] = &all[..] else { panic!("an entry is missing: {all:?}") };
    let evidence = copy.evidence.as_ref().unwrap();
    assert!(padded.refused_by_judge && !copy.refused_by_judge, "{copy:?} {padded:?}");
    let [copy, padded, endless] = [copy, padded, endless].map(|judged| &judged.entry);
    assert!(copy.reasoning.ends_with("seen"), "{copy:?}");
    assert!(
        evidence.measures.as_ref().unwrap()["likeness"].as_f64().unwrap() > 0.5,
        "{evidence:?}"
    );
    assert!(
        evidence.judge.as_ref().unwrap().raw.contains("\"reasoning\":\"seen\""),
        "{evidence:?}"
    );
    assert!(copy.passed, "{copy:?}");
    assert!(!padded.passed && padded.reasoning.contains("SAFETY"), "{padded:?}");
    assert_eq!((&padded.status, padded.score), (&EntryStatus::Failed, None));
    assert_eq!((endless.passed, &endless.status), (false, &EntryStatus::Undecodable));
}

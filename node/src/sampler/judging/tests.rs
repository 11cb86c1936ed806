//! Answers judged by real worker processes, with a judge that is a stand-in.

use super::*;
use leoma_protocol::BlockNumber;

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
    for (fault, status) in [
        (AnswerFault::NoResponse("x".into()), EntryStatus::NoResponse),
        (AnswerFault::Timeout, EntryStatus::Timeout),
        (AnswerFault::Http(500), EntryStatus::HttpError),
        (AnswerFault::TooLarge, EntryStatus::Undecodable),
    ] {
        assert_eq!(status_of(&fault).0, status);
    }
}

/// This very test program, running [`worker_process`] alone, whose frames do not go where the
/// test's own lines go.
fn this_test_as_worker() -> WorkerProgram {
    let test = std::env::current_exe().unwrap().display().to_string();
    let name = "sampler::judging::tests::worker_process";
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

/// A scene of a task's length, or a printed reason why there is none.
/// `aside` is how many pixels per frame it goes its own way.
fn scene(folder: &std::path::Path, quality: u32, aside: f32) -> Option<Vec<u8>> {
    leoma_scoring::media::Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()?;
    let source = format!(
        "testsrc2=s=1200x640:r=16,gblur=1,crop=832:480:x='60+n*3':y='80+20*sin(n/12)+{aside}*n':exact=1"
    );
    let path = folder.join(format!("{quality}.mp4"));
    let made = std::process::Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-threads",
            "2",
            "-f",
            "lavfi",
            "-i",
            &source,
            "-frames:v",
            "81",
        ])
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

/// Stands in for the judge, which likes everything, and for miners: `copy`, `padded` and
/// `endless`.
async fn stand_in(copy: Bytes, padded: Bytes) -> String {
    use axum::body::Body;
    use axum::extract::{DefaultBodyLimit, Path};
    use axum::routing::post;
    let aspects: serde_json::Map<_, _> =
        Aspects::NAMES.map(|name| (name.to_owned(), 90.into())).into_iter().collect();
    let grade = serde_json::json!({
        "overall_score": 90, "confidence": 80, "reasoning": "seen", "aspect_scores": aspects,
    })
    .to_string();
    let answer =
        serde_json::json!({"candidates": [{"content": {"parts": [{"text": grade}]}}]}).to_string();
    // Requests are read to their end: an early answer would break the connection off.
    let judge = move |_request: Bytes| std::future::ready(answer.clone());
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
async fn answers_too_large_for_us_or_for_the_judge_fail_alone() {
    use crate::corpus::{ClipProof, CorpusId, PROOF_SCHEMA, Seed};
    use crate::miners::ChutesClient;
    use leoma_scoring::media::{ClipShape, Limits};
    let folder = tempfile::tempdir().unwrap();
    let (Some(clip), Some(copy)) = (scene(folder.path(), 16, 0.0), scene(folder.path(), 22, 0.2))
    else {
        return;
    };
    // A box that players skip: the same pictures in more bytes than the judge takes, and fewer
    // than we do.
    let padding = 20_u32 << 20;
    let padded =
        [&copy[..], &padding.to_be_bytes(), b"free", &vec![0; padding as usize - 8]].concat();
    assert!(padded.len() < Limits::ANSWER.file_bytes);
    let base = stand_in(copy.into(), padded.into()).await;
    let settings = [
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
    let first_frame: Bytes = first_frame.into();
    let shape = ClipShape::TASK;
    let proof = ClipProof {
        schema: PROOF_SCHEMA,
        seed: Seed { block: BlockNumber(0), hash: Digest::of(b"s") },
        corpus: CorpusId::Manifest { sha256: Digest::of(b"m"), videos: 1 },
        skipped: Vec::new(),
        index: 0,
        key: "clips/a.mp4".parse().unwrap(),
        source_sha256: Digest::of(b"v"),
        source_bytes: 1,
        shots: vec![[0, 6000]],
        shot: 0,
        start_ms: 0,
        offset_ms: 0,
        shape: [shape.fps, shape.frames, shape.width, shape.height],
        clip_sha256: Digest::of(&clip),
        first_frame_sha256: Digest::of(&first_frame),
        ffmpeg: "5.1".into(),
    };
    let clip = TaskClip { proof, mp4: clip.into(), first_frame };

    let chutes = ChutesClient::new(crate::outbound::client().unwrap(), &config.services);
    let request = super::super::ask::request(judging.task(), &clip, Some("a pattern"));
    assert!(request.prompt.is_some() && request.first_frame.is_some());
    let unprompted = super::super::ask::request(TaskType::I2v, &clip, Some("a pattern"));
    assert!(unprompted.prompt.is_none() && unprompted.first_frame.is_some());
    let unseen = super::super::ask::request(TaskType::T2v, &clip, Some("a pattern"));
    assert!(unseen.prompt.is_some() && unseen.first_frame.is_none());
    let mut answers = Vec::new();
    for (n, slug) in (1..).zip(["copy", "padded", "endless"]) {
        let patience = std::time::Duration::from_secs(300);
        let video = chutes.generate(slug, &request, patience, Limits::ANSWER.file_bytes).await;
        let (miner, commit_block) = (Hotkey::from_bytes([n; 32]), BlockNumber(n.into()));
        answers.push(Answer {
            miner,
            model_revision: "r".into(),
            commit_block,
            video,
            latency_ms: 1,
        });
    }
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    let reference = judging.reference(&clip.mp4).await.unwrap();
    let (entries, evidence) =
        judging.judge_all(&reference, &clip, Some("a pattern"), &answers, &metrics).await.unwrap();
    let [copy, padded, endless] = &entries[..] else { panic!("an entry is missing: {entries:?}") };
    assert!(copy.reasoning.ends_with("seen"), "{copy:?}");
    let evidence = &evidence[&copy.hotkey];
    assert!(
        evidence.measures.as_ref().unwrap()["agreement"].as_f64().unwrap() > 0.9,
        "{evidence:?}"
    );
    assert!(
        evidence.judge.as_ref().unwrap().raw.contains("\"reasoning\":\"seen\""),
        "{evidence:?}"
    );
    assert!(copy.passed, "{copy:?}");
    assert!(!padded.passed && padded.reasoning.contains("more than judge"), "{padded:?}");
    assert_eq!(padded.status, EntryStatus::Failed);
    assert_eq!((endless.passed, &endless.status), (false, &EntryStatus::Undecodable));
}

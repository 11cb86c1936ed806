mod quick;

use super::*;
use leoma_scoring::judge::JudgeThresholds;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY: &str = "secret-key-0123456789";

/// Answers the n-th request with the n-th reply (the last one from then on) and keeps what was
/// sent.
async fn server(replies: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        for index in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            requests.lock().unwrap().push(request);
            let reply = &replies[index.min(replies.len() - 1)];
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (base, seen)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.unwrap();
        request.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&request);
        let length = text.to_lowercase().split("content-length: ").nth(1).and_then(|rest| {
            rest.split("\r\n").next().and_then(|number| number.parse::<usize>().ok())
        });
        let body = text.find("\r\n\r\n").map(|end| request.len() - end - 4);
        if count == 0 || body >= length.or(Some(usize::MAX)) {
            return text.into_owned();
        }
    }
}

fn reply(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn candidate(text: &str) -> String {
    let body = serde_json::json!({"candidates": [{"content": {"parts": [{"text": text}]}}]});
    reply("200 OK", &body.to_string())
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn judge_under(base: String, retry: RetryPolicy) -> Gemini {
    let judge = Gemini::new(client(), &base, "gemini-2.5-flash", &Secret::new(KEY)).unwrap();
    Gemini { service: Service { retry, ..SERVICE }, ..judge }
}

fn judge(base: String) -> Gemini {
    let quick = RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(1),
        attempt_timeout: Duration::from_secs(5),
        ..RETRY
    };
    judge_under(base, quick)
}

fn request<'a>() -> JudgeRequest<'a> {
    let thresholds = JudgeThresholds::SUBNET;
    JudgeRequest {
        prompt: Some("a red ball rolls"),
        first_frame_png: Some(b"png"),
        video_mp4: b"mp4",
        thresholds,
    }
}

#[tokio::test]
async fn a_grade_survives_a_full_quota_and_a_server_error() {
    let grade = "```json\n{\"overall_score\": 81, \"confidence\": 90}\n```";
    let replies = vec![
        reply("429 Too Many Requests", r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#),
        reply("500 Internal Server Error", ""),
        candidate(grade),
    ];
    let (base, seen) = server(replies).await;
    let judgement = judge(base).grade(request(), RETRY.deadline).await.unwrap();
    assert!(
        judgement.raw.contains("overall_score") && !judgement.model.is_empty(),
        "{judgement:?}"
    );
    let answer = judgement.answer;
    assert_eq!((answer.overall_score, answer.confidence), (81, 90));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen[2].starts_with("POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1"));
    assert!(seen[2].contains(&format!("x-goog-api-key: {KEY}")));
    assert!(
        seen[2].contains("\"mimeType\":\"video/mp4\"") && seen[2].contains("\"temperature\":0.1")
    );
    assert!(seen[2].contains("a red ball rolls") && seen[2].contains("manipulate"));
}

#[tokio::test]
async fn a_judge_that_is_down_is_an_error_without_the_key() {
    let (base, seen) = server(vec![reply("503 Service Unavailable", KEY)]).await;
    let error = judge(base).grade(request(), RETRY.deadline).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 3, .. }), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 3);
    let refusal = reply(
        "403 Forbidden",
        &format!(r#"{{"error":{{"status":"PERMISSION_DENIED","message":"{KEY}"}}}}"#),
    );
    let (base, seen) = server(vec![refusal]).await;
    let judge = judge(base);
    let refused = judge.grade(request(), RETRY.deadline).await.unwrap_err();
    assert!(matches!(&refused, JudgeError::Refused { status: 403, .. }), "{refused}");
    assert_eq!(seen.lock().unwrap().len(), 1);
    assert!(refused.to_string().contains("PERMISSION_DENIED"));
    for text in
        [format!("{error} {error:?}"), format!("{refused} {refused:?}"), format!("{judge:?}")]
    {
        assert!(!text.contains(KEY), "{text}");
    }
}

/// As the service answers: the status is that of a bad video too, only the reason tells them
/// apart.
#[tokio::test]
async fn a_refused_key_is_told_from_a_refused_video() {
    let code = async |details: serde_json::Value| {
        let error = serde_json::json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": details}});
        let (base, _) = server(vec![reply("400 Bad Request", &error.to_string())]).await;
        match judge(base).grade(request(), RETRY.deadline).await.unwrap_err() {
            JudgeError::Refused { status: 400, code, .. } => code,
            other => panic!("{other:?}"),
        }
    };
    let help = serde_json::json!({"@type": "type.googleapis.com/google.rpc.Help", "links": []});
    let info = serde_json::json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"});
    assert_eq!(code(serde_json::json!([help, info])).await, "API_KEY_INVALID");
    for details in [serde_json::json!([help]), serde_json::Value::Null] {
        assert_eq!(code(details).await, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn an_endless_an_empty_and_a_blocked_reply_are_errors() {
    let endless = reply("200 OK", &"x".repeat(2 << 20));
    let error =
        judge(server(vec![endless]).await.0).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(error.to_string().contains("over 1048576 bytes"), "{error}");
    let blocked = reply("200 OK", r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#);
    let error =
        judge(server(vec![blocked]).await.0).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(error.to_string().contains("SAFETY"), "{error}");
    let error =
        judge("http://127.0.0.1:1".to_owned()).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_reply_that_never_comes_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let quick = RetryPolicy {
        attempts: 2,
        first_delay: Duration::from_millis(1),
        attempt_timeout: Duration::from_millis(50),
        ..RETRY
    };
    let error = judge_under(base, quick).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 2, .. }), "{error}");
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[tokio::test]
async fn both_askings_together_are_over_within_the_time_that_a_grade_has() {
    let empty = reply("200 OK", r#"{"candidates":[]}"#);
    let (base, seen) = server(vec![empty, reply("503 Service Unavailable", "")]).await;
    let within = Duration::from_millis(900);
    let began = Instant::now();
    let error = judge_under(base, RETRY).grade(request(), within).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");
    assert!(began.elapsed() < RETRY.first_delay, "{:?}", began.elapsed());
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_pause_that_the_budget_has_no_room_for_is_not_made() {
    let busy = reply("503 Service Unavailable\r\nretry-after: 30", "");
    let (base, seen) = server(vec![busy]).await;
    let short = RetryPolicy { deadline: Duration::from_secs(20), ..RETRY };
    let error = judge_under(base, short).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1);

    // Nor a pause that overflows every clock.
    let (base, _) =
        server(vec![reply("429 Too Many Requests\r\nretry-after: 18446744073709551615", "")]).await;
    let error = judge_under(base, RETRY).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let spent = RetryPolicy { deadline: Duration::from_millis(50), ..RETRY };
    let error = judge_under(base, spent).describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[test]
fn wrong_settings_are_named() {
    let base = "https://service.example";
    let reason = |base: &str, model: &str, key: &str| {
        Gemini::new(client(), base, model, &Secret::new(key)).unwrap_err().to_string()
    };
    assert!(reason("ftp://x", "model", KEY).contains("https://host"));
    assert!(reason(base, "a/b", KEY).contains("model"));
    assert!(reason(base, "model", "a\nb").contains("key"));
    assert!(reason(base, "model", "").contains("key"));
}

/// A quota error as the service answers it, with a short delay that misleads.
fn daily_quota() -> String {
    let violation =
        serde_json::json!({"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"});
    let details = serde_json::json!([{"violations": [violation]}, {"retryDelay": "1s"}]);
    let error =
        serde_json::json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details});
    reply("429 Too Many Requests", &serde_json::json!([{"error": error}]).to_string())
}

#[tokio::test]
async fn g6_a_daily_quota_is_named_and_not_asked_for_again() {
    let (base, seen) = server(vec![daily_quota()]).await;
    let judge = judge(base);
    for _ in 0..3 {
        let error = judge.grade(request(), RETRY.deadline).await.unwrap_err();
        assert!(matches!(&error, JudgeError::Quota { .. }), "{error}");
        assert!(error.to_string().contains("PerDay") && !error.is_about_the_video(), "{error}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn g1_g2_a_cut_answer_is_asked_for_again_with_more_room_and_then_ours() {
    let cut = serde_json::json!({"candidates": [{
        "content": {"parts": [{"text": "{\"overall_score\": 90, \"aspect"}]},
        "finishReason": "MAX_TOKENS",
    }]});
    let cut = reply("200 OK", &cut.to_string());
    let (base, seen) = server(vec![cut.clone(), candidate("{\"overall_score\": 81}")]).await;
    let judgement = judge(base).grade(request(), RETRY.deadline).await.unwrap();
    assert_eq!(judgement.answer.overall_score, 81);
    let tokens = |request: &str| -> u64 {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["generationConfig"]["maxOutputTokens"].as_u64().unwrap()
    };
    let asked: Vec<u64> = seen.lock().unwrap().iter().map(|request| tokens(request)).collect();
    assert!(asked.len() == 2 && asked[0] < asked[1], "{asked:?}");

    let (base, _) = server(vec![cut]).await;
    let error = judge(base).grade(request(), RETRY.deadline).await.unwrap_err();
    assert!(matches!(&error, JudgeError::NoAnswer { .. }), "{error}");
    assert!(!error.is_about_the_video() && error.to_string().contains("MAX_TOKENS"), "{error}");

    // A text without a grade is none, either.
    for text in [
        "I cannot grade this video.",
        "{}",
        r#"{"error": {"code": 500, "message": "overloaded"}}"#,
        "[90, 80]",
        r#"{"overall_score": null, "confidence": 9, "aspect_scores": {"motion_quality": "good"}}"#,
        "```json\n{\"overall_score\": NaN}\n```",
    ] {
        let (base, seen) = server(vec![candidate(text)]).await;
        let error = judge(base).grade(request(), RETRY.deadline).await.unwrap_err();
        assert!(matches!(&error, JudgeError::NoAnswer { .. }), "{text}: {error}");
        assert!(!error.is_about_the_video(), "{text}");
        assert_eq!(seen.lock().unwrap().len(), 2, "{text}");
    }
    // Zero points that the judge gives are a grade.
    for text in [
        r#"{"overall_score": 0}"#,
        r#"{"overall_score": "0.0"}"#,
        "```json\n{\"aspect_scores\": {\"motion_quality\": 0}}\n```",
    ] {
        let (base, seen) = server(vec![candidate(text)]).await;
        let judgement = judge(base).grade(request(), RETRY.deadline).await.unwrap();
        assert_eq!((judgement.answer.overall_score, judgement.answer.unreadable), (0, false));
        assert_eq!(seen.lock().unwrap().len(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_page_instead_of_a_reply_is_ours() {
    let (base, _) = server(vec![reply("200 OK", "<html>maintenance</html>")]).await;
    let error = judge(base).grade(request(), RETRY.deadline).await.unwrap_err();
    assert!(matches!(&error, JudgeError::NoAnswer { .. }), "{error}");
    assert!(!error.is_about_the_video());
}

#[tokio::test]
async fn g3_g4_one_real_request_finds_a_retired_model_and_a_setting_that_it_refuses() {
    if Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).is_err() {
        return;
    }
    for (status, code) in [("404 Not Found", "NOT_FOUND"), ("400 Bad Request", "INVALID_ARGUMENT")]
    {
        let error = serde_json::json!([{"error": {"status": code}}]);
        let (base, seen) = server(vec![reply(status, &error.to_string())]).await;
        let error = judge(base).prove().await.unwrap_err();
        assert!(error.to_string().contains(code), "{error}");
        let seen = seen.lock().unwrap();
        assert!(seen.len() == 1 && seen[0].contains("video/mp4"), "{seen:?}");
    }
    let (base, _) = server(vec![candidate("A square moves right.")]).await;
    assert_eq!(judge(base).prove().await.unwrap(), "gemini-2.5-flash");
}

#[test]
fn a_copy_that_this_machine_cannot_make_is_told_from_a_video_that_has_none() {
    use leoma_scoring::media::VideoDefect;
    let theirs = no_copy(&VideoDefect::NoFrames.into());
    assert!(matches!(theirs, JudgeError::Copy { .. }), "{theirs}");
    let io = || std::io::Error::other("x");
    let ours: [MediaError; 7] = [
        MediaFault::Encode { complaint: "x".into() }.into(),
        MediaFault::OutOfCpu { seconds: 60 }.into(),
        MediaFault::Killed { signal: "SIGKILL" }.into(),
        MediaFault::Stalled { seconds: 90 }.into(),
        MediaFault::Spawn { program: "ffmpeg".into(), source: io() }.into(),
        MediaFault::Input(io()).into(),
        MediaFault::Read(io()).into(),
    ];
    for ours in ours {
        let error = no_copy(&ours);
        assert!(matches!(error, JudgeError::Machine { .. }), "{ours}");
        assert!(!error.is_about_the_video());
    }
    let source = std::io::Error::other("no such library");
    let error = no_copy(&MediaFault::Spawn { program: "ffmpeg".into(), source }.into());
    assert!(error.to_string().contains("cannot start ffmpeg: no such library"), "{error}");
}

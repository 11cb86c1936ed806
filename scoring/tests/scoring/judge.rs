//! Judge normalisation against the reference's cases, and the Gemini client against a server that
//! misbehaves.

use leoma_scoring::TaskType;
use leoma_scoring::judge::{
    ApiKey, GeminiConfig, GeminiJudge, Judge, JudgeAnswer, JudgeError, JudgeRequest,
    JudgeThresholds,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY: &str = "secret-key-0123456789";

fn vectors() -> serde_json::Value {
    // Tests run in their package's folder, whoever sets the variable stands in the workspace's, and
    // `join` keeps an absolute path as it is. A path fixed by the compiler would be another
    // checkout's where two share a target folder.
    let folder =
        std::env::var_os("LEOMA_VECTORS").map_or_else(|| PathBuf::from("vectors"), PathBuf::from);
    let path = Path::new("..").join(folder).join("judge_response.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn normalisation_agrees_with_every_reference_case() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for (index, case) in cases.iter().enumerate() {
        let thresholds = JudgeThresholds {
            pass: case["pass_threshold"].as_i64().unwrap(),
            critical: case["critical_threshold"].as_i64().unwrap(),
        };
        let answer = JudgeAnswer::from_text(case["raw"].as_str().unwrap(), thresholds);
        assert_eq!(answer.unreadable, case["parse_error"].as_bool().unwrap(), "case {index}");
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            case["result"],
            "case {index}: {}",
            case["raw"]
        );
    }
}

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

fn judge(base: String) -> GeminiJudge {
    let config = GeminiConfig {
        base,
        attempts: 3,
        backoff: Duration::from_millis(1),
        timeout: Duration::from_secs(5),
        ..GeminiConfig::new(ApiKey::new(KEY))
    };
    GeminiJudge::new(config).unwrap()
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
    let judgement = judge(base).judge(request()).await.unwrap();
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
async fn a_judge_is_shown_what_the_miner_was_given_and_no_more() {
    let (base, seen) = server(vec![candidate("{}"), candidate("{}"), candidate("{}")]).await;
    let judge = judge(base);
    let both = request();
    for request in [
        both,
        JudgeRequest { prompt: None, ..both },
        JudgeRequest { first_frame_png: None, ..both },
    ] {
        judge.judge(request).await.unwrap();
    }
    let seen = seen.lock().unwrap();
    let holds = |text: &str| [0, 1, 2].map(|asked: usize| seen[asked].contains(text));
    assert_eq!(holds("a red ball rolls"), [true, false, true]);
    assert_eq!(holds("image/png"), [true, true, false]);
    assert_eq!(holds("always 100"), [false, true, true]);
}

#[tokio::test]
async fn a_description_asks_with_its_own_settings() {
    let (base, seen) = server(vec![candidate("  A ball rolls left.  "); 2]).await;
    let judge = judge(base);
    assert_eq!(judge.describe(b"mp4", TaskType::Ti2v).await.unwrap(), "A ball rolls left.");
    judge.describe(b"mp4", TaskType::T2v).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen[0].contains("\"temperature\":0.2") && seen[0].contains("\"maxOutputTokens\":400"));
    assert!(seen[0].contains("first frame") && !seen[1].contains("first frame"));
}

#[tokio::test]
async fn a_judge_that_is_down_is_an_error_without_the_key() {
    let (base, seen) = server(vec![reply("503 Service Unavailable", KEY)]).await;
    let error = judge(base).judge(request()).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 3, .. }), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 3);
    let refusal = reply(
        "403 Forbidden",
        &format!(r#"{{"error":{{"status":"PERMISSION_DENIED","message":"{KEY}"}}}}"#),
    );
    let (base, seen) = server(vec![refusal]).await;
    let judge = judge(base);
    let refused = judge.judge(request()).await.unwrap_err();
    assert!(matches!(&refused, JudgeError::Refused { status: 403, .. }), "{refused}");
    assert_eq!(seen.lock().unwrap().len(), 1);
    assert!(refused.to_string().contains("PERMISSION_DENIED"));
    for text in
        [format!("{error} {error:?}"), format!("{refused} {refused:?}"), format!("{judge:?}")]
    {
        assert!(!text.contains(KEY), "{text}");
    }
}

/// As the service answers: the status is that of a bad video too, only the reason tells them apart.
#[tokio::test]
async fn a_refused_key_is_told_from_a_refused_video() {
    let code = async |details: serde_json::Value| {
        let error = serde_json::json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": details}});
        let (base, _) = server(vec![reply("400 Bad Request", &error.to_string())]).await;
        match judge(base).judge(request()).await.unwrap_err() {
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
    let config = GeminiConfig {
        base,
        attempts: 2,
        backoff: Duration::from_millis(1),
        timeout: Duration::from_millis(50),
        ..GeminiConfig::new(ApiKey::new(KEY))
    };
    let error =
        GeminiJudge::new(config).unwrap().describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(error.to_string().contains("timeout"), "{error}");
}

#[tokio::test]
async fn a_pause_that_the_budget_has_no_room_for_is_not_made() {
    let busy = reply("503 Service Unavailable\r\nretry-after: 30", "");
    let (base, seen) = server(vec![busy]).await;
    let config = GeminiConfig {
        base,
        budget: Duration::from_secs(20),
        ..GeminiConfig::new(ApiKey::new(KEY))
    };
    let error =
        GeminiJudge::new(config).unwrap().describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1);

    // Nor one that no clock can count.
    let (base, _) =
        server(vec![reply("429 Too Many Requests\r\nretry-after: 18446744073709551615", "")]).await;
    let config = GeminiConfig { base, ..GeminiConfig::new(ApiKey::new(KEY)) };
    let error =
        GeminiJudge::new(config).unwrap().describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(matches!(&error, JudgeError::Unreachable { attempts: 1, .. }), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let config = GeminiConfig {
        base,
        budget: Duration::from_millis(50),
        ..GeminiConfig::new(ApiKey::new(KEY))
    };
    let error =
        GeminiJudge::new(config).unwrap().describe(b"mp4", TaskType::Ti2v).await.unwrap_err();
    assert!(error.to_string().contains("no time is left"), "{error}");
}

#[test]
fn wrong_settings_are_named() {
    let config = || GeminiConfig::new(ApiKey::new(KEY));
    let reason = |config: GeminiConfig| GeminiJudge::new(config).unwrap_err().to_string();
    assert!(reason(GeminiConfig { base: "ftp://x".into(), ..config() }).contains("https://host"));
    assert!(reason(GeminiConfig { model: "a/b".into(), ..config() }).contains("model"));
    assert!(reason(GeminiConfig { key: ApiKey::new("a\nb"), ..config() }).contains("key"));
}

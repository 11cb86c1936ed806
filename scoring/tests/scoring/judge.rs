//! Judge normalisation against the reference's cases, and what Gemini is asked.

use leoma_scoring::TaskType;
use leoma_scoring::judge::{GeminiModel, JudgeAnswer, JudgeRequest, JudgeThresholds, Room};
use std::path::{Path, PathBuf};

fn vectors() -> serde_json::Value {
    // Tests run in their package's folder, while the variable counts from the workspace's; `join`
    // keeps an absolute path as it is. A path fixed at compile time would point to another checkout
    // where two share a target folder.
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

fn judge() -> GeminiModel {
    GeminiModel::new("gemini-2.5-flash").unwrap()
}

#[test]
fn a_judge_is_shown_what_the_miner_was_given_and_no_more() {
    let both = JudgeRequest {
        prompt: Some("a red ball rolls"),
        first_frame_png: Some(b"png"),
        video_mp4: b"mp4",
        thresholds: JudgeThresholds::SUBNET,
    };
    let requests = [
        both,
        JudgeRequest { prompt: None, ..both },
        JudgeRequest { first_frame_png: None, ..both },
    ];
    let seen = requests.map(|request| {
        String::from_utf8(judge().grading_request(&request, Room::Usual).unwrap()).unwrap()
    });
    let holds = |text: &str| [0, 1, 2].map(|asked: usize| seen[asked].contains(text));
    assert_eq!(holds("a red ball rolls"), [true, false, true]);
    assert_eq!(holds("image/png"), [true, true, false]);
    assert_eq!(holds("always 100"), [false, true, true]);
}

#[test]
fn a_description_asks_with_its_own_settings() {
    let asked = |task| {
        let request = judge().description_request(b"mp4", task, Room::Usual).unwrap();
        String::from_utf8(request).unwrap()
    };
    let seen = [asked(TaskType::Ti2v), asked(TaskType::T2v)];
    assert!(seen[0].contains("\"temperature\":0.2"));
    assert!(seen[0].contains("first frame") && !seen[1].contains("first frame"));
    let reply =
        br#"{"candidates": [{"content": {"parts": [{"text": "  A ball rolls left.  "}]}}]}"#;
    assert_eq!(judge().description(reply).unwrap(), "A ball rolls left.");
}

#[test]
fn g1_g4_each_generation_is_told_how_much_to_think_in_its_own_way() {
    let settings = |name: &str, room| {
        let model = GeminiModel::new(name).unwrap();
        let request = model.description_request(b"mp4", TaskType::Ti2v, room).unwrap();
        let request: serde_json::Value = serde_json::from_slice(&request).unwrap();
        request["generationConfig"].clone()
    };
    let thinking = |name: &str| settings(name, Room::Usual)["thinkingConfig"].clone();
    let budget = serde_json::json!({"thinkingBudget": 512});
    let level = serde_json::json!({"thinkingLevel": "low"});
    for (name, expected) in [
        ("gemini-2.5-flash", &budget),
        ("gemini-2.5-pro", &budget),
        ("gemini-2.5-flash-lite", &budget),
        ("gemini-3-flash-preview", &level),
        ("gemini-3.1-pro", &level),
        ("gemini-2.0-flash", &serde_json::Value::Null),
        ("gemini-flash-latest", &serde_json::Value::Null),
    ] {
        assert_eq!(thinking(name), *expected, "{name}");
    }
    let tokens = |room| settings("gemini-2.5-flash", room)["maxOutputTokens"].as_u64().unwrap();
    assert!(tokens(Room::Usual) > 512 + 1024 && tokens(Room::Ample) > tokens(Room::Usual));
}

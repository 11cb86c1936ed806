//! What validators and administrators post: who may, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use super::{
    NOW, SAMPLE, app, app_at, app_of, ask, call, check, get, hotkey, signed_by, snapshot, text,
};
use crate::access::recorded;
use crate::server::Audience;
use crate::site::iso;
use crate::view::{GossipedReport, Validator, Validity};

fn sample(miner: &str) -> Value {
    json!({
        "task_id": 4_000_000_000_u64, "miner_hotkey": miner, "prompt": "a boat", "s3_bucket": "b",
        "s3_prefix": "7/", "passed": true, "confidence": 80, "latency_ms": 1200,
    })
}

#[tokio::test]
async fn validators_post_samples_and_reports_and_nobody_else_does() {
    let app = app();
    let miner = hotkey(40);
    let body = json!({ "signature": null, "samples": [sample(&miner)] }).to_string();
    assert_eq!(call(&app, 7, Method::POST, "/samples/batch", &body).await.0, 403);
    let posted = call(&app, 1, Method::POST, "/samples/batch", &body).await;
    assert_eq!(posted, (200, json!({ "accepted": 1 })));
    let (_, rows) = get(&app, &format!("/samples/miner/{miner}")).await;
    check("/samples/miner", &rows[0], SAMPLE);
    assert_eq!(
        (&rows[0]["prompt"], &rows[0]["validator_hotkey"]),
        (&json!("a boat"), &json!(hotkey(1)))
    );

    let mut long = sample(&miner);
    long["reasoning"] = json!("é".repeat(4097));
    let body = json!({ "samples": [sample(&miner), long] }).to_string();
    let (status, error) = call(&app, 1, Method::POST, "/samples", &body).await;
    assert_eq!(status, 422);
    assert_eq!(error["detail"], "samples[1].reasoning has more than 4096 characters");
    let body = json!({ "samples": [sample("5x")] }).to_string();
    let refused = call(&app, 1, Method::POST, "/samples", &body).await;
    assert_eq!(refused, (422, json!({ "detail": "samples[0].miner_hotkey is not a hotkey" })));
}

#[tokio::test]
async fn a_short_page_of_samples_is_the_last() {
    let mut made = snapshot();
    Arc::make_mut(&mut made.files[0].verdict).producer = hotkey(1).into();
    let held = made.files[0].verdict.task_id;
    let app = app_of(made, Audience::Operator);
    let miner = hotkey(40);
    let of_task = |task: u64| {
        let mut sample = sample(&miner);
        sample["task_id"] = json!(task);
        sample["confidence"] = json!(85.0);
        sample
    };
    let samples = [4_000_000_000, 4_000_000_001, held].map(of_task);
    let body = json!({ "samples": samples }).to_string();
    assert_eq!(call(&app, 1, Method::POST, "/samples", &body).await.0, 200);
    // The newest one is of a task whose file is held.
    for (offset, task) in [(0, 4_000_000_001_u64), (1, 4_000_000_000)] {
        let path = format!("/samples/miner/{miner}?limit=1&offset={offset}");
        let (_, rows) = get(&app, &path).await;
        assert_eq!((&rows[0]["task_id"], &rows[0]["confidence"]), (&json!(task), &json!(85)));
    }
    let (_, rows) = get(&app, &format!("/samples/miner/{miner}?offset=2")).await;
    assert_eq!(rows, json!([]));
}

#[tokio::test]
async fn reports_of_listed_validators_count_where_we_have_not_checked_a_miner() {
    let mut made = snapshot();
    made.miners[0].validity = Validity::Unknown;
    made.miners[0].checked_at = None;
    let with_permit = Validator { hotkey: hotkey(3).into(), ..Validator::default() };
    made.validators.push(with_permit);
    let [unknown, checked] = [0, 1].map(|index: usize| made.miners[index].hotkey.clone());
    let (unknown, checked) = (&*unknown, &*checked);
    let app = app_of(made, Audience::Operator);
    let report = |is_valid: bool| {
        let miners = [unknown, checked].map(|miner| {
            json!({
                "uid": 3, "miner_hotkey": miner, "is_valid": is_valid,
                "invalid_reason": "chute_not_running",
            })
        });
        json!({ "miners": miners }).to_string()
    };
    let of = async |miner: &str| {
        let (_, value) = get(&app, &format!("/miners/{miner}")).await;
        (value["is_valid"].clone(), value["invalid_reason"].clone())
    };
    let valid_miners = async || get(&app, "/overview").await.1["valid_miners"].clone();

    let (status, error) = call(&app, 3, Method::POST, "/miners/report", &report(true)).await;
    assert_eq!(status, 403);
    assert!(error["detail"].as_str().unwrap().ends_with("is not on the allowlist"), "{error}");
    let samples = json!({ "samples": [] }).to_string();
    assert_eq!(call(&app, 3, Method::POST, "/samples", &samples).await.0, 403);
    assert_eq!(of(unknown).await, (json!(false), json!(null)));
    assert_eq!(valid_miners().await, 4);

    let (status, answer) = call(&app, 1, Method::POST, "/miners/report", &report(true)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(of(unknown).await, (json!(true), json!(null)));
    assert_eq!(valid_miners().await, 5);
    let (_, info) = get(&app, &format!("/miners/info/{unknown}")).await;
    assert_eq!(info["last_validated_at"], json!(iso(NOW)));
    let (_, active) = get(&app, "/miners/active").await;
    let mut active = active.as_array().unwrap().iter().filter(|row| row["hotkey"] == *unknown);
    assert_eq!(active.next().unwrap()["active"], true);
    let page = ask(&app, Request::get("/ui/miners?show=valid").body(Body::empty()).unwrap()).await;
    assert!(text(page).await.contains(unknown));

    // Half is no majority, and what we checked ourselves stays as we found it.
    let (status, _) = call(&app, 2, Method::POST, "/miners/report", &report(false)).await;
    assert_eq!(status, 200);
    assert_eq!(of(unknown).await, (json!(false), json!("chute_not_running")));
    assert_eq!(of(checked).await, (json!(true), json!(null)));
}

#[tokio::test]
async fn reports_that_validators_gossip_count_like_posted_ones() {
    let mut made = snapshot();
    made.miners[0].validity = Validity::Unknown;
    made.miners[0].checked_at = None;
    let (unknown, head) = (made.miners[0].hotkey.clone(), made.head);
    let says = |seed: u8, block: u64, reason: Option<&str>| GossipedReport {
        validator: hotkey(seed).into(),
        block,
        miners: vec![(unknown.clone(), reason.map(str::to_owned))],
    };
    // Key 2 said it an hour ago, and key 3 is not on the allowlist.
    let (old, stranger) = (says(2, head - 300, Some("old")), says(3, head, Some("strange")));
    made.reports = vec![says(1, head, None), old, stranger];
    let app = app_of(made, Audience::Operator);
    let of_it = async || {
        let (_, value) = get(&app, &format!("/miners/{unknown}")).await;
        (value["is_valid"].clone(), value["invalid_reason"].clone())
    };
    assert_eq!(of_it().await, (json!(true), json!(null)));
    // One of two, then the other's newer word: each validator has one.
    let post = async |seed: u8, is_valid: bool| {
        let miner = json!({
            "uid": 3, "miner_hotkey": &*unknown, "is_valid": is_valid, "invalid_reason": "posted",
        });
        let body = json!({ "miners": [miner] }).to_string();
        assert_eq!(call(&app, seed, Method::POST, "/miners/report", &body).await.0, 200);
    };
    post(2, false).await;
    assert_eq!(of_it().await, (json!(false), json!("posted")));
    post(2, true).await;
    assert_eq!(of_it().await, (json!(true), json!(null)));
}

#[tokio::test]
async fn administrators_keep_the_blacklist_and_its_hotkeys_are_refused() {
    let app = app();
    let body = json!({ "hotkey": hotkey(1), "reason": "posts nonsense" }).to_string();
    assert_eq!(call(&app, 2, Method::POST, "/blacklist", &body).await.0, 403);
    let (status, added) = call(&app, 9, Method::POST, "/blacklist", &body).await;
    assert_eq!(status, 200, "{added}");
    check("/blacklist", &added, "hotkey:text reason:text? added_by:text? created_at:time?");
    assert_eq!(get(&app, "/blacklist/miners").await.1, json!([hotkey(1)]));
    assert_eq!(get(&app, &format!("/blacklist/{}", hotkey(1))).await.0, 200);
    let samples = json!({ "samples": [] }).to_string();
    let (status, error) = call(&app, 1, Method::POST, "/samples", &samples).await;
    assert_eq!(status, 403);
    assert!(error["detail"].as_str().unwrap().contains("posts nonsense"), "{error}");
    let path = format!("/blacklist/{}", hotkey(1));
    assert_eq!(call(&app, 9, Method::DELETE, &path, "").await.0, 200);
    assert_eq!(call(&app, 1, Method::POST, "/samples", &samples).await.0, 200);
    let (status, error) = call(&app, 9, Method::POST, "/rotation/interval", "{}").await;
    assert!(status == 409 && error["detail"].as_str().unwrap().contains("leoma validator"));
    assert_eq!(call(&app, 2, Method::POST, "/rotation/interval", "{}").await.0, 403);
}

#[tokio::test]
async fn a_blacklisted_miner_is_invalid_whatever_checks_and_reports_say() {
    let mut made = snapshot();
    made.miners[0].validity = Validity::Unknown;
    made.miners[0].checked_at = None;
    let [reported, checked] = [0, 1].map(|index: usize| made.miners[index].hotkey.to_string());
    let app = app_of(made, Audience::Operator);
    let says = json!({ "uid": 3, "miner_hotkey": reported, "is_valid": true });
    let report = json!({ "miners": [says] }).to_string();
    assert_eq!(call(&app, 1, Method::POST, "/miners/report", &report).await.0, 200);
    let of = async |miner: &str| {
        let (_, value) = get(&app, &format!("/miners/{miner}")).await;
        (value["is_valid"].clone(), value["invalid_reason"].clone())
    };
    let valid_miners = async || get(&app, "/miners/valid").await.1["total"].clone();
    for miner in [&*reported, &*checked] {
        assert_eq!(of(miner).await, (json!(true), json!(null)));
        let before = valid_miners().await.as_u64().unwrap();
        let body = json!({ "hotkey": miner, "reason": "copies" }).to_string();
        assert_eq!(call(&app, 9, Method::POST, "/blacklist", &body).await.0, 200);
        assert_eq!(of(miner).await, (json!(false), json!("blacklisted")));
        assert_eq!(valid_miners().await, json!(before - 1));
        let (_, active) = get(&app, "/miners/active").await;
        let mut rows = active.as_array().unwrap().iter();
        let row = rows.find(|row| row["hotkey"] == *miner).unwrap();
        assert_eq!(row["active"], false);
    }
    let page = ask(&app, Request::get("/ui/miners?show=valid").body(Body::empty()).unwrap()).await;
    let page = text(page).await;
    assert!(!page.contains(&reported) && !page.contains(&checked), "{page}");
    let path = format!("/blacklist/{reported}");
    assert_eq!(call(&app, 9, Method::DELETE, &path, "").await.0, 200);
    assert_eq!(of(&*reported).await, (json!(true), json!(null)));
}

#[tokio::test]
async fn a_call_that_is_old_changed_or_repeated_is_401() {
    let app = app();
    let body = json!({ "samples": [] }).to_string();
    let request = || signed_by(1, Method::POST, "/samples", &body, NOW - 300);
    let headers = request().headers().clone();
    let again = || {
        let mut request = Request::post("/samples/batch").body(Body::from(body.clone())).unwrap();
        *request.headers_mut() = headers.clone();
        request
    };
    assert_eq!(ask(&app, again()).await.status(), 200);
    // On another path too: the signed text names none.
    let replayed = ask(&app, again()).await;
    assert_eq!(replayed.status(), 401);
    assert!(text(replayed).await.contains("used before"));
    let old = signed_by(1, Method::POST, "/samples", &body, NOW - 301);
    assert_eq!(ask(&app, old).await.status(), 401);
    let mut changed = signed_by(1, Method::POST, "/samples", &body, NOW);
    *changed.body_mut() = Body::from("{\"samples\":[] }");
    assert_eq!(ask(&app, changed).await.status(), 401);
    let bare = Request::post("/samples").body(Body::from(body.clone())).unwrap();
    assert_eq!(ask(&app, bare).await.status(), 401);
}

/// When the recorded call that is made was signed, in milliseconds since 1970.
static SIGNED_AT: AtomicI64 = AtomicI64::new(0);

#[tokio::test]
async fn the_recorded_calls_of_the_python_client_are_let_in_unless_they_were_changed() {
    for case in recorded::cases() {
        let signed_at: i64 = case.timestamp.parse().unwrap();
        SIGNED_AT.store(signed_at * 1000, Ordering::Relaxed);
        let mut made = snapshot();
        let hotkey = case.hotkey.clone().into();
        made.validators.push(Validator { hotkey, listed: true, ..Validator::default() });
        let app = app_at(made, Audience::Operator, || SIGNED_AT.load(Ordering::Relaxed));
        let request = Request::post("/samples")
            .header("X-Validator-Hotkey", &case.hotkey)
            .header("X-Signature", &case.signature)
            .header("X-Timestamp", &case.timestamp)
            .body(Body::from(case.body))
            .unwrap();
        // None of the bodies holds samples: the call gets as far as that.
        let expected: u16 = if case.valid { 422 } else { 401 };
        assert_eq!(ask(&app, request).await.status(), expected, "{}", case.signature);
    }
}

#[tokio::test]
async fn a_body_over_two_mebibytes_is_413_with_a_detail() {
    let app = app();
    let body = " ".repeat(2 * 1024 * 1024 + 1);
    let response = ask(&app, signed_by(1, Method::POST, "/samples", &body, NOW)).await;
    assert_eq!(response.status(), 413);
    let value: Value = serde_json::from_str(&text(response).await).unwrap();
    check("/samples", &value, "detail:text");
}

#[tokio::test]
async fn a_stranger_is_refused_before_its_body_is_read() {
    let app = app();
    let unread = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let mut request = signed_by(7, Method::POST, "/samples", "", NOW);
    *request.body_mut() = Body::from_stream(unread);
    assert_eq!(ask(&app, request).await.status(), 403);
}

#[tokio::test]
async fn a_report_names_each_miner_once_and_briefly() {
    let app = app();
    let miner = |reason: &str| {
        json!({
            "uid": 3, "miner_hotkey": hotkey(40), "is_valid": false, "invalid_reason": reason,
        })
    };
    for (miners, detail) in [
        (vec![miner("a"), miner("a")], "miners[1] is named twice"),
        (vec![miner(&"r".repeat(513))], "miners[0].invalid_reason has more than 512 characters"),
    ] {
        let body = json!({ "miners": miners }).to_string();
        let refused = call(&app, 1, Method::POST, "/miners/report", &body).await;
        assert_eq!(refused, (422, json!({ "detail": detail })));
    }
}

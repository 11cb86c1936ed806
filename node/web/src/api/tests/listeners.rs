//! The two listeners: headers, names, limits and videos.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, header};
use tokio_util::sync::CancellationToken;

use super::{NOW, PEER, app, app_of, ask, hotkey, snapshot, text};
use crate::listener::Peer;
use crate::server::{Audience, router};
use crate::site::{Site, SiteSettings};
use crate::source::Start;
use crate::testing::MemorySource;

#[tokio::test]
async fn answers_have_etags_security_headers_and_cors() {
    let app = app();
    let response = ask(&app, Request::get("/scores").body(Body::empty()).unwrap()).await;
    let tag = response.headers()[header::ETAG].clone();
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe-inline"), "{policy}");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let known = Request::get("/scores").header(header::IF_NONE_MATCH, &tag).body(Body::empty());
    let unchanged = ask(&app, known.unwrap()).await;
    assert_eq!(unchanged.status(), 304);
    assert_eq!(text(unchanged).await, "");

    let head = Request::head("/scores").body(Body::empty()).unwrap();
    assert_eq!(ask(&app, head).await.headers()[header::ETAG], tag);

    let preflight = || {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/samples/batch")
            .extension(PEER)
            .header(header::ORIGIN, "https://dashboard.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "x-signature")
            .body(Body::empty())
            .unwrap()
    };
    let allowed = ask(&app_of(snapshot(), Audience::Public), preflight()).await;
    assert_eq!(allowed.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    // No other site reads what only the operator sees.
    let operators = ask(&app, preflight()).await;
    assert!(!operators.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn the_operators_listener_is_not_asked_under_a_strangers_name() {
    let of = |host: &str| {
        let request = Request::get("/ui/node").header(header::HOST, host).extension(PEER);
        request.body(Body::empty()).unwrap()
    };
    let app = app();
    for host in ["evil.example", "evil.example:9090"] {
        let refused = ask(&app, of(host)).await;
        assert_eq!(refused.status(), 421, "{host}");
        let detail = text(refused).await;
        assert!(detail.contains("LEOMA_HTTP_HOSTS") && !detail.contains("CHUTES"), "{detail}");
    }
    assert_eq!(ask(&app, of("127.0.0.1:9090")).await.status(), 200);
    let public = app_of(snapshot(), Audience::Public);
    assert_eq!(ask(&public, of("leoma.example")).await.status(), 200);
}

#[tokio::test]
async fn one_address_follows_the_head_a_bounded_number_of_times() {
    let app = app_of(snapshot(), Audience::Public);
    let follow = |address: [u8; 4]| {
        let peer = ConnectInfo(Peer((address, 40_000).into()));
        Request::get("/events").extension(peer).body(Body::empty()).unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..16 {
        let response = ask(&app, follow([192, 0, 2, 1])).await;
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    assert_eq!(ask(&app, follow([192, 0, 2, 1])).await.status(), 503);
    assert_eq!(ask(&app, follow([192, 0, 2, 2])).await.status(), 200);
    open.pop();
    assert_eq!(ask(&app, follow([192, 0, 2, 1])).await.status(), 200);
}

#[tokio::test]
async fn everybody_gets_pages_and_api_and_not_the_operators_paths_and_is_held_to_a_rate() {
    let app = app_of(snapshot(), Audience::Public);
    let request = |path: &str| Request::get(path).extension(PEER).body(Body::empty()).unwrap();
    for path in ["/metrics", "/status", "/readyz", "/livez"] {
        assert_eq!(ask(&app, request(path)).await.status(), 404, "{path}");
    }
    let node = text(ask(&app, request("/ui/node")).await).await;
    assert!(!node.contains("CHUTES_API_KEY"), "{node}");
    let mut refused = 0;
    for _ in 0..220 {
        let response = ask(&app, request("/tasks/latest")).await;
        if response.status() == 429 {
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn videos_come_in_ranges_and_only_those_that_a_file_speaks_of() {
    let snapshot = snapshot();
    let verdict = snapshot.files[0].verdict.clone();
    let app = app_of(snapshot, Audience::Operator);
    let path = format!("/media/{}/{}", verdict.producer, verdict.task_id);
    let video = format!("{path}/generated_videos/{}.mp4", verdict.entries[0].miner);
    let asked = |path: &str| Request::get(path).extension(PEER);
    let range = |text: &str| asked(&video).header(header::RANGE, text).body(Body::empty()).unwrap();
    let part = ask(&app, range("bytes=2-4")).await;
    assert_eq!(
        (part.status().as_u16(), part.headers()[header::CONTENT_TYPE].to_str().unwrap()),
        (206, "video/mp4")
    );
    assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 2-4/10");
    assert_eq!(text(part).await, "234");
    assert_eq!(ask(&app, range("bytes=10-")).await.status(), 416);
    let policy = header::CONTENT_SECURITY_POLICY;
    let whole = ask(&app, asked(&video).body(Body::empty()).unwrap()).await;
    assert!(whole.headers()[policy].to_str().unwrap().contains("sandbox"));
    let motion = format!("answers/{}.bvh", verdict.entries[0].miner);
    for name in [
        "metadata.json",
        "first_frame.png",
        "original_clip.mp4",
        "challenge.wav",
        "reference.bvh",
        &motion,
    ] {
        let request = asked(&format!("{path}/{name}")).body(Body::empty()).unwrap();
        assert_eq!(ask(&app, request).await.status(), 200, "{name}");
    }
    let foreign = format!("generated_videos/{}.mp4", hotkey(50));
    let strangers = format!("answers/{}.bvh", hotkey(50));
    let wrong = ["../x", "allowlist/v1.json", "evaluation_results/5x.json", &foreign, &strangers];
    for name in wrong {
        let request = asked(&format!("{path}/{name}")).body(Body::empty()).unwrap();
        assert_eq!(ask(&app, request).await.status(), 404, "{name}");
    }
}

#[tokio::test]
async fn a_visitor_that_is_sent_too_much_is_told_when_to_come_again() {
    let snapshot = snapshot();
    let verdict = snapshot.files[0].verdict.clone();
    let (start, progress) = Start::new("test");
    start.finish(MemorySource::new(snapshot));
    let settings = SiteSettings::default();
    let site = Site::at(progress, settings, CancellationToken::new(), || NOW * 1000);
    let app = router(site.clone(), Audience::Public);
    let path = format!("/media/{}/{}/first_frame.png", verdict.producer, verdict.task_id);
    let request = || Request::get(&path).extension(PEER).body(Body::empty()).unwrap();
    let ConnectInfo(Peer(peer)) = PEER;
    let sending = site.videos.room(peer.ip(), 64 << 20).await.unwrap();
    let refused = ask(&app, request()).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
    assert!(text(refused).await.contains("too many videos are being sent to you"));
    drop(sending);
    assert_eq!(ask(&app, request()).await.status(), 200);
}

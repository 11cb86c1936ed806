//! Miners' endpoints asked over real sockets.

use super::*;

#[test]
fn hostile_segments_stay_in_their_place() {
    let url = |segment| {
        path_url("https://api.example/base", ["chutes", segment]).map(|url| url.to_string())
    };
    assert_eq!(url("c-1").unwrap(), "https://api.example/base/chutes/c-1");
    assert_eq!(url("../../x?y#z").unwrap(), "https://api.example/base/chutes/..%2F..%2Fx%3Fy%23z");
    assert_eq!(url(".."), None);
    assert_eq!(url(""), None);
}

#[test]
fn a_task_gives_a_picture_a_prompt_or_both() {
    let body = |prompt: Option<&str>, first_frame: Option<&'static [u8]>| {
        let first_frame = first_frame.map(Bytes::from_static);
        let request =
            GenerateRequest { prompt: prompt.map(str::to_owned), first_frame, fps: 16, frames: 81 };
        let body = serde_json::to_value(GenerateBody::from(&request)).unwrap();
        (body.get("prompt").cloned(), body.get("image").cloned())
    };
    assert_eq!(body(Some("p"), Some(b"png")), (Some("p".into()), Some("cG5n".into())));
    assert_eq!(body(Some("p"), None), (Some("p".into()), None));
    assert_eq!(body(None, Some(b"png")), (None, Some("cG5n".into())));
}

/// A client whose miners answer at `base`, and the file that answers go to.
fn client(base: &str) -> (ChutesClient, tempfile::TempDir) {
    let settings = [
        ("CHUTES_GENERATE_URL".to_owned(), format!("{base}/{{slug}}")),
        ("CHUTES_REQUESTS_PER_MINUTE".to_owned(), "6000".to_owned()),
    ];
    let sources = crate::config::Sources {
        environment: settings.into_iter().collect(),
        ..Default::default()
    };
    let config = crate::config::Config::load(&sources).unwrap();
    let client = ChutesClient::new(Reach::new(true), &config.services).unwrap();
    (client, tempfile::tempdir().unwrap())
}

/// Asks a miner at `base` for at most 16 bytes; also returns what was written.
async fn asked(base: &str) -> (Replied, Option<Vec<u8>>) {
    let (client, folder) = client(base);
    let path = folder.path().join("video");
    let replied = client.generate("slug", &Bytes::from_static(b"{}"), 16, &path).await;
    (replied.unwrap(), std::fs::read(&path).ok())
}

/// Answers every request with `answer`.
async fn serve<R>(answer: impl Fn() -> R + Clone + Send + Sync + 'static) -> String
where
    R: axum::response::IntoResponse + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let handler = move |_asked: Bytes| std::future::ready(answer());
    let router = axum::Router::new().route("/slug", axum::routing::post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

const VIDEO: &[u8] = b"\0\0\0\x08ftypmp42";

#[tokio::test]
async fn a_video_is_written_as_it_came_and_anything_else_is_named() {
    let (replied, written) = asked(&serve(|| VIDEO).await).await;
    assert_eq!((replied.reply, written.as_deref()), (Reply::Video, Some(VIDEO)));
    let (replied, written) = asked(&serve(|| "<html>").await).await;
    assert_eq!((replied.reply, written.as_deref()), (Reply::NotVideo, Some(&b"<html>"[..])));
    let (replied, written) = asked(&serve(|| "").await).await;
    assert_eq!((replied.reply, written), (Reply::Empty, None));
    let (replied, written) = asked(&serve(|| "0123456789abcdefg").await).await;
    assert_eq!((replied.reply, written), (Reply::TooLarge, None));
    let limited = || (axum::http::StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]);
    let (replied, written) = asked(&serve(limited).await).await;
    assert_eq!((replied.reply, written), (Reply::Status(429), None));
    assert_eq!(replied.pause, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_miners_redirect_is_not_followed_and_our_key_stays_here() {
    let elsewhere = serve(|| VIDEO).await;
    let leads_on = move || axum::response::Redirect::temporary(&format!("{elsewhere}/slug"));
    let (replied, written) = asked(&serve(leads_on).await).await;
    assert_eq!((replied.reply, written), (Reply::Status(307), None));
}

#[tokio::test]
async fn a_miner_on_a_private_address_is_not_reached() {
    let (client, folder) = client("http://127.0.0.1:9");
    let client = ChutesClient { reach: Reach::new(false), ..client };
    let path = folder.path().join("video");
    let replied = client.generate("slug", &Bytes::new(), 16, &path).await.unwrap();
    assert_eq!(replied.reply, Reply::Unreachable);
    assert!(replied.detail.contains("not a public address"), "{replied:?}");
}

#[tokio::test]
async fn a_control_tells_a_refused_key_from_a_deployment_that_wants_another_request() {
    use axum::http::StatusCode;
    let answered = async |status: StatusCode| {
        let base = serve(move || status).await;
        client(&base).0.control("slug").await
    };
    assert_eq!(answered(StatusCode::UNPROCESSABLE_ENTITY).await, Reply::Status(422));
    assert_eq!(answered(StatusCode::UNAUTHORIZED).await, Reply::Status(401));
    assert_eq!(answered(StatusCode::BAD_GATEWAY).await, Reply::Status(502));
    assert_eq!(client("http://127.0.0.1:1").0.control("slug").await, Reply::Unreachable);
}

#[tokio::test]
async fn a_miner_that_cannot_be_connected_to_is_tried_once_more() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Nobody listens there at first.
    let late = async {
        tokio::time::sleep(CONNECT_PAUSE / 4).await;
        let listener = tokio::net::TcpListener::bind(free).await.unwrap();
        let answer = axum::routing::post(|_asked: Bytes| async { VIDEO });
        let server = axum::serve(listener, axum::Router::new().route("/slug", answer));
        tokio::spawn(async move { server.await });
    };
    let base = format!("http://{free}");
    let ((replied, _), ()) = tokio::join!(asked(&base), late);
    assert_eq!(replied.reply, Reply::Video);
}

#[tokio::test]
async fn a_miner_that_breaks_off_has_had_its_chance() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let again = async {
        drop(listener.accept().await.unwrap());
        tokio::time::timeout(CONNECT_PAUSE * 2, listener.accept()).await.is_ok()
    };
    let ((replied, _), again) = tokio::join!(asked(&base), again);
    assert_eq!(replied.reply, Reply::BrokenOff);
    assert!(!again);
}

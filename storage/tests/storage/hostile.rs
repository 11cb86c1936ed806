//! Stores that lie, never end, or lead elsewhere: what a peer may put behind the endpoint it
//! grants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leoma_storage::{Bucket, BucketConfig, Key, RetryPolicy, Secret, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far more than any bound, far less than what an endless answer would come to.
const ENOUGH: u64 = 40 * 1024 * 1024;
const HEADERS: &str = "ETag: \"e\"\r\nLast-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n";

/// A server that answers every request with the same bytes, and then with as many more as the
/// client takes.
struct Hostile {
    address: std::net::SocketAddr,
    requests: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Hostile {
    async fn start(answer: String, endless: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (Arc::clone(&requests), Arc::clone(&sent));
        // It ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counters.0.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer_once(
                    stream,
                    answer.clone(),
                    endless.clone(),
                    Arc::clone(&counters.1),
                ));
            }
        });
        Self { address, requests, sent }
    }

    fn bucket(&self) -> Bucket {
        let config = BucketConfig {
            endpoint: format!("http://{}", self.address),
            bucket: "leoma-peer".to_owned(),
            region: "auto".to_owned(),
            access_key: Secret::new("access"),
            secret_key: Secret::new("secret"),
        };
        let quick = RetryPolicy {
            attempts: 2,
            first_delay: Duration::ZERO,
            deadline: Duration::from_secs(20),
            ..RetryPolicy::default()
        };
        config.open().unwrap().with_policy(quick)
    }

    fn count(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    fn check_bounded(&self) {
        let sent = self.sent.load(Ordering::SeqCst);
        assert!(sent < ENOUGH, "{sent} bytes were taken");
    }
}

async fn answer_once(
    mut stream: TcpStream,
    answer: String,
    endless: Option<Vec<u8>>,
    sent: Arc<AtomicU64>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    if stream.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    let Some(chunk) = endless else { return };
    while sent.load(Ordering::SeqCst) < ENOUGH && stream.write_all(&chunk).await.is_ok() {
        sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
    }
}

fn key() -> Key {
    "7/metadata.json".parse().unwrap()
}

fn http_chunk(text: &str) -> Vec<u8> {
    let body = text.repeat(65_536 / text.len());
    format!("{:x}\r\n{body}\r\n", body.len()).into_bytes()
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_the_body() {
    let answer = format!("HTTP/1.1 200 OK\r\n{HEADERS}Content-Length: 999999999999999\r\n\r\n");
    let server = Hostile::start(answer, Some(vec![b'x'; 65_536])).await;
    let result = server.bucket().get(&key(), 1000).await;
    assert!(matches!(result, Err(StoreError::TooLarge { limit: 1000, .. })), "{result:?}");
    assert_eq!(server.count(), 1);
    server.check_bounded();
}

#[tokio::test]
async fn a_body_shorter_than_its_length_is_no_object() {
    let answer = format!("HTTP/1.1 200 OK\r\n{HEADERS}Content-Length: 100\r\n\r\nonly this");
    let server = Hostile::start(answer, None).await;
    let result = server.bucket().get(&key(), 1000).await;
    assert!(matches!(result, Err(StoreError::Unavailable { attempts: 2, .. })), "{result:?}");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded() {
    let answer = format!("HTTP/1.1 200 OK\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n");
    let server = Hostile::start(answer, Some(http_chunk("x"))).await;
    let result = server.bucket().get(&key(), 1000).await;
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    server.check_bounded();
}

#[tokio::test]
async fn an_endless_error_is_bounded() {
    for status in ["500 Internal Server Error", "404 Not Found"] {
        let answer = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let server = Hostile::start(answer, Some(http_chunk("<Code>"))).await;
        let result = server.bucket().get(&key(), 1000).await;
        match status {
            // A "not found" that is not S3's own says nothing about the object.
            "404 Not Found" => {
                assert!(matches!(result, Err(StoreError::Misconfigured { .. })), "{result:?}")
            }
            _ => assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}"),
        }
        server.check_bounded();
    }
}

#[tokio::test]
async fn an_endless_listing_is_bounded() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let server = Hostile::start(answer, Some(http_chunk("<ListBucketResult>"))).await;
    let result = server.bucket().list(None, None, 10).await;
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    server.check_bounded();
}

/// A page of which there is always another one, the same.
#[tokio::test]
async fn d11_a_listing_that_repeats_itself_ends_as_an_error() {
    let body = "<ListBucketResult><IsTruncated>true</IsTruncated>\
         <NextContinuationToken>again</NextContinuationToken><Contents><Key>a%2Bb.mp4</Key>\
         <Size>1</Size><LastModified>2026-10-21T07:28:00.000Z</LastModified><ETag>\"e\"</ETag>\
         </Contents></ListBucketResult>";
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let server = Hostile::start(answer, None).await;
    let error = server.bucket().list(None, None, 10).await.unwrap_err();
    assert!(error.to_string().contains("its listing repeats"), "{error}");
    assert_eq!(server.count(), 4, "two pages at each of two attempts");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Hostile::start(String::new(), None).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        target.address
    );
    let server = Hostile::start(answer, None).await;
    let result = server.bucket().get(&key(), 1000).await;
    assert!(matches!(result, Err(StoreError::Misconfigured { .. })), "{result:?}");
    assert_eq!((server.count(), target.count()), (1, 0));
}

#[tokio::test]
async fn an_error_text_is_one_clean_line() {
    let text = format!(
        "<Error><Code>Evil</Code><Message>a\n\u{1b}[31mfake log line {}</Message></Error>",
        "z".repeat(9_000)
    );
    let answer = format!("HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let server = Hostile::start(answer, None).await;
    let error = server.bucket().get(&key(), 1000).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains('\n') && !shown.contains('\u{1b}') && shown.len() < 3_000, "{shown}");
}

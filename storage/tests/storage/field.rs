//! Stores as they are met in the field: the wrong bucket, no conditional writes, another clock, odd
//! keys. Named after the cases.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::{Hotkey, TaskId};
use leoma_storage::{
    Bucket, BucketConfig, Created, EndpointPolicy, Key, OwnBucket, PeerBuckets, RetryPolicy,
    Secret, StaticPeers, StoreError, TaskArtefacts,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a store does with a demand that an object be new.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conditional {
    Honoured,
    Ignored,
    /// Refused with this status and code.
    Refused(u16, &'static str),
}

struct Books {
    conditional: Conditional,
    /// Errors for the next requests, status and code each, and whether they go on for ever.
    errors: Vec<(u16, &'static str)>,
    for_ever: bool,
    objects: BTreeMap<String, Vec<u8>>,
    /// Sent with every object.
    encoding: Option<&'static str>,
    requests: Vec<String>,
    signed_at: Vec<String>,
}

/// A small S3 server.
struct Store {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, target, headers, body })
}

impl Books {
    fn answer(&mut self, request: Request) -> Vec<u8> {
        self.requests.push(format!("{} {}", request.method, request.target));
        self.signed_at.extend(request.headers.get("x-amz-date").cloned());
        if let Some((status, code)) = self.errors.first().copied() {
            if !self.for_ever {
                self.errors.remove(0);
            }
            return error(status, code);
        }
        let is_new = request.headers.contains_key("if-none-match");
        match request.method.as_str() {
            "PUT" => match self.conditional {
                Conditional::Refused(status, code) if is_new => error(status, code),
                Conditional::Honoured if is_new && self.objects.contains_key(&request.target) => {
                    error(412, "PreconditionFailed")
                }
                _ => {
                    self.objects.insert(request.target, request.body);
                    answer("200 OK", "", b"")
                }
            },
            "GET" => match self.objects.get(&request.target) {
                Some(bytes) => {
                    let encoding = self
                        .encoding
                        .map(|encoding| format!("Content-Encoding: {encoding}\r\n"))
                        .unwrap_or_default();
                    answer("200 OK", &encoding, bytes)
                }
                None => error(404, "NoSuchKey"),
            },
            other => panic!("{other}"),
        }
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"e\"\r\nLast-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\
         Date: Wed, 21 Oct 2026 07:28:00 GMT\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn error(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>as it says</Message></Error>");
    answer(&format!("{status} Oops"), "", body.as_bytes())
}

impl Store {
    async fn start(conditional: Conditional) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books {
            conditional,
            errors: Vec::new(),
            for_ever: false,
            objects: BTreeMap::new(),
            encoding: None,
            requests: Vec::new(),
            signed_at: Vec::new(),
        }));
        let kept = Arc::clone(&books);
        // It ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let books = Arc::clone(&kept);
                tokio::spawn(async move {
                    while let Some(request) = read(&mut stream).await {
                        let answer = books.lock().unwrap().answer(request);
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, books }
    }

    async fn refusing(status: u16, code: &'static str) -> Self {
        let store = Self::start(Conditional::Honoured).await;
        {
            let mut books = store.books.lock().unwrap();
            (books.errors, books.for_ever) = (vec![(status, code)], true);
        }
        store
    }

    fn bucket(&self) -> Bucket {
        let config = BucketConfig {
            endpoint: format!("http://{}/leoma-own", self.address),
            bucket: "leoma-own".to_owned(),
            region: "auto".to_owned(),
            access_key: Secret::new("READKEY8"),
            secret_key: Secret::new("READSECRET8"),
        };
        let quick =
            RetryPolicy { attempts: 2, first_delay: Duration::ZERO, ..RetryPolicy::default() };
        config.open().unwrap().with_policy(quick)
    }

    fn own(&self) -> OwnBucket {
        OwnBucket::new(self.bucket(), Hotkey::from_bytes([7; 32]))
    }

    fn requests(&self) -> Vec<String> {
        self.books.lock().unwrap().requests.clone()
    }
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn artefacts() -> TaskArtefacts {
    TaskArtefacts {
        metadata: Bytes::from_static(b"m"),
        original_clip: Bytes::from_static(b"c"),
        first_frame: Bytes::from_static(b"f"),
    }
}

#[tokio::test]
async fn d1_the_buckets_name_in_the_endpoints_path_is_not_written_twice() {
    let store = Store::start(Conditional::Honoured).await;
    let created = store.bucket().create(&key("7/metadata.json"), Bytes::from_static(b"m")).await;
    assert_eq!(created.unwrap(), Created::New);
    assert_eq!(store.requests(), ["PUT /leoma-own/7/metadata.json"]);
}

#[tokio::test]
async fn d2_a_bucket_that_is_not_found_is_no_absent_key() {
    for (status, code, part) in
        [(404, "NoSuchBucket", "no such bucket"), (403, "AccessDenied", "no access to this bucket")]
    {
        let store = Store::refusing(status, code).await;
        let mut errors = vec![
            store.bucket().get(&key("7/metadata.json"), 10).await.unwrap_err(),
            store.own().prove_create_once().await.unwrap_err(),
        ];
        // A peer's bucket is as unreachable.
        let hotkey = Hotkey::from_bytes([7; 32]);
        let list = format!(
            r#"[{{"hotkey":"{hotkey}","bucket":"leoma-own","endpoint":"http://{}","read_access_key":"READKEY9","read_secret_key":"READSECRET9"}}]"#,
            store.address
        );
        let peers = StaticPeers::parse(&list).unwrap().peers;
        let peers = PeerBuckets::new(peers, EndpointPolicy::Public).unwrap();
        errors.push(peers.get(&hotkey).unwrap().verdict(TaskId(7)).await.unwrap_err());
        for error in errors {
            assert!(!error.is_transient(), "{error}");
            let shown = in_one_line(&error);
            assert!(shown.contains(part) && shown.contains("jurisdiction"), "{shown}");
            assert_eq!(shown.matches(code).count(), 1, "said once: {shown}");
        }
    }
}

/// An error with its causes in one line, as commands print it.
fn in_one_line(error: &StoreError) -> String {
    let mut shown = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        shown += &format!(": {cause}");
        source = cause.source();
    }
    shown
}

#[tokio::test]
async fn d3_a_store_that_ignores_if_none_match_is_found_at_the_start_and_later() {
    let store = Store::start(Conditional::Ignored).await;
    for _ in 0..2 {
        let error = store.own().prove_create_once().await.unwrap_err();
        assert!(error.to_string().contains("in spite of If-None-Match"), "{error}");
    }
    // One that begins to ignore it later is found before the next task is written.
    let store = Store::start(Conditional::Honoured).await;
    let own = store.own();
    own.prove_create_once().await.unwrap();
    own.prove_create_once().await.unwrap();
    assert_eq!(own.write_task(TaskId(7), artefacts()).await.unwrap(), Created::New);
    store.books.lock().unwrap().conditional = Conditional::Ignored;
    let error = own.write_task(TaskId(8), artefacts()).await.unwrap_err();
    assert!(matches!(error, StoreError::Misconfigured { .. }), "{error}");
    assert!(!store.requests().iter().any(|request| request.contains("/8/")), "nothing of the task");
    // And it works again once the store does.
    store.books.lock().unwrap().conditional = Conditional::Honoured;
    own.prove_create_once().await.unwrap();
    assert_eq!(own.write_task(TaskId(8), artefacts()).await.unwrap(), Created::New);
}

#[tokio::test]
async fn d4_a_store_without_conditional_writes_is_named() {
    for (status, code) in [(501, "NotImplemented"), (400, "InvalidArgument")] {
        let store = Store::start(Conditional::Refused(status, code)).await;
        let error = store.own().prove_create_once().await.unwrap_err();
        assert!(error.to_string().contains("no conditional writes"), "{error}");
    }
}

#[tokio::test]
async fn d6_another_clock_is_named_and_a_late_request_signed_anew_once() {
    let store = Store::start(Conditional::Honoured).await;
    let bucket = store.bucket();
    for _ in 0..2 {
        store.books.lock().unwrap().errors = vec![(403, "RequestTimeTooSkewed")];
        let key = key(&format!("{}/metadata.json", store.requests().len()));
        assert_eq!(bucket.create(&key, Bytes::from_static(b"m")).await.unwrap(), Created::New);
        store.books.lock().unwrap().errors = vec![(403, "RequestTimeTooSkewed")];
        assert_eq!(bucket.get(&key, 10).await.unwrap().unwrap(), b"m"[..]);
    }
    assert!(store.books.lock().unwrap().signed_at.len() == 8);
    let store = Store::refusing(403, "RequestTimeTooSkewed").await;
    let errors = [
        store.bucket().get(&key("a"), 10).await.unwrap_err(),
        store.bucket().create(&key("a"), Bytes::new()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Clock { .. }), "{error}");
        let shown = error.to_string();
        assert!(shown.contains("this machine's clock") && shown.contains("21 Oct 2026"), "{shown}");
    }
    assert_eq!(store.requests().len(), 4, "each once more");
}

#[tokio::test]
async fn d7_odd_keys_are_sent_as_they_are() {
    let store = Store::start(Conditional::Honoured).await;
    let bucket = store.bucket();
    for text in [
        "plain",
        "with%20space",
        "with space",
        "plus+plus",
        "amp&amp",
        "hash#hash",
        "what?",
        "HDR10+ a b%20c #1 (ü).mp4",
        "tilde~'quote",
    ] {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        assert_eq!(bucket.create(&key(text), bytes.clone()).await.unwrap(), Created::New, "{text}");
        assert_eq!(bucket.get(&key(text), 100).await.unwrap(), Some(bytes), "{text}");
    }
    let targets = store.books.lock().unwrap().objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(targets.len(), 9, "each its own object: {targets:?}");
    assert!("a//b".parse::<Key>().unwrap_err().to_string().contains("empty"));
}

#[tokio::test]
async fn an_encoding_that_a_store_names_is_not_undone() {
    let store = Store::start(Conditional::Honoured).await;
    let bucket = store.bucket();
    // Not gzip at all: undoing it would fail or give other bytes than those that were written.
    let _new = bucket.create(&key("a"), Bytes::from_static(b"as it is")).await.unwrap();
    store.books.lock().unwrap().encoding = Some("gzip");
    assert_eq!(bucket.get(&key("a"), 100).await.unwrap().unwrap(), b"as it is"[..]);
}

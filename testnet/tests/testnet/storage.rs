//! The S3 server of the local subnet, through production's storage client, and the client's
//! behaviour under its faults.

mod faults;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::{Hotkey, TaskId};
use leoma_storage::conformance::{self, quick_policy};
use leoma_storage::{
    Bucket, BucketConfig, Created, EndpointPolicy, Grant, Granted, Key, OwnBucket, PeerBuckets,
    RetryPolicy, Secret, StoreError,
};
use leoma_testnet::storage::{self, BucketKeys, Config, Fault, FaultKind, Handle};

const ONE: &str = "leoma-one";
const TWO: &str = "leoma-two";

/// A server with two buckets in a folder of its own.
struct Server {
    handle: Handle,
    one: BucketKeys,
    two: BucketKeys,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (BucketKeys::generate(ONE), BucketKeys::generate(TWO));
        let handle = start(folder.path(), &[&one, &two]).await;
        Self { handle, one, two, _folder: folder }
    }

    fn writer(&self) -> Bucket {
        open(&self.one.writer(self.handle.endpoint()))
    }

    fn reader(&self) -> Bucket {
        open(&self.one.reader(self.handle.endpoint()))
    }

    fn inject(&self, fault: Fault) {
        self.handle.faults().inject(fault).unwrap();
    }
}

async fn start(folder: &Path, keys: &[&BucketKeys]) -> Handle {
    storage::spawn(Config::new(
        folder.to_owned(),
        keys.iter().map(|keys| (*keys).clone()).collect(),
    ))
    .await
    .unwrap()
}

fn open(config: &BucketConfig) -> Bucket {
    config.open().unwrap().with_policy(quick_policy())
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn denied<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::PermissionDenied { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3_behaves_as_memory_and_folders_do() {
    let server = Server::start().await;
    conformance::check(&server.writer()).await;
    server.handle.stop().await;
}

/// A page of S3's has a thousand keys, and those with signs come escaped.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d11_thousands_of_odd_keys_are_listed_each_once() {
    use futures::StreamExt as _;
    let server = Server::start().await;
    let writer = server.writer();
    let name = |n: usize| key(&format!("odd/{n:04} +%20 50%.mp4"));
    let writes = (0..2_500).map(|n| {
        let writer = &writer;
        async move { writer.create(&name(n), bytes("x")).await.unwrap() }
    });
    let written = futures::stream::iter(writes).buffer_unordered(32).collect::<Vec<_>>().await;
    assert!(written.iter().all(|created| *created == Created::New));
    let expected: Vec<Key> = (0..2_500).map(name).collect();
    let keys = |listing: leoma_storage::Listing| -> Vec<Key> {
        listing.objects.into_iter().map(|object| object.key).collect()
    };
    let folder = key("odd");
    let all = server.reader().list(Some(&folder), None, 5_000).await.unwrap();
    assert!(!all.truncated && all.unusable == 0);
    assert_eq!(keys(all), expected);
    let rest = server.reader().list(Some(&folder), Some(&name(1_199)), 5_000).await.unwrap();
    assert_eq!(keys(rest), expected[1_200..]);
}

#[tokio::test]
async fn a_read_key_reads_and_cannot_write() {
    let server = Server::start().await;
    let (writer, reader) = (server.writer(), server.reader());
    assert_eq!(writer.create(&key("a"), bytes("a")).await.unwrap(), Created::New);
    assert_eq!(reader.get(&key("a"), 10).await.unwrap().unwrap(), bytes("a"));
    assert_eq!(reader.get(&key("absent"), 10).await.unwrap(), None);
    assert_eq!(reader.list(None, None, 10).await.unwrap().objects.len(), 1);
    denied(reader.create(&key("b"), bytes("b")).await);
    denied(reader.create(&key("a"), bytes("a")).await);
    denied(reader.replace(&key("a"), bytes("b")).await);
    assert_eq!(writer.get(&key("a"), 10).await.unwrap().unwrap(), bytes("a"));
    assert_eq!(writer.get(&key("b"), 10).await.unwrap(), None);
}

#[tokio::test]
async fn strangers_and_other_buckets_keys_reach_nothing() {
    let server = Server::start().await;
    let endpoint = server.handle.endpoint();
    let _ = server.writer().create(&key("a"), bytes("a")).await.unwrap();
    let own = server.one.writer(endpoint);
    let others = server.two.writer(endpoint);
    let strangers = [
        // Another bucket's keys.
        BucketConfig { bucket: ONE.to_owned(), ..others.clone() },
        // Keys that nobody has.
        BucketConfig { access_key: Secret::new("stranger"), ..own.clone() },
        // A wrong secret.
        BucketConfig { secret_key: Secret::new("guessed"), ..own.clone() },
        // A bucket that does not exist: refused as well, and not taken for an empty one.
        BucketConfig { bucket: "leoma-none".to_owned(), ..own },
    ];
    for config in strangers {
        let bucket = open(&config);
        denied(bucket.get(&key("a"), 10).await);
        denied(bucket.get(&key("absent"), 10).await);
        denied(bucket.create(&key("b"), bytes("b")).await);
        denied(bucket.list(None, None, 10).await);
    }
    let unsigned = reqwest::Client::new();
    for path in ["", ONE, "leoma-one/a", "leoma-one/absent", "leoma-one?list-type=2"] {
        let status = unsigned.get(format!("{endpoint}/{path}")).send().await.unwrap().status();
        assert_eq!(status.as_u16(), 403, "{path}");
    }
    let put = unsigned.put(format!("{endpoint}/leoma-one/b")).body("b").send().await.unwrap();
    assert_eq!(put.status().as_u16(), 403);
}

#[tokio::test]
async fn a_presigned_url_reads_one_object_until_it_expires() {
    let server = Server::start().await;
    let bucket = server.writer();
    let _ = bucket.create(&key("a"), bytes("a")).await.unwrap();
    let _ = bucket.create(&key("b"), bytes("b")).await.unwrap();
    let client = reqwest::Client::new();
    let url = bucket.presign_get(&key("a"), Duration::from_secs(60)).await.unwrap();
    let answer = client.get(url.expose().clone()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap()), (200, bytes("a")));
    assert_eq!(
        client.put(url.expose().clone()).body("x").send().await.unwrap().status().as_u16(),
        403
    );
    let other = url.expose().as_str().replacen("/a?", "/b?", 1);
    assert_eq!(client.get(other).send().await.unwrap().status().as_u16(), 403);

    let short = bucket.presign_get(&key("a"), Duration::from_secs(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(client.get(short.expose().clone()).send().await.unwrap().status().as_u16(), 403);
    let too_long = bucket.presign_get(&key("a"), Duration::from_secs(8 * 24 * 3600)).await;
    assert!(matches!(too_long, Err(StoreError::Misconfigured { .. })), "{too_long:?}");
}

/// A grant of the first bucket by presigned URLs for `keys`.
async fn url_grant(server: &Server, keys: &[&str]) -> Grant {
    let mut urls = std::collections::BTreeMap::new();
    for name in keys {
        let url = server.writer().presign_get(&key(name), Duration::from_secs(60)).await.unwrap();
        urls.insert(*name, url.expose().to_string());
    }
    let endpoint = server.handle.endpoint();
    let grant = serde_json::json!({"endpoint": endpoint, "bucket": ONE, "urls": urls});
    Grant::decode(grant.to_string().as_bytes(), EndpointPolicy::for_peers(true)).unwrap()
}

#[tokio::test]
async fn a_grant_opens_a_peers_bucket_by_keys_or_urls() {
    let server = Server::start().await;
    let endpoint = server.handle.endpoint();
    let hotkey = Hotkey::from_bytes([9; 32]);
    let own = OwnBucket::new(server.writer(), hotkey);
    let _ = own.write_verdict(TaskId(7), bytes("verdict")).await.unwrap();

    let by_keys = Grant::with_keys(&server.one.reader(endpoint)).unwrap();
    let policy = EndpointPolicy::for_peers(true);
    let verdicts = [7, 8].map(|task| format!("{task}/evaluation_results/{hotkey}.json"));
    let by_urls = url_grant(&server, &verdicts.each_ref().map(String::as_str)).await;
    for grant in [by_keys, by_urls.clone()] {
        let peers = PeerBuckets::new(vec![], policy).unwrap();
        assert_eq!(peers.grant(hotkey, &grant.encode()).unwrap(), Granted::Stored);
        let peer = peers.get(&hotkey).unwrap();
        assert_eq!(peer.verdict(TaskId(7)).await.unwrap().unwrap(), bytes("verdict"));
        assert_eq!(peer.verdict(TaskId(8)).await.unwrap(), None);
    }
    // An object without a URL is refused, which is not the same as absent.
    let bucket = by_urls.open(policy).unwrap();
    denied(bucket.get(&key("9/metadata.json"), 10).await);
    assert!(bucket.create(&key("x"), bytes("x")).await.is_err());
}

#[tokio::test]
async fn no_secret_is_in_an_error() {
    let server = Server::start().await;
    let endpoint = server.handle.endpoint();
    let keys = &server.one.write;
    let wrong = open(&BucketConfig {
        secret_key: Secret::new("plantedsecret"),
        ..server.one.writer(endpoint)
    });
    let by_url = url_grant(&server, &["a"])
        .await
        .open(EndpointPolicy::Loopback)
        .unwrap()
        .with_policy(quick_policy());
    let mut errors = vec![
        wrong.get(&key("a"), 10).await.unwrap_err(),
        wrong.list(None, None, 5).await.unwrap_err(),
    ];
    for kind in [FaultKind::InternalError, FaultKind::Truncated, FaultKind::DiskFull] {
        server.inject(Fault::always(kind));
        errors.push(server.writer().list(Some(&key("prefix")), None, 5).await.unwrap_err());
        if kind != FaultKind::Truncated {
            errors.push(by_url.get(&key("a"), 10).await.unwrap_err());
        }
        server.handle.faults().clear();
    }
    for error in errors {
        let mut shown = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            shown += &format!(" {cause} {cause:?}");
            source = cause.source();
        }
        for secret in
            [&keys.access, &keys.secret, "plantedsecret", "X-Amz-Signature", "X-Amz-Credential"]
        {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("leoma-one"), "{shown}");
    }
}

#[tokio::test]
async fn buckets_survive_a_restart_and_a_folder_has_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let keys = BucketKeys::generate(ONE);
    let first = start(folder.path(), &[&keys]).await;
    let _ = open(&keys.writer(first.endpoint())).create(&key("a/b"), bytes("kept")).await.unwrap();
    let second = storage::spawn(Config::new(folder.path().to_owned(), vec![keys.clone()])).await;
    assert!(second.unwrap_err().to_string().contains("used by another server"));
    first.stop().await;
    let again = start(folder.path(), &[&keys]).await;
    let bucket = open(&keys.writer(again.endpoint()));
    assert_eq!(bucket.create(&key("a/b"), bytes("kept")).await.unwrap(), Created::AlreadyThere);
    assert!(matches!(
        bucket.create(&key("a/b"), bytes("other")).await,
        Err(StoreError::Conflict { .. })
    ));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let config =
        Config { port, ..Config::new(folder.path().to_owned(), vec![BucketKeys::generate(ONE)]) };
    let error = storage::spawn(config).await.unwrap_err().to_string();
    assert!(error.contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn faults_are_set_over_http_too() {
    let folder = tempfile::tempdir().unwrap();
    let keys = BucketKeys::generate(ONE);
    let config =
        Config { admin: true, ..Config::new(folder.path().to_owned(), vec![keys.clone()]) };
    let server = storage::spawn(config).await.unwrap();
    let admin = format!("{}/faults", server.admin().unwrap());
    let client = reqwest::Client::new();
    let post = |text: &'static str| {
        client.post(&admin).header("content-type", "application/json").body(text).send()
    };
    let set = post(r#"{"kind":"disk_full","bucket":"leoma-one","method":"PUT","count":1}"#)
        .await
        .unwrap();
    assert_eq!(set.status().as_u16(), 204);
    assert!(post(r#"{"kind":"gremlins"}"#).await.unwrap().status().is_client_error());
    assert!(post(r#"{"kind":"slow","percent":200}"#).await.unwrap().status().is_client_error());
    let listed: Vec<Fault> = client.get(&admin).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed, server.faults().list());
    let bucket = open(&keys.writer(server.endpoint()));
    assert!(matches!(bucket.create(&key("a"), bytes("a")).await, Err(StoreError::Full { .. })));
    assert_eq!(bucket.create(&key("a"), bytes("a")).await.unwrap(), Created::New);
    post(r#"{"kind":"slow"}"#).await.unwrap();
    assert_eq!(client.delete(&admin).send().await.unwrap().status().as_u16(), 204);
    assert!(server.faults().list().is_empty());
}

/// `leoma-testnet storage` in its own process; killed when dropped.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    async fn start(dir: &Path, keys: &Path) -> (Self, serde_json::Value) {
        let _ = std::fs::remove_file(dir.join("endpoint.json"));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
        let process = Self(
            command.arg("storage").arg("--dir").arg(dir).arg("--keys").arg(keys).spawn().unwrap(),
        );
        for _ in 0..600 {
            if let Ok(text) = std::fs::read(dir.join("endpoint.json")) {
                return (process, serde_json::from_slice(&text).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no endpoint.json after 30 s");
    }

    fn stop(mut self, signal: nix::sys::signal::Signal) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        self.0.wait().unwrap()
    }
}

#[tokio::test]
async fn the_command_serves_stops_on_signals_and_keeps_its_buckets() {
    use nix::sys::signal::Signal;
    let folder = tempfile::tempdir().unwrap();
    let (dir, file) = (folder.path().join("s3"), folder.path().join("keys.json"));
    let keys = BucketKeys::generate(ONE);
    storage::write_keys(&file, std::slice::from_ref(&keys)).unwrap();
    let (process, addresses) = Process::start(&dir, &file).await;
    let bucket = open(&keys.writer(addresses["endpoint"].as_str().unwrap()));
    assert_eq!(bucket.create(&key("a"), bytes("a")).await.unwrap(), Created::New);
    let admin = format!("{}/faults", addresses["admin"].as_str().unwrap());
    assert_eq!(reqwest::get(&admin).await.unwrap().text().await.unwrap(), "[]");
    assert!(process.stop(Signal::SIGTERM).success());
    let (process, addresses) = Process::start(&dir, &file).await;
    let bucket = open(&keys.reader(addresses["endpoint"].as_str().unwrap()));
    assert_eq!(bucket.get(&key("a"), 10).await.unwrap().unwrap(), bytes("a"));
    assert!(process.stop(Signal::SIGINT).success());
}

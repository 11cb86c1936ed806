//! `leoma api` with a full store: the memory that it takes, and how long its answers take.
//!
//! 256 miners have committed. 16 validators have verdict files, metadata and videos in their
//! buckets, for every task that is looked at, and have posted their samples of a whole window and a
//! report about the miners. To measure the optimised program:
//!
//! ```sh
//! cargo build --release -p leoma -p leoma-testnet --bins
//! LEOMA_BIN_DIR="$PWD/target/release" cargo test -p leoma-testnet --test testnet full_store -- \
//!     --ignored --nocapture
//! ```

#[path = "../../../node/web/examples/load/ask.rs"]
mod ask;
mod contents;
mod store;

use std::time::Duration;

use leoma_protocol::{BlockNumber, ConsensusParams, FileId};
use leoma_testnet::launch::Programs;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::ask::{Names, ask, at, memory_kib, paths};
use self::store::{HEAD, Store, WINDOW, WITH_VIDEOS, uid_of};

/// The tasks that are still looked at some minutes after the store was full.
const SHOWN: usize = 140;
/// Everything is read and shown within this on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);
/// How long pages and paths are asked for.
const SECONDS: u64 = 20;
/// The targets of the page on benchmarks, for an optimised program.
const MOST_BYTES: u64 = 150_000_000;
/// What a program that is not optimised may take beside its code. It has taken 221 000 000, so this
/// only shows what grows.
const MOST_BYTES_UNOPTIMISED: u64 = 260_000_000;
const MEDIAN: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_millis(100);

/// Asks once for each of these paths, and waits for those that are not there yet.
async fn until_all(server: &str, mut paths: Vec<String>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = Instant::now() + LIMIT;
    while let Some(path) = paths.pop() {
        let answer = client.get(format!("{server}{path}")).send().await;
        if answer.as_ref().is_ok_and(|answer| answer.status() == 200) {
            let _whole = answer.unwrap().bytes().await.unwrap();
            continue;
        }
        assert!(Instant::now() < deadline, "{path}: {answer:?}");
        paths.push(path);
        sleep(Duration::from_millis(200)).await;
    }
}

async fn window_of(server: &str) -> usize {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{server}/tasks/window")).send().await.unwrap();
    let window: Value = answer.json().await.unwrap();
    window["task_ids"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn leoma_api_shows_a_full_store_in_bounded_memory() {
    let store = Store::make().await;
    let program = Programs::find().unwrap().leoma;
    let (mut api, server) = store.start_api(&program);
    let pid = api.id().unwrap();
    let shown = &store.files[..SHOWN];
    until_all(&server, shown.iter().map(|id| format!("/tasks/{}", id.task_id)).collect()).await;
    assert_eq!(window_of(&server).await, WINDOW);
    let before = memory_kib(pid, "VmRSS:").unwrap();

    // One that has settled, and has videos.
    let task = store.files[WITH_VIDEOS / 2];
    let epoch = ConsensusParams::default().epoch_block(BlockNumber(HEAD.into()));
    let all = paths(&Names {
        miner: &store.miners[0].to_string(),
        producer: &task.producer.to_string(),
        uid: uid_of(0),
        task: task.task_id.0,
        verdict: task.task_id.0,
        epoch: epoch.0,
        allowlist: &store.allowlist.digest().to_string(),
    });
    let times = ask(&server, &all.unwrap(), SECONDS).await.unwrap();

    // Visitors look at every task's page, and at more videos than are kept.
    let pages = shown.iter().map(|id| format!("/ui/tasks/{}", id.task_id));
    until_all(&server, pages.collect()).await;
    let media = |id: &FileId| format!("/media/{}/{}", id.producer, id.task_id);
    let videos = store.files[..WITH_VIDEOS].iter().flat_map(|id| {
        ["first_frame.png", "original_clip.mp4"].map(|name| format!("{}/{name}", media(id)))
    });
    until_all(&server, videos.collect()).await;

    let [after, anonymous, most] =
        ["VmRSS:", "RssAnon:", "VmHWM:"].map(|field| memory_kib(pid, field).unwrap());
    println!(
        "resident: {before} KiB before, {after} KiB after ({anonymous} KiB without mapped files), \
         {most} KiB at most"
    );
    // The code of a program that is not optimised takes tens of megabytes more, and longer.
    let is_optimised = program.parent().is_some_and(|folder| folder.ends_with("release"));
    let (counted, most) =
        if is_optimised { (after, MOST_BYTES) } else { (anonymous, MOST_BYTES_UNOPTIMISED) };
    assert!(counted * 1024 <= most, "{counted} KiB are more than {most} bytes");
    if is_optimised {
        let (p50, p99) = (at(&times, 0.5), at(&times, 0.99));
        assert!(p50 <= MEDIAN && p99 <= SLOWEST, "p50 {p50:?}, p99 {p99:?}");
    }
    api.start_kill().unwrap();
    let _ended = api.wait().await;
    store.chain.stop().await.unwrap();
    store.storage.stop().await;
}

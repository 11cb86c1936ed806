//! What every backend must do, as one suite: run against memory, a folder, and an S3 server.
//!
//! [`check`] needs an empty bucket that nobody else uses. It panics at the first failure.
#![allow(
    clippy::unwrap_used,
    reason = "test code, behind a feature because the S3 server's crate runs it too"
)]

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::verdict::MAX_FILE_BYTES;
use leoma_protocol::{Digest, Hotkey, TaskId};

use crate::{
    Bucket, Created, ETag, Key, OwnBucket, Polled, RetryPolicy, SourceBucket, StoreError,
    TaskArtefacts, TaskObject,
};

/// Writers that race for one key.
const RACERS: u8 = 12;
/// Larger than any single buffer on the way.
const LARGE: usize = 3 * 1024 * 1024 + 17;

/// The retry policy for tests against a store on this machine.
#[must_use]
pub fn quick_policy() -> RetryPolicy {
    RetryPolicy {
        attempts: 4,
        attempt_timeout: Duration::from_secs(10),
        deadline: Duration::from_secs(60),
        first_delay: Duration::from_millis(20),
        max_delay: Duration::from_millis(100),
    }
}

/// Runs the whole suite.
pub async fn check(bucket: &Bucket) {
    let bucket = bucket.clone().with_policy(quick_policy());
    absence_is_an_answer(&bucket).await;
    objects_are_written_once(&bucket).await;
    polls_tell_changes(&bucket).await;
    reads_are_bounded(&bucket).await;
    sizes_from_nothing_to_megabytes(&bucket).await;
    odd_keys_are_kept_apart(&bucket).await;
    racing_writers_of_different_bytes_have_one_winner(&bucket).await;
    racing_writers_of_the_same_bytes_all_succeed(&bucket).await;
    listings_are_sorted_and_bounded(&bucket).await;
    a_task_is_written_and_read(&bucket).await;
    the_corpus_and_the_allowlist_are_found(&bucket).await;
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

async fn absence_is_an_answer(bucket: &Bucket) {
    assert_eq!(bucket.get(&key("absent/object"), 10).await.unwrap(), None);
    let known = ETag("\"0123\"".to_owned());
    assert_eq!(
        bucket.get_if_changed(&key("absent/object"), 10, Some(&known)).await.unwrap(),
        Polled::Absent
    );
    assert!(bucket.list(Some(&key("absent")), None, 10).await.unwrap().objects.is_empty());
}

async fn objects_are_written_once(bucket: &Bucket) {
    let key = key("once/object");
    assert_eq!(bucket.create(&key, Bytes::from_static(b"first")).await.unwrap(), Created::New);
    assert_eq!(
        bucket.create(&key, Bytes::from_static(b"first")).await.unwrap(),
        Created::AlreadyThere
    );
    for (other, theirs) in [
        ("other bytes", Some(Digest::of(b"first"))),
        ("sixth!", Some(Digest::of(b"first"))),
        ("1st", None),
    ] {
        match bucket.create(&key, Bytes::from(other)).await {
            Err(StoreError::Conflict { ours, theirs: found, .. }) => {
                assert_eq!((ours, found), (Digest::of(other.as_bytes()), theirs));
            }
            result => panic!("{result:?}"),
        }
    }
    assert_eq!(bucket.get(&key, 100).await.unwrap().unwrap(), &b"first"[..]);
}

async fn polls_tell_changes(bucket: &Bucket) {
    let key = key("polled");
    bucket.replace(&key, Bytes::from_static(b"one")).await.unwrap();
    let Polled::Changed(first) = bucket.get_if_changed(&key, 100, None).await.unwrap() else {
        panic!("no object")
    };
    assert_eq!(first.bytes, &b"one"[..]);
    assert_eq!(
        bucket.get_if_changed(&key, 100, first.etag.as_ref()).await.unwrap(),
        Polled::Unchanged
    );
    bucket.replace(&key, Bytes::from_static(b"two!")).await.unwrap();
    let Polled::Changed(second) =
        bucket.get_if_changed(&key, 100, first.etag.as_ref()).await.unwrap()
    else {
        panic!("the change was not reported")
    };
    assert_eq!(second.bytes, &b"two!"[..]);
    assert_ne!(second.etag, first.etag);
}

async fn reads_are_bounded(bucket: &Bucket) {
    let key = key("bounded");
    bucket.create(&key, Bytes::from(vec![7; 1000])).await.map(|_| ()).unwrap();
    assert_eq!(bucket.get(&key, 1000).await.unwrap().unwrap().len(), 1000);
    match bucket.get(&key, 999).await {
        Err(StoreError::TooLarge { limit: 999, object }) => {
            assert!(object.to_string().ends_with("/bounded"), "{object}")
        }
        result => panic!("{result:?}"),
    }
}

async fn sizes_from_nothing_to_megabytes(bucket: &Bucket) {
    for size in [0, 1, LARGE] {
        let key = key(&format!("sizes/{size}"));
        let bytes: Bytes = (0..size).map(|n| (n % 251) as u8).collect();
        assert_eq!(bucket.create(&key, bytes.clone()).await.unwrap(), Created::New);
        assert_eq!(bucket.create(&key, bytes.clone()).await.unwrap(), Created::AlreadyThere);
        assert_eq!(bucket.get(&key, LARGE as u64).await.unwrap().unwrap(), bytes);
    }
}

async fn odd_keys_are_kept_apart(bucket: &Bucket) {
    let keys = [
        "odd/a b",
        "odd/a+b",
        "odd/a%20b",
        "odd/ä",
        "odd/a?b=c",
        "odd/a&b",
        "odd/#a",
        "odd/..a",
        "odd/日本.mp4",
    ];
    for text in keys {
        assert_eq!(
            bucket.create(&key(text), Bytes::from(text)).await.unwrap(),
            Created::New,
            "{text}"
        );
    }
    for text in keys {
        assert_eq!(bucket.get(&key(text), 100).await.unwrap().unwrap(), text.as_bytes(), "{text}");
    }
    let listing = bucket.list(Some(&key("odd")), None, 100).await.unwrap();
    let listed: HashSet<_> = listing.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(listed, HashSet::from(keys));
}

async fn race(
    bucket: &Bucket,
    key: &Key,
    bytes: impl Fn(u8) -> Bytes,
) -> Vec<Result<Created, StoreError>> {
    let racers: Vec<_> = (0..RACERS)
        .map(|n| {
            let (bucket, key, bytes) = (bucket.clone(), key.clone(), bytes(n));
            tokio::spawn(async move { bucket.create(&key, bytes).await })
        })
        .collect();
    let mut results = Vec::new();
    for racer in racers {
        results.push(racer.await.unwrap());
    }
    results
}

async fn racing_writers_of_different_bytes_have_one_winner(bucket: &Bucket) {
    for round in 0..4 {
        let key = key(&format!("race/different/{round}"));
        let results = race(bucket, &key, |n| Bytes::from(vec![n; 20_000])).await;
        let winners: Vec<_> =
            (0..).zip(&results).filter(|(_, result)| result.is_ok()).map(|(n, _)| n).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        assert!(
            results.iter().all(|result| matches!(
                result,
                Ok(Created::New) | Err(StoreError::Conflict { .. })
            )),
            "{results:?}"
        );
        assert_eq!(bucket.get(&key, 20_000).await.unwrap().unwrap(), vec![winners[0]; 20_000]);
    }
}

async fn racing_writers_of_the_same_bytes_all_succeed(bucket: &Bucket) {
    let results = race(bucket, &key("race/same"), |_| Bytes::from_static(b"same")).await;
    let new = results.iter().filter(|result| matches!(result, Ok(Created::New))).count();
    assert_eq!(
        (new, results.iter().filter(|result| result.is_ok()).count()),
        (1, usize::from(RACERS)),
        "{results:?}"
    );
}

async fn listings_are_sorted_and_bounded(bucket: &Bucket) {
    for n in [3, 1, 2, 10] {
        let _ =
            bucket.create(&key(&format!("listed/{n}")), Bytes::from_static(b"x")).await.unwrap();
    }
    let _ = bucket.create(&key("listed-not/1"), Bytes::new()).await.unwrap();
    let folder = key("listed");
    let names = |listing: &crate::Listing| {
        listing.objects.iter().map(|o| o.key.as_str().to_owned()).collect::<Vec<_>>()
    };
    let all = bucket.list(Some(&folder), None, 4).await.unwrap();
    assert_eq!(
        (names(&all), all.truncated),
        (["listed/1", "listed/10", "listed/2", "listed/3"].map(str::to_owned).to_vec(), false)
    );
    assert!(all.objects.iter().all(|object| object.size == 1));
    let some = bucket.list(Some(&folder), None, 3).await.unwrap();
    assert_eq!(
        (names(&some), some.truncated),
        (["listed/1", "listed/10", "listed/2"].map(str::to_owned).to_vec(), true)
    );
    let rest = bucket.list(Some(&folder), Some(&key("listed/10")), 10).await.unwrap();
    assert_eq!(
        (names(&rest), rest.truncated),
        (["listed/2", "listed/3"].map(str::to_owned).to_vec(), false)
    );
}

async fn a_task_is_written_and_read(bucket: &Bucket) {
    let (validator, miner, task_id) =
        (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]), TaskId(70_123));
    let own = OwnBucket::new(bucket.clone(), validator);
    own.prove_create_once().await.unwrap();
    own.prove_create_once().await.unwrap();
    let artefacts = TaskArtefacts {
        metadata: Bytes::from_static(b"{}"),
        original_clip: Bytes::from_static(b"clip"),
        first_frame: Bytes::from_static(b"frame"),
    };
    assert_eq!(own.write_task(task_id, artefacts.clone()).await.unwrap(), Created::New);
    assert_eq!(own.write_task(task_id, artefacts.clone()).await.unwrap(), Created::AlreadyThere);
    let other = TaskArtefacts { original_clip: Bytes::from_static(b"another clip"), ..artefacts };
    assert!(matches!(own.write_task(task_id, other).await, Err(StoreError::Conflict { .. })));
    assert_eq!(
        own.write_video(task_id, miner, Bytes::from_static(b"video")).await.unwrap(),
        Created::New
    );
    assert_eq!(own.verdict(task_id).await.unwrap(), None);
    assert_eq!(own.write_verdict(task_id, Bytes::from_static(b"[]")).await.unwrap(), Created::New);
    assert_eq!(own.verdict(task_id).await.unwrap().unwrap(), &b"[]"[..]);
    let video = own.read(task_id, TaskObject::GeneratedVideo(miner), 10).await.unwrap();
    assert_eq!(video.unwrap(), &b"video"[..]);
    let raw =
        bucket.get(&key(&format!("70123/evaluation_results/{validator}.json")), 10).await.unwrap();
    assert_eq!(raw.unwrap(), &b"[]"[..]);
    let too_large = own.write_verdict(TaskId(1), Bytes::from(vec![b' '; MAX_FILE_BYTES + 1])).await;
    assert!(matches!(too_large, Err(StoreError::TooLarge { .. })));
}

async fn the_corpus_and_the_allowlist_are_found(bucket: &Bucket) {
    let source = SourceBucket::new(bucket.clone());
    assert_eq!(source.allowlist(None).await.unwrap(), Polled::Absent);
    source.write_allowlist(Bytes::from_static(b"{\"version\":1}")).await.unwrap();
    source.write_allowlist(Bytes::from_static(b"{\"version\":2}")).await.unwrap();
    let Polled::Changed(allowlist) = source.allowlist(None).await.unwrap() else {
        panic!("no allowlist")
    };
    assert_eq!(allowlist.bytes, &b"{\"version\":2}"[..]);
    assert_eq!(source.allowlist(allowlist.etag.as_ref()).await.unwrap(), Polled::Unchanged);
    let clip = key("corpus/deep/er/harbour.mp4");
    assert_eq!(source.add_video(&clip, Bytes::from_static(b"mp4")).await.unwrap(), Created::New);
    let videos = source.videos().await.unwrap();
    assert!(videos.iter().any(|video| video.key == clip && video.size == 3), "{videos:?}");
    assert!(videos.iter().all(|video| video.key.as_str().ends_with(".mp4")));
    assert_eq!(source.video(&clip, 10).await.unwrap().unwrap(), &b"mp4"[..]);
}

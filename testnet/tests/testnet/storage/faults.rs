//! The storage client's behaviour under faults of the server.

use super::*;

#[tokio::test]
async fn faults_that_pass_are_ridden_out() {
    let server = Server::start().await;
    let bucket = server.writer();
    let passing = [
        FaultKind::Conflict,
        FaultKind::TooManyRequests,
        FaultKind::InternalError,
        FaultKind::LostAnswer,
    ];
    for (n, kind) in passing.into_iter().enumerate() {
        let key = key(&format!("passing/{n}"));
        server.inject(Fault::next(kind, 2).on("PUT").of_bucket(ONE));
        let created = bucket.create(&key, bytes("bytes")).await.unwrap();
        let expected =
            if kind == FaultKind::LostAnswer { Created::AlreadyThere } else { Created::New };
        assert_eq!(created, expected, "{kind:?}");
        server.handle.faults().clear();
        server.inject(Fault::next(kind, 2).on("GET").of_bucket(ONE));
        assert_eq!(bucket.get(&key, 10).await.unwrap().unwrap(), bytes("bytes"), "{kind:?}");
        server.handle.faults().clear();
    }
}

#[tokio::test]
async fn faults_that_stay_end_in_their_own_error_within_bounds() {
    let server = Server::start().await;
    let bucket = server.writer();
    let _ = bucket.create(&key("there"), bytes("bytes")).await.unwrap();
    let attempts = u64::from(quick_policy().attempts);
    for kind in [FaultKind::Conflict, FaultKind::TooManyRequests, FaultKind::InternalError] {
        server.inject(Fault::always(kind));
        let before = server.handle.faults().requests();
        for result in [bucket.get(&key("there"), 10).await, bucket.get(&key("absent"), 10).await] {
            assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{kind:?}: {result:?}");
        }
        assert_eq!(server.handle.faults().requests() - before, 2 * attempts, "{kind:?}");
        let before = server.handle.faults().requests();
        let result = bucket.create(&key("new"), bytes("new")).await;
        assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{kind:?}: {result:?}");
        // Each put is followed by a look at what it left.
        assert_eq!(server.handle.faults().requests() - before, 2 * attempts, "{kind:?}");
        server.handle.faults().clear();
        assert_eq!(bucket.get(&key("new"), 10).await.unwrap(), None, "{kind:?}");
    }
}

#[tokio::test]
async fn a_conflict_is_found_behind_faults() {
    let server = Server::start().await;
    let bucket = server.writer();
    let _ = bucket.create(&key("a"), bytes("theirs")).await.unwrap();
    server.inject(Fault::next(FaultKind::InternalError, 1).on("PUT"));
    let result = bucket.create(&key("a"), bytes("ours")).await;
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
}

#[tokio::test]
async fn a_full_disk_is_an_error_of_its_own_and_not_retried() {
    let server = Server::start().await;
    let bucket = server.writer();
    server.inject(Fault::always(FaultKind::DiskFull).on("PUT"));
    let before = server.handle.faults().requests();
    for result in [
        bucket.create(&key("a"), bytes("a")).await.map(|_| ()),
        bucket.replace(&key("a"), bytes("a")).await,
    ] {
        assert!(matches!(result, Err(StoreError::Full { .. })), "{result:?}");
    }
    assert_eq!(server.handle.faults().requests() - before, 2);
    assert_eq!(bucket.get(&key("a"), 10).await.unwrap(), None);
}

#[tokio::test]
async fn a_truncated_body_is_never_an_object() {
    let server = Server::start().await;
    let bucket = server.writer();
    let whole: Bytes = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let _ = bucket.create(&key("a"), whole.clone()).await.unwrap();
    server.inject(Fault::always(FaultKind::Truncated).on("GET"));
    let result = bucket.get(&key("a"), 1 << 20).await;
    let Err(StoreError::Unavailable { reason, attempts, .. }) = &result else {
        panic!("{:?}", result.map(|_| ()))
    };
    assert!(reason.contains("of 300000 bytes"), "{reason}");
    assert_eq!(*attempts, quick_policy().attempts);
    // A put that is in doubt is read back: half an object must not count as other bytes, nor as
    // ours.
    let result = bucket.create(&key("a"), whole.clone()).await;
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    server.handle.faults().clear();
    server.inject(Fault::next(FaultKind::Truncated, 2).on("GET"));
    assert_eq!(bucket.get(&key("a"), 1 << 20).await.unwrap().unwrap(), whole);
}

#[tokio::test]
async fn a_store_that_stalls_times_out_and_is_read_back() {
    let server = Server::start().await;
    let impatient =
        RetryPolicy { attempts: 2, attempt_timeout: Duration::from_millis(400), ..quick_policy() };
    let bucket = server.writer().with_policy(impatient);
    let stall = Duration::from_secs(30);
    server.inject(Fault::always(FaultKind::Slow).on("GET").after(stall));
    let result = bucket.get(&key("absent"), 10).await;
    assert!(matches!(result, Err(StoreError::Timeout { attempts: 2, .. })), "{result:?}");
    server.handle.faults().clear();
    // The put is done and its answer comes too late: the bytes are found, and not written again.
    server.inject(Fault::next(FaultKind::Slow, 1).on("PUT").after(stall));
    assert_eq!(bucket.create(&key("a"), bytes("a")).await.unwrap(), Created::AlreadyThere);
    assert_eq!(server.handle.faults().met(FaultKind::Slow), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_random_faults_objects_are_still_written_once() {
    let server = Server::start().await;
    for kind in
        [FaultKind::Conflict, FaultKind::InternalError, FaultKind::LostAnswer, FaultKind::Truncated]
    {
        server.inject(Fault { percent: Some(15), ..Fault::always(kind) });
    }
    let patient = RetryPolicy {
        attempts: 60,
        first_delay: Duration::from_millis(5),
        max_delay: Duration::from_millis(20),
        ..quick_policy()
    };
    let bucket = server.writer().with_policy(patient);
    for round in 0..10 {
        let key = key(&format!("round/{round}"));
        let racers: Vec<_> = (0..6_u8)
            .map(|n| {
                let (bucket, key) = (bucket.clone(), key.clone());
                tokio::spawn(
                    async move { (n, bucket.create(&key, Bytes::from(vec![n; 5_000])).await) },
                )
            })
            .collect();
        let mut winners = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                (n, Ok(_)) => winners.push(n),
                (_, Err(StoreError::Conflict { .. })) => {}
                (n, Err(error)) => panic!("{n}: {error}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(bucket.get(&key, 5_000).await.unwrap().unwrap(), vec![winners[0]; 5_000]);
    }
}

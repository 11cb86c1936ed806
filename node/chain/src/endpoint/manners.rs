//! Tests of how the client treats nodes: it dials one at a time, keeps its pauses, sends few
//! requests a second, and passes over nodes that fall silent.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use leoma_protocol::{BlockNumber, Netuid};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::ChainClient;
use super::double::{Double, Manner};
use crate::error::{ChainError, Result};
use crate::submit::MemoryLog;

/// What public nodes allow.
const ALLOWED_A_SECOND: usize = 10;

async fn client(doubles: &[&Double]) -> Result<ChainClient> {
    let urls: Vec<String> = doubles.iter().map(|double| double.url.clone()).collect();
    ChainClient::connect_all(&urls, Netuid(99), None, Arc::new(MemoryLog::default())).await
}

#[tokio::test]
async fn a_connection_costs_one_request_and_following_heads_one_more() {
    let double = Double::start(Manner::Honest).await;
    let client = client(&[&double]).await.unwrap();
    assert_eq!(double.requests().len(), 1, "the genesis hash");
    let stop = CancellationToken::new();
    let mut heads = client.follow_heads(stop.clone()).await.unwrap();
    let first = heads.borrow().number.0;
    heads.wait_for(|head| head.number.0 > first + 5).await.unwrap();
    // The newest block and its header, and the subscription.
    assert_eq!(double.requests().len(), 4, "new blocks cost nothing");
    stop.cancel();
}

#[tokio::test]
async fn a_lost_connection_is_dialled_once_for_all_who_ask_and_not_at_once_again() {
    let double = Double::start(Manner::Honest).await;
    let client = client(&[&double]).await.unwrap();
    client.head().await.unwrap();
    double.behave(Manner::HangsUp);
    for _ in 0..3 {
        let asked = (0..30).map(|_| client.block_hash(BlockNumber(1)));
        assert!(join_all(asked).await.iter().all(Result::is_err));
    }
    // One for each round of questions, after the first connection; each waits for its time.
    assert!(double.dials() <= 5, "{} dials for 90 questions", double.dials());
    double.behave(Manner::Honest);
    while client.head().await.is_err() {}
    assert!(double.dials() <= 8, "{} dials", double.dials());
}

#[tokio::test]
async fn a_node_that_refuses_is_named_and_taken_once_it_does_not() {
    let double = Double::start(Manner::Refuses).await;
    let error = client(&[&double]).await.unwrap_err();
    assert!(matches!(error, ChainError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("429"), "{error}");
    double.behave(Manner::Honest);
    client(&[&double]).await.unwrap();
}

#[tokio::test]
async fn a_burst_of_questions_is_spread() {
    let double = Double::start(Manner::Honest).await;
    let client = client(&[&double]).await.unwrap();
    let asked = (0..25).map(|_| client.block_hash(BlockNumber(1)));
    assert!(join_all(asked).await.iter().all(Result::is_ok));
    let times = double.requests();
    assert!(times.len() >= 26);
    for first in &times {
        let within = |time: &&Instant| **time >= *first && **time < *first + Duration::from_secs(1);
        assert!(times.iter().filter(within).count() <= ALLOWED_A_SECOND);
    }
}

/// A node with this fault is configured before an honest one: heads come from the honest one, and
/// within two minutes the faulty one is marked as failed.
async fn is_passed_over(fault: Manner) {
    let (faulty, honest) =
        (Double::start(Manner::Honest).await, Double::start(Manner::Honest).await);
    let client = client(&[&faulty, &honest]).await.unwrap();
    let stop = CancellationToken::new();
    let mut heads = client.follow_heads(stop.clone()).await.unwrap();
    faulty.behave(fault);
    let before = heads.borrow_and_update().number.0;
    heads.wait_for(|head| head.number.0 > before + 20).await.unwrap();
    client.block_hash(BlockNumber(1)).await.unwrap();
    let known = async {
        while client.endpoints()[0].last_error.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), known).await.unwrap();
    // It is taken again once it behaves.
    faulty.behave(Manner::Honest);
    let back = async {
        while !client.endpoints()[0].last_error.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), back).await.unwrap();
    stop.cancel();
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn a8_a9_nodes_that_fall_silent_are_passed_over() {
    let faults = [Manner::NoHandshake, Manner::Mute, Manner::NoHeads, Manner::HangsUp];
    join_all(faults.map(is_passed_over)).await;
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn a9_a_first_connection_that_is_never_answered_ends() {
    for fault in [Manner::NoHandshake, Manner::Mute] {
        let double = Double::start(fault).await;
        assert!(matches!(client(&[&double]).await, Err(ChainError::Connect { .. })));
    }
}

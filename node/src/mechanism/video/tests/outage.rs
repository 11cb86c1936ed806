//! Outages of a minute or less in the middle of a turn, after which others succeed.

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::sleep;

use super::never;
use super::world::{Does, NEVER, Table, VIDEO, World, miner};
use crate::miners::whose_fault::Reply;

/// Asks miners of a world with this outage, in which requests show `shows`, and asserts that none
/// of the `good` ones has failed.
async fn nobody_fails(miners: Vec<Vec<Does>>, good: usize, outage: Range<u64>, shows: Reply) {
    let mut world = World::new(miners);
    (world.outage, world.in_outage) = (Some(outage.clone()), shows);
    let mut table = Table::new();
    // An outage that nearly all meet is a try that failed, and the next one asks again.
    while table.round(&world, never()).await.is_err() {
        assert!(table.done.answers.values().all(|answer| answer.is_file()));
        sleep(Duration::from_secs(15)).await;
    }
    for n in 0..good {
        assert_eq!(table.entry(n).as_deref(), Some("passed"), "{n}, {shows:?} in {outage:?}");
        assert!(world.requests(n) <= 6, "{n}: {} requests", world.requests(n));
    }
}

#[tokio::test(start_paused = true)]
async fn three_miners_that_an_outage_of_ten_seconds_met_are_asked_once_more() {
    let seconds = |n: u64| 40 + 2 * n;
    let mut world = World::new((0..20).map(|n| vec![Does::Reply(Reply::Video, seconds(n))]));
    world.outage = Some(50..60);
    let mut table = Table::new();
    table.round(&world, never()).await.unwrap();
    let again: Vec<usize> = (0..20).filter(|n| world.requests(*n) == 2).collect();
    assert!(again.len() >= 3 && again.len() < 18, "{again:?}");
    for n in 0..20 {
        assert_eq!(table.entry(n).as_deref(), Some("passed"), "{n}");
        // Their time started again: what the outage cost them does not count.
        let latency_ms = table.done.answers[&miner(n)].latency_ms;
        assert_eq!(latency_ms, 1000 * seconds(n as u64), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_breaks_off_alone_gains_no_time() {
    // It needs 500 s for a video, and breaks off shortly before its 300 s are over.
    let slow = vec![Does::Reply(Reply::BrokenOff, 290), Does::Reply(Reply::Video, 210)];
    let broken = vec![Does::Reply(Reply::Status(502), 1)];
    let mut miners = vec![vec![VIDEO]; 18];
    miners.extend([slow, broken]);
    let world = World::new(miners);
    let mut table = Table::new();
    table.round(&world, never()).await.unwrap();
    assert_eq!([18, 19].map(|n| world.requests(n)), [2, 2]);
    assert_eq!(table.entry(18).as_deref(), Some("timeout"));
    assert_eq!(table.entry(19).as_deref(), Some("http_error"));
}

#[tokio::test(start_paused = true)]
async fn a_miner_without_an_instance_is_asked_once_more_with_what_is_left_of_its_time() {
    let cold = Does::Reply(Reply::Status(503), 1);
    let mut miners = vec![vec![VIDEO]; 18];
    miners.push(vec![cold, cold, cold, VIDEO]);
    miners.push(vec![cold, cold, cold, Does::Reply(Reply::Video, 260)]);
    let world = World::new(miners);
    let mut table = Table::new();
    table.round(&world, never()).await.unwrap();
    assert_eq!([18, 19].map(|n| world.requests(n)), [4, 4]);
    assert_eq!(table.entry(18).as_deref(), Some("passed"));
    // 1 + 20 + 1 + 20 + 1 before, which leaves less than 260.
    assert_eq!(table.done.answers[&miner(18)].latency_ms / 1000, 83);
    assert_eq!(table.entry(19).as_deref(), Some("timeout"));
}

#[tokio::test(start_paused = true)]
async fn miners_that_timed_out_while_no_video_of_anyone_came_are_asked_once_more() {
    let outcome = async |silent: usize, has_late_video: bool| {
        let mut miners = vec![vec![VIDEO]; 10];
        // Its second request begins when all the others' videos have come.
        let later = Does::Pause(Reply::Status(503), 1, 60);
        miners.extend(vec![vec![later, NEVER, VIDEO]; silent]);
        if has_late_video {
            miners.push(vec![Does::Reply(Reply::Video, 200)]);
        }
        let world = World::new(miners);
        let mut table = Table::new();
        table.round(&world, never()).await.unwrap();
        assert_eq!(table.entry(0).as_deref(), Some("passed"));
        (world.requests(10), table.entry(10).unwrap())
    };
    assert_eq!(outcome(3, false).await, (3, "passed".to_owned()));
    assert_eq!(outcome(2, false).await, (2, "timeout".to_owned()));
    assert_eq!(outcome(3, true).await, (2, "timeout".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_ends_before_the_second_request_keeps_the_first_fault() {
    let mut miners = vec![vec![VIDEO]; 9];
    miners.push(vec![Does::Reply(Reply::BrokenOff, 5), VIDEO]);
    let world = World::new(miners);
    let mut table = Table::new();
    table.round(&world, sleep(Duration::from_secs(60))).await.unwrap();
    assert_eq!(table.entry(9).as_deref(), Some("no_response"));
    assert_eq!(table.entry(0).as_deref(), Some("passed"));
}

/// The test of a future, on a clock that jumps.
fn on_a_clock_that_jumps(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whenever an outage of up to a minute comes, whatever requests show in it, and whoever is
    /// broken for good beside it, no miner that answers otherwise fails.
    #[test]
    fn an_outage_of_seconds_fails_nobody(
        miners in 3_usize..60, broken in 0_usize..4, seconds in 5_u64..120,
        begins in 0_u64..200, lasts in 1_u64..=60,
        shows in proptest::sample::select(vec![Reply::Unreachable, Reply::Status(503)]),
    ) {
        let mut all = vec![vec![Does::Reply(Reply::Video, seconds)]; miners];
        let broken = broken.min(miners - 1);
        all.extend(vec![vec![Does::Reply(Reply::Status(502), 1)]; broken]);
        on_a_clock_that_jumps(nobody_fails(all, miners, begins..begins + lasts, shows));
    }
}

//! A whole motion subnet: real axons, a cast of nine, weights for all who earn any. One validator
//! loses its power in the middle of a task.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use leoma_testnet::axons::{Dancer, Place};
use leoma_testnet::launch::{Mechanism, Options, Played, Subnet, View};

use super::asked::{audit_of, kill_and_go_on, leoma, newest_task};

const VALIDATORS: usize = 3;
/// Milliseconds of a block: nothing is scored on tensors here.
const BLOCK_TIME: u64 = 400;
/// Time for an epoch and a half, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(300);
/// A validator is killed once so many miners have replied. The silent one and the slow one are still
/// waited for.
const REPLIES: Range<usize> = 3..8;

async fn audit_epoch(folder: &Path, epoch: u64) {
    // Five of nine earn something.
    let online = audit_of(folder, epoch, (VALIDATORS, 5)).await;
    let block = epoch.to_string();
    let written =
        leoma(folder, &["audit", "snapshot", "--epoch", &block, "--out", "epoch.json"]).await;
    let replayed = leoma(folder, &["audit", "--snapshot", "epoch.json"]).await.unwrap();
    assert_eq!(replayed["decision"], online["decision"]);
    assert_eq!(replayed["paid"], online["paid"]);
    assert_eq!(replayed["snapshot_sha256"], written.unwrap()["snapshot_sha256"]);
}

/// Audits a task's draw and values, from the bucket of who made it.
async fn audit_task(folder: &Path, task: u64) {
    let task = task.to_string();
    for flags in [&["audit", "--task", &task][..], &["audit", "--task", &task, "--scores"]] {
        let report = leoma(folder, flags).await.unwrap();
        let steps = report["steps"].as_array().unwrap();
        let of = |outcome: &str| {
            let of_outcome = steps.iter().filter(|step| step["outcome"] == outcome);
            of_outcome.filter_map(|step| step["step"].as_str()).collect::<Vec<_>>()
        };
        assert!(of("fail").is_empty(), "{report:#}");
        // Two kinds have no answer that could be computed again.
        assert_eq!(of("unchecked"), ["value", "value"], "{report:#}");
        let values = of("pass").into_iter().filter(|step| *step == "value").count();
        assert_eq!(values, 7, "{report:#}");
    }
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn everybody_pays_the_cast_in_its_order_and_a_kill_in_a_task_repeats_nothing() {
    let options = Options {
        validators: VALIDATORS,
        miners: Dancer::ALL.len(),
        block_time: BLOCK_TIME,
        seed: "motion".into(),
        mechanisms: vec![Mechanism::Motion],
        ..Options::default()
    };
    let started = Subnet::start(options, |text| eprintln!("{text}")).await;
    let mut subnet = started.unwrap_or_else(|error| panic!("{error}"));
    let killed = kill_and_go_on(&mut subnet, REPLIES, Dancer::ALL.len()).await;
    let agreed = |view: &View| view.epochs_agreed() >= 1;
    let waited = subnet.wait_until(LIMIT, agreed).await;
    let view = waited.unwrap_or_else(|error| panic!("{error}"));
    let report = subnet.report(&view, 1);
    assert!(report.succeeded(), "{}", report.table());
    eprintln!("{}", report.table());

    // Every miner's entries say what it does.
    for miner in &report.miners {
        let Played::Motion(dancer) = miner.role else { panic!("a dancer: {miner:?}") };
        let entries: u64 = miner.entries.values().sum();
        assert!(entries > 0, "{miner:?}");
        assert_eq!(miner.as_expected, entries, "{miner:?}");
        assert_eq!(dancer.place() < Place::Floor, miner.entries.contains_key("passed"));
    }

    let task = newest_task(&subnet, killed).unwrap();
    audit_task(subnet.validator_folder(killed).unwrap(), task).await;
    let epoch = *view.agreement.unwrap().epochs.last().unwrap();
    audit_epoch(subnet.validator_folder(0).unwrap(), epoch).await;
    subnet.stop().await;
}

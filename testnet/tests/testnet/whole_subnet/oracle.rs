//! A whole subnet of the oracle: forecasters with real axons, a market, and one feed that lies. One
//! validator loses its power in the middle of a task; in another subnet, whose turns are long, it
//! comes back in time to finish that task.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use leoma_testnet::forecasters::Forecaster;
use leoma_testnet::launch::{Mechanism, Options, Played, Subnet, View};
use serde_json::Value;

use super::asked::{audit_of, kill_and_finish, kill_and_go_on, leoma, newest_task};

/// One of four feeds lies, and is outvoted.
const VALIDATORS: usize = 4;
/// Milliseconds of a block: nothing is scored on tensors here.
const BLOCK_TIME: u64 = 400;
/// Time for two epochs, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(300);
/// Entries of a file: every miner's, and the validator's own reading.
const ENTRIES: usize = Forecaster::ALL.len() + 1;
/// A validator is killed once so many miners have replied. The mute one is still waited for.
const REPLIES: Range<usize> = 3..Forecaster::ALL.len();

/// Where a killed validator has to finish its task: milliseconds of a block, blocks of an interval,
/// and seconds between the prices of a forecast. A validator signs nothing for 20 seconds after its
/// start, and has to be back before half of the interval is over, which is a minute. Forecasts count
/// for nearly two.
const LONG_TURNS: (u64, u64, u32) = (2000, 60, 120);

/// Every validator sets the weights that the audit computes, from prices that nobody bent.
async fn audit_epoch(folder: &Path, epoch: u64) {
    let report = audit_of(folder, epoch, (VALIDATORS, 5)).await;
    let truth = report["forecasts"]["truth"].as_array().unwrap();
    assert!(!truth.is_empty(), "{report:#}");
    // The lie is 250 above what the market can be at most: 5000 and 122.64.
    let price = |row: &Value| row["price"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(truth.iter().all(|row| price(row) < 5123.0), "{report:#}");
    let files = report["forecasts"]["files"].as_array().unwrap();
    assert!(files.iter().any(|file| file["cells"].as_u64() > Some(0)), "{report:#}");
    assert!(files.iter().all(|file| file["in_time"] == true), "{report:#}");
}

/// A task's file follows from the chain and from its metadata, and our feed says the same.
async fn audit_task(folder: &Path, task: u64, reading: &str) {
    let report = leoma(folder, &["audit", "--task", &task.to_string()]).await.unwrap();
    let steps = report["steps"].as_array().unwrap();
    let outcome = |name: &str| {
        let step = steps.iter().find(|step| step["step"] == name);
        step.and_then(|step| step["outcome"].as_str()).unwrap_or_default()
    };
    for name in ["deadline", "metadata", "moment", "entries"] {
        assert_eq!(outcome(name), "pass", "{name}: {report:#}");
    }
    assert_eq!((outcome("reading"), outcome("answers")), (reading, "unchecked"), "{report:#}");
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn everybody_pays_forecasters_by_what_they_know_through_a_kill_and_a_feed_that_lies() {
    let options = Options {
        validators: VALIDATORS,
        miners: Forecaster::ALL.len(),
        block_time: BLOCK_TIME,
        seed: "oracle".into(),
        mechanisms: vec![Mechanism::Oracle],
        ..Options::default()
    };
    let started = Subnet::start(options, |text| eprintln!("{text}")).await;
    let mut subnet = started.unwrap_or_else(|error| panic!("{error}"));
    kill_and_go_on(&mut subnet, REPLIES, ENTRIES).await;
    let agreed = |view: &View| view.epochs_agreed() >= 1;
    let waited = subnet.wait_until(LIMIT, agreed).await;
    let view = waited.unwrap_or_else(|error| panic!("{error}"));
    let report = subnet.report(&view, 1);
    assert!(report.succeeded(), "{}", report.table());
    eprintln!("{}", report.table());

    for miner in &report.miners {
        let Played::Oracle(forecaster) = miner.role else { panic!("a forecaster: {miner:?}") };
        let entries: u64 = miner.entries.values().sum();
        assert!(entries > 0, "{miner:?}");
        assert_eq!(miner.as_expected, entries, "{miner:?}");
        assert_eq!(forecaster.earns(), miner.entries.contains_key("passed"));
    }
    let epoch = *view.agreement.unwrap().epochs.last().unwrap();
    let first = subnet.validator_folder(0).unwrap().to_owned();
    audit_epoch(&first, epoch).await;
    let task = newest_task(&subnet, 0).unwrap();
    audit_task(&first, task, "pass").await;
    // Who has a feed that lies finds that it says what the file says.
    let liar = VALIDATORS - 1;
    let task = newest_task(&subnet, liar).unwrap();
    audit_task(subnet.validator_folder(liar).unwrap(), task, "pass").await;
    subnet.stop().await;
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_validator_that_is_killed_while_it_asks_finishes_its_task_and_asks_nobody_again() {
    let (block_time, interval, forecast_step) = LONG_TURNS;
    let options = Options {
        validators: 2,
        miners: Forecaster::ALL.len(),
        block_time,
        interval,
        forecast_step,
        seed: "oracle kill".into(),
        mechanisms: vec![Mechanism::Oracle],
        ..Options::default()
    };
    let started = Subnet::start(options, |text| eprintln!("{text}")).await;
    let mut subnet = started.unwrap_or_else(|error| panic!("{error}"));
    kill_and_finish(&mut subnet, REPLIES, ENTRIES).await;
    subnet.stop().await;
}

//! A whole motion subnet: real axons, a cast of nine, weights for all who earn any. One validator
//! loses its power in the middle of a task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leoma_protocol::Hotkey;
use leoma_testnet::axons::{Dancer, Place};
use leoma_testnet::launch::{Mechanism, Options, Played, Programs, Subnet, View};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const VALIDATORS: usize = 3;
/// Milliseconds of a block: nothing is scored on tensors here.
const BLOCK_TIME: u64 = 400;
/// Time for an epoch and a half, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(300);
/// What is on chain shows in an audit within this.
const AUDIT_LIMIT: Duration = Duration::from_secs(60);
/// A killed validator finishes its task within this; how often that is tried.
const FINISH_LIMIT: Duration = Duration::from_secs(30);
const KILLS: usize = 3;
/// How often a task is looked for that has begun.
const POLL: Duration = Duration::from_millis(50);

/// The replies that a validator keeps of tasks under way: of each task and miner, the milliseconds.
fn kept(state: &Path) -> BTreeMap<(u64, Hotkey), u64> {
    let list = |folder: PathBuf| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
    };
    let mut replies = BTreeMap::new();
    for task in list(state.join("tasks")) {
        let Some(number) = task.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        for file in list(task.join("kept")) {
            let reply = std::fs::read(&file).ok();
            let reply = reply.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            let Some(reply) = reply else { continue };
            let miner: Hotkey = serde_json::from_value(reply["miner"].clone()).unwrap();
            replies.insert((number, miner), reply["took_ms"].as_u64().unwrap());
        }
    }
    replies
}

/// Kills a validator that has some replies of a task and waits for others, and starts it again.
/// Returns its place and what it had kept of that task.
async fn kill_in_a_task(subnet: &mut Subnet) -> (usize, u64, BTreeMap<Hotkey, u64>) {
    let states: Vec<PathBuf> = (0..VALIDATORS)
        .map(|index| subnet.validator_folder(index).unwrap().join("state"))
        .collect();
    let deadline = Instant::now() + LIMIT;
    loop {
        subnet.check().unwrap_or_else(|error| panic!("{error}"));
        for (index, state) in states.iter().enumerate() {
            let replies = kept(state);
            let Some((task, _)) = replies.keys().next_back().copied() else { continue };
            let of_task: BTreeMap<Hotkey, u64> = replies
                .into_iter()
                .filter(|((number, _), _)| *number == task)
                .map(|((_, miner), took)| (miner, took))
                .collect();
            // The silent one and the slow one are still waited for.
            if (3..8).contains(&of_task.len()) {
                subnet.kill_validator(index);
                let at_the_kill = kept(state);
                let of_task = at_the_kill.into_iter().filter(|((number, _), _)| *number == task);
                let of_task = of_task.map(|((_, miner), took)| (miner, took)).collect();
                subnet.restart_validator(index).unwrap();
                return (index, task, of_task);
            }
        }
        assert!(Instant::now() < deadline, "no validator asks anybody");
        sleep(POLL).await;
    }
}

/// The published verdict file of a validator on a task.
fn published(subnet: &Subnet, validator: usize, task: u64) -> Option<Value> {
    let plan = &subnet.plan.validators[validator];
    let name = format!("{}.json", plan.account.hotkey);
    let bucket = subnet.folder().join("storage/buckets").join(&plan.bucket.bucket);
    let file = bucket.join(task.to_string()).join("evaluation_results").join(name);
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Kills a validator in a task, and holds the file that it publishes after its restart to what it
/// had kept: to the millisecond, so nobody was asked again. Returns the validator and the task. On a
/// busy machine another validator may take the turn over, and then it is tried again.
async fn repeats_nothing(subnet: &mut Subnet) -> (usize, u64) {
    for _ in 0..KILLS {
        let (victim, task, at_the_kill) = kill_in_a_task(subnet).await;
        let deadline = Instant::now() + FINISH_LIMIT;
        while Instant::now() < deadline {
            let Some(file) = published(subnet, victim, task) else {
                sleep(POLL).await;
                continue;
            };
            let entries = file["data"].as_array().unwrap();
            assert_eq!(entries.len(), Dancer::ALL.len());
            for (miner, took) in &at_the_kill {
                let entry = entries.iter().find(|entry| entry["hotkey"] == miner.to_string());
                assert_eq!(entry.unwrap()["latency_ms"], *took, "{miner} was asked again");
            }
            return (victim, task);
        }
        eprintln!("validator-{} did not finish task {task} after it was killed", victim + 1);
    }
    panic!("no validator finished the task in which it was killed");
}

/// What `leoma --json` prints in a validator's folder.
async fn leoma(folder: &Path, args: &[&str]) -> Result<Value, String> {
    let program = Programs::find().unwrap().leoma;
    let mut command = Command::new(program);
    let ended = command.args(args).arg("--json").current_dir(folder).output().await.unwrap();
    serde_json::from_slice(&ended.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&ended.stderr);
        format!("leoma {}: {error}\n{said}", args.join(" "))
    })
}

async fn audit_epoch(folder: &Path, epoch: u64) {
    let block = epoch.to_string();
    let deadline = Instant::now() + AUDIT_LIMIT;
    let online = loop {
        let report = leoma(folder, &["audit", "--epoch", &block]).await.unwrap();
        let rows = report["set"].as_array().into_iter().flatten();
        let words: Vec<&str> = rows.filter_map(|row| row["verdict"].as_str()).collect();
        if words == ["same"; VALIDATORS] {
            break report;
        }
        assert!(Instant::now() < deadline, "epoch {epoch} by its audit: {report:#}");
        sleep(Duration::from_secs(2)).await;
    };
    assert_eq!(online["decision"]["reason"], "shared by the record's rule", "{online:#}");
    let shares = online["paid"]["shares"].as_array().unwrap();
    assert_eq!(shares.len(), 5, "five of nine earn something: {online:#}");
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
    let (victim, task) = repeats_nothing(&mut subnet).await;
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

    audit_task(subnet.validator_folder(victim).unwrap(), task).await;
    let epoch = *view.agreement.unwrap().epochs.last().unwrap();
    audit_epoch(subnet.validator_folder(0).unwrap(), epoch).await;
    subnet.stop().await;
}

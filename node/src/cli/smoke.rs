//! `leoma smoke`: whether a running subnet does what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::output::print_json;
use super::running::Running;

/// Blocks by which the validators' heads may differ.
const HEADS_APART: u64 = 10;
/// Newest settled files of which most should be certified.
const NEWEST_FILES: usize = 10;
/// Epochs that the newest epoch which all have finished may be old. The one that runs may still be
/// worked on, and the one before it began less than two epochs ago.
const OLDEST_EPOCH: u64 = 2;
/// Newest settled tasks that may lack a certified file. A task settles two intervals after its
/// start, and validators attest to its file no later than two witness spans before that: a file that
/// counts is certified by then. A task whose producers all failed is no standstill. Tasks beyond the
/// lookback are neither settled ones nor listed.
const LOST_TASKS: u64 = 1;

const EXAMPLES: &str = "\
Examples:
  leoma smoke 127.0.0.1:9090
  leoma smoke 10.0.0.7:9090 10.0.0.8:9090 --json";

/// Ask running validators whether the subnet works: tasks are sampled, certified and paid.
///
/// Needs the address of each validator's own server (LEOMA_HTTP_LISTEN), and no key.
///
/// Checks outcomes, not processes. Every validator is ready, their heads are close, and they are
/// connected to each other. They set the same weights, uid by uid, for the newest epoch that all of
/// them have finished, and its block is at most two epochs old. Each validator counts most of the
/// newest tasks as certified, and the newest certified task is the newest settled one or the one
/// before it. Each check passes or fails; the exit code is 1 when one fails.
///
/// A task settles at the first block of the second task after it (the settle margin), and its file
/// is certified by then, unless all who may sample it failed.
///
/// Where one fails, look at the validators' pages: My node for their checks, Validators for who
/// attests, Epochs for the weights.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct SmokeArgs {
    /// Addresses of validators, HOST:PORT or http://…
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Print JSON: {"passed", "checks": [{"check", "passed", "finding"}]}.
    #[arg(long)]
    json: bool,
}

/// What one check found.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    passed: bool,
    finding: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.passed { "pass" } else { "FAIL" };
        write!(f, "{mark}  {}: {}", self.check, self.finding)
    }
}

impl SmokeArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut statuses = Vec::new();
        for url in &self.urls {
            statuses.push(Running::at(url)?.json("status").await?);
        }
        let findings = check(&statuses);
        let failed = findings.iter().filter(|finding| !finding.passed).count();
        if self.json {
            print_json(&serde_json::json!({ "passed": failed == 0, "checks": findings }))?;
        } else {
            findings.iter().for_each(|finding| println!("{finding}"));
        }
        if failed > 0 {
            bail!("{failed} of {} checks failed: the validators' pages say why", findings.len());
        }
        Ok(())
    }
}

fn check(statuses: &[Value]) -> Vec<Finding> {
    vec![
        ready(statuses),
        one_network(statuses),
        heads(statuses),
        connected(statuses),
        equal_weights(statuses),
        fresh_weights(statuses),
        certified(statuses),
        fresh_tasks(statuses),
    ]
}

fn finding(check: &'static str, passed: bool, finding: String) -> Finding {
    Finding { check, passed, finding }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// How a validator is named in a finding.
fn name(status: &Value) -> &str {
    status["hotkey"].as_str().unwrap_or("a validator without hotkey")
}

fn ready(statuses: &[Value]) -> Finding {
    let missing: Vec<String> = statuses
        .iter()
        .flat_map(|status| {
            let failed = list(&status["checks"]).iter().filter(|check| check["ok"] != true);
            failed.map(move |check| {
                format!("{} {}: {}", status["hotkey"], check["name"], check["detail"])
            })
        })
        .collect();
    let passed = missing.is_empty();
    let text = if passed {
        format!("{} of {}", statuses.len(), statuses.len())
    } else {
        missing.join("; ")
    };
    finding("ready", passed, text)
}

fn one_network(statuses: &[Value]) -> Finding {
    let networks: BTreeSet<String> =
        statuses.iter().map(|status| status["network"].to_string()).collect();
    let hotkeys: BTreeSet<&str> =
        statuses.iter().filter_map(|status| status["hotkey"].as_str()).collect();
    let passed = networks.len() == 1 && hotkeys.len() == statuses.len();
    let text = format!("{} networks, {} different hotkeys", networks.len(), hotkeys.len());
    finding("one network", passed, text)
}

fn heads(statuses: &[Value]) -> Finding {
    let heads: Vec<u64> = statuses.iter().filter_map(|status| status["head"].as_u64()).collect();
    let (low, high) = (heads.iter().min().copied(), heads.iter().max().copied());
    let apart = high.unwrap_or(0) - low.unwrap_or(0);
    let passed = heads.len() == statuses.len() && apart <= HEADS_APART;
    finding("heads", passed, format!("newest {}, {apart} blocks apart", high.unwrap_or(0)))
}

fn connected(statuses: &[Value]) -> Finding {
    let hotkeys: BTreeSet<&str> =
        statuses.iter().filter_map(|status| status["hotkey"].as_str()).collect();
    let missing: usize = statuses
        .iter()
        .map(|status| {
            let mutual = list(&status["peers"]).iter().filter(|peer| peer["mutual"] == true);
            let heard: BTreeSet<&str> = mutual.filter_map(|peer| peer["hotkey"].as_str()).collect();
            hotkeys.iter().filter(|one| status["hotkey"] != **one && !heard.contains(**one)).count()
        })
        .sum();
    finding("connected", missing == 0, format!("{missing} missing connections"))
}

/// The epochs of a validator by their blocks; those that are only computed are left out.
fn finished(status: &Value) -> BTreeMap<u64, &Value> {
    let finished = list(&status["epochs"]).iter().filter(|epoch| epoch["state"] != "decided");
    finished.filter_map(|epoch| Some((epoch["epoch_block"].as_u64()?, epoch))).collect()
}

/// The newest epoch that every validator has finished.
fn newest_common(all: &[BTreeMap<u64, &Value>]) -> Option<u64> {
    let mut blocks = all.first()?.keys().rev().copied();
    blocks.find(|block| all.iter().all(|epochs| epochs.contains_key(block)))
}

/// The whole vectors are compared: where several miners are paid, the shares count too.
fn equal_weights(statuses: &[Value]) -> Finding {
    let all: Vec<BTreeMap<u64, &Value>> = statuses.iter().map(finished).collect();
    let Some(block) = newest_common(&all) else {
        let text = "no epoch is finished by all of them".to_owned();
        return finding("equal weights", false, text);
    };
    let epochs: Vec<&Value> = all.iter().map(|epochs| epochs[&block]).collect();
    let vectors: BTreeSet<String> =
        epochs.iter().map(|epoch| epoch["weights"].to_string()).collect();
    // Whoever set weights and does not say which is of a release that does not tell.
    let set = epochs.iter().filter(|epoch| {
        epoch["weights"].is_array() && matches!(epoch["state"].as_str(), Some("set" | "committed"))
    });
    let set = set.count();
    let passed = vectors.len() == 1 && set == statuses.len();
    let text = format!(
        "epoch {block}: {} different vectors, set by {set} of {}",
        vectors.len(),
        statuses.len()
    );
    finding("equal weights", passed, text)
}

/// Whether the newest common epoch is one of the last: the epoch that runs may still be on its way,
/// the one before it is finished.
fn fresh_weights(statuses: &[Value]) -> Finding {
    const NAME: &str = "fresh weights";
    let all: Vec<BTreeMap<u64, &Value>> = statuses.iter().map(finished).collect();
    let head = statuses.iter().filter_map(|status| status["head"].as_u64()).max();
    let length = statuses.iter().filter_map(|status| status["epoch_blocks"].as_u64()).max();
    match (newest_common(&all), head, length) {
        (Some(block), Some(head), Some(length)) => {
            let age = head.saturating_sub(block);
            let passed = age <= length.saturating_mul(OLDEST_EPOCH);
            let text = format!("epoch {block} is {age} blocks old, an epoch has {length}");
            finding(NAME, passed, text)
        }
        (None, ..) => finding(NAME, false, "no epoch is finished by all of them".to_owned()),
        _ => finding(NAME, false, "no validator says its head and epoch_blocks".to_owned()),
    }
}

/// The tasks of the lookback, and whether a file of each is certified.
fn tasks(status: &Value) -> BTreeMap<u64, bool> {
    let mut tasks: BTreeMap<u64, bool> = BTreeMap::new();
    for file in list(&status["mesh"]["files"]) {
        if let Some(task) = file["file"]["task_id"].as_u64() {
            *tasks.entry(task).or_insert(false) |= !file["certified"].is_null();
        }
    }
    tasks
}

/// Of the newest tasks, most are certified, in each validator's own count.
fn certified(statuses: &[Value]) -> Finding {
    let count = |status: &Value| {
        // The newest task's file may still be on its way.
        let newest: Vec<bool> =
            tasks(status).into_values().rev().skip(1).take(NEWEST_FILES).collect();
        (newest.iter().filter(|certified| **certified).count(), newest.len())
    };
    let counts: Vec<(usize, usize)> = statuses.iter().map(count).collect();
    let passed = counts.iter().all(|(certified, newest)| certified * 2 > *newest);
    let shown = statuses
        .iter()
        .zip(&counts)
        .map(|(status, (certified, newest))| format!("{} {certified} of {newest}", name(status)));
    let shown: Vec<String> = shown.collect();
    let text = format!("of the newest tasks before the last one: {}", shown.join(", "));
    finding("certified", passed, text)
}

/// Each validator's newest certified task is one of the newest settled ones.
fn fresh_tasks(statuses: &[Value]) -> Finding {
    let newest = |status: &Value| {
        let certified = tasks(status).into_iter().rev().find(|(_, certified)| *certified);
        (certified.map(|(task, _)| task), status["settled_task"].as_u64())
    };
    let all: Vec<(Option<u64>, Option<u64>)> = statuses.iter().map(newest).collect();
    let passed = all.iter().all(|(certified, settled)| match (certified, settled) {
        (Some(certified), Some(settled)) => certified.saturating_add(LOST_TASKS) >= *settled,
        _ => false,
    });
    let number = |task: &Option<u64>| task.map_or("no".to_owned(), |task| task.to_string());
    let shown = statuses.iter().zip(&all).map(|(status, (certified, settled))| {
        let (certified, settled) = (number(certified), number(settled));
        format!("{} certified task {certified}, settled task {settled}", name(status))
    });
    let shown: Vec<String> = shown.collect();
    finding("fresh tasks", passed, format!("newest of each: {}", shown.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A validator in the middle of epoch 360 and of task 4; task 3's file is on its way.
    fn status(hotkey: &str, peer: &str) -> Value {
        let weights = [[6, 65_535], [9, 655]];
        let file = |task: u64, certified: Option<&str>| {
            let file = json!({ "task_id": task });
            json!({ "file": file, "certified": certified })
        };
        json!({
            "hotkey": hotkey, "network": {"netuid": 99}, "head": 450,
            "epoch_blocks": 180, "current_task": 4, "settled_task": 2,
            "checks": [{"name": "chain", "ok": true, "detail": ""}],
            "peers": [{"hotkey": peer, "mutual": true}],
            "epochs": [
                {"epoch_block": 360, "state": "decided", "weights": [[7, 65_535]]},
                {"epoch_block": 180, "state": "set", "weights": weights},
            ],
            "mesh": {"files": [file(3, None), file(2, Some("ab"))]},
        })
    }

    fn failed(statuses: &[Value]) -> Vec<&'static str> {
        check(statuses).iter().filter(|one| !one.passed).map(|one| one.check).collect()
    }

    /// What fails after a change to the second of two validators.
    fn hurt(change: fn(&mut Value)) -> Vec<&'static str> {
        let mut statuses = [status("a", "b"), status("b", "a")];
        change(&mut statuses[1]);
        failed(&statuses)
    }

    #[test]
    fn a_subnet_that_agrees_passes_and_each_fault_fails_its_own_check() {
        assert_eq!(hurt(|_| ()), Vec::<&str>::new());
        assert_eq!(hurt(|one| one["peers"][0]["hotkey"] = json!("c")), ["connected"]);
        assert_eq!(hurt(|one| one["head"] = json!(439)), ["heads"]);
        assert_eq!(hurt(|one| one["checks"][0]["ok"] = json!(false)), ["ready"]);
        assert_eq!(hurt(|one| one["network"] = json!({"netuid": 1})), ["one network"]);
    }

    #[test]
    fn validators_that_pay_different_shares_do_not_agree() {
        assert_eq!(hurt(|one| one["epochs"][1]["weights"][1][1] = json!(654)), ["equal weights"]);
        assert_eq!(hurt(|one| one["epochs"][1]["state"] = json!("refused")), ["equal weights"]);
        let untold = |statuses: &mut [Value]| {
            for status in statuses.iter_mut() {
                status["epochs"][1]["weights"] = Value::Null;
            }
            failed(statuses)
        };
        assert_eq!(untold(&mut [status("a", "b"), status("b", "a")]), ["equal weights"]);
        assert_eq!(hurt(|one| one["epochs"] = json!([])), ["equal weights", "fresh weights"]);
    }

    #[test]
    fn an_epoch_more_than_two_epochs_ago_is_old() {
        let at = |head: u64| {
            let mut statuses = [status("a", "b"), status("b", "a")];
            for status in &mut statuses {
                status["head"] = json!(head);
            }
            failed(&statuses)
        };
        assert_eq!(at(540), Vec::<&str>::new());
        assert_eq!(at(541), ["fresh weights"]);
    }

    #[test]
    fn the_certificates_of_each_validator_count_and_the_newest_is_not_old() {
        let uncertified = hurt(|one| one["mesh"]["files"][1]["certified"] = Value::Null);
        assert_eq!(uncertified, ["certified", "fresh tasks"]);
        assert_eq!(hurt(|one| one["mesh"] = json!({"error": "x"})), ["certified", "fresh tasks"]);
        // One task may be lost.
        assert_eq!(hurt(|one| one["settled_task"] = json!(3)), Vec::<&str>::new());
        assert_eq!(hurt(|one| one["settled_task"] = json!(4)), ["fresh tasks"]);
        assert_eq!(hurt(|one| one["settled_task"] = Value::Null), ["fresh tasks"]);
    }
}

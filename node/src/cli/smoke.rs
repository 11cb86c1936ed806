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

const EXAMPLES: &str = "\
Examples:
  leoma smoke 127.0.0.1:9090
  leoma smoke 10.0.0.7:9090 10.0.0.8:9090 --json";

/// Ask running validators whether the subnet works: tasks are sampled, certified and paid.
///
/// Needs the address of each validator's own server (LEOMA_HTTP_LISTEN), and no key.
///
/// Checks outcomes, not processes: every validator is ready, their heads are close, they are
/// connected to each other, they computed the same winner for the newest epoch that all of them
/// know, its weights are set, and most of the newest verdict files are certified. Each check passes
/// or fails; the exit code is 1 when one fails.
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
        one_winner(statuses),
        certified(statuses),
    ]
}

fn finding(check: &'static str, passed: bool, finding: String) -> Finding {
    Finding { check, passed, finding }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
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

/// The newest epoch that every validator has finished.
fn one_winner(statuses: &[Value]) -> Finding {
    let epochs = |status: &Value| -> BTreeMap<u64, Value> {
        let finished = list(&status["epochs"]).iter().filter(|epoch| epoch["state"] != "decided");
        finished.filter_map(|epoch| Some((epoch["epoch_block"].as_u64()?, epoch.clone()))).collect()
    };
    let all: Vec<BTreeMap<u64, Value>> = statuses.iter().map(epochs).collect();
    let common = all.first().and_then(|first| {
        first
            .keys()
            .rev()
            .find(|block| all.iter().all(|epochs| epochs.contains_key(block)))
            .copied()
    });
    let Some(block) = common else {
        return finding("one winner", false, "no epoch is finished by all of them".to_owned());
    };
    let results: BTreeSet<(String, String)> = all
        .iter()
        .map(|epochs| {
            (epochs[&block]["winner_hotkey"].to_string(), epochs[&block]["uid"].to_string())
        })
        .collect();
    let set = all
        .iter()
        .filter(|epochs| matches!(epochs[&block]["state"].as_str(), Some("set" | "committed")));
    let set = set.count();
    let passed = results.len() == 1 && set == statuses.len();
    let text = format!(
        "epoch {block}: {} different results, weights set by {set} of {}",
        results.len(),
        statuses.len()
    );
    finding("one winner", passed, text)
}

fn certified(statuses: &[Value]) -> Finding {
    let files = statuses.first().map_or(&[][..], |status| list(&status["mesh"]["files"]));
    // The newest task's file may still be on its way.
    let mut tasks: BTreeMap<u64, bool> = BTreeMap::new();
    for file in files {
        if let Some(task) = file["file"]["task_id"].as_u64() {
            *tasks.entry(task).or_insert(false) |= !file["certified"].is_null();
        }
    }
    let newest: Vec<bool> = tasks.into_values().rev().skip(1).take(NEWEST_FILES).collect();
    let certified = newest.iter().filter(|certified| **certified).count();
    let passed = certified * 2 > newest.len();
    let text = format!("{certified} of the {} newest tasks before the last one", newest.len());
    finding("certified", passed, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(hotkey: &str, peer: &str, winner: &str) -> Value {
        json!({
            "hotkey": hotkey, "network": {"netuid": 99}, "head": 400,
            "checks": [{"name": "chain", "ok": true, "detail": ""}],
            "peers": [{"hotkey": peer, "mutual": true}],
            "epochs": [
                {"epoch_block": 360, "state": "decided", "winner_hotkey": "x", "uid": 1},
                {"epoch_block": 180, "state": "set", "winner_hotkey": winner, "uid": 6},
            ],
            "mesh": {"files": [
                {"file": {"task_id": 3}, "certified": null}, {"file": {"task_id": 2}, "certified": "ab"},
            ]},
        })
    }

    fn failed(statuses: &[Value]) -> Vec<&'static str> {
        check(statuses).iter().filter(|one| !one.passed).map(|one| one.check).collect()
    }

    #[test]
    fn a_subnet_that_agrees_passes_and_each_fault_fails_its_own_check() {
        let good = [status("a", "b", "m"), status("b", "a", "m")];
        assert_eq!(failed(&good), Vec::<&str>::new());
        assert_eq!(failed(&[status("a", "b", "m"), status("b", "a", "other")]), ["one winner"]);
        assert_eq!(failed(&[status("a", "b", "m"), status("b", "c", "m")]), ["connected"]);
        let hurt = |change: fn(&mut Value)| {
            let mut statuses = good.clone();
            change(&mut statuses[1]);
            failed(&statuses)
        };
        assert_eq!(hurt(|one| one["head"] = json!(389)), ["heads"]);
        assert_eq!(hurt(|one| one["checks"][0]["ok"] = json!(false)), ["ready"]);
        assert_eq!(hurt(|one| one["network"] = json!({"netuid": 1})), ["one network"]);
        assert_eq!(hurt(|one| one["epochs"][1]["state"] = json!("refused")), ["one winner"]);
        let mut uncertified = good.clone();
        uncertified[0]["mesh"]["files"][1]["certified"] = Value::Null;
        assert_eq!(failed(&uncertified), ["certified"]);
    }
}

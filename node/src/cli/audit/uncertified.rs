//! Epochs without certificates and witnesses, as the Python implementation computes them: what
//! `--allow-v1` recomputes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use leoma_protocol::verdict::{self, Expected};
use leoma_protocol::{BlockNumber, ConsensusParams, FileId, Hotkey, Network, TaskId, Uid};
use leoma_rotation::{
    Allowlist, AllowlistHistory, EpochSnapshot, Miner, Slot, TaskVerdicts, uncertified_epoch,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::believe::Refused;
use super::read::read_json;
use super::replay::decision_json;
use crate::verdicts::report::outcome_json;

#[derive(Deserialize)]
struct Snapshot {
    validators: Vec<Hotkey>,
    interval: u64,
    epoch_block: BlockNumber,
    files: BTreeMap<String, String>,
    miners: Vec<MinerRow>,
    #[serde(default)]
    owner_uid: Option<Uid>,
}

#[derive(Deserialize)]
struct MinerRow {
    hotkey: Hotkey,
    uid: Uid,
    #[serde(default)]
    commit_block: Option<BlockNumber>,
}

/// Recomputes the epoch of a snapshot.
///
/// # Errors
/// When the snapshot is malformed.
pub(super) fn recompute(
    path: &Path,
    burn_uid: Option<Uid>,
    network: Network,
) -> anyhow::Result<Value> {
    let snapshot: Snapshot = read_json(path)?;
    let params = ConsensusParams { accept_v1: true, ..ConsensusParams::default() };
    let list = Allowlist::new(snapshot.interval, snapshot.validators.iter().copied())?;
    let history = AllowlistHistory::since_genesis(list);
    let miners: Vec<Miner> = snapshot
        .miners
        .into_iter()
        .map(|row| Miner { hotkey: row.hotkey, uid: row.uid, commit_block: row.commit_block })
        .collect();
    let owner = burn_uid.or(snapshot.owner_uid).map(|uid| owner_slot(uid, &miners)).transpose()?;
    let (files, mut refused) = verified(snapshot.files, network);
    let snapshot =
        EpochSnapshot { block: snapshot.epoch_block, miners, owner, witnesses: BTreeMap::new() };
    let (outcome, decision) = uncertified_epoch(&params, &history, &snapshot, &files);
    refused.sort_by(|a, b| a.name.cmp(&b.name));
    let refused = refused.iter().map(|one| json!({ "name": one.name, "reason": one.reason }));
    let mut report = outcome_json(&outcome);
    if outcome.winner.is_none() {
        report["winner_uid"] = json!(snapshot.owner.map(|owner| owner.uid));
    }
    report["decision"] = decision_json(&decision);
    report["refused"] = refused.collect();
    Ok(report)
}

fn owner_slot(uid: Uid, miners: &[Miner]) -> anyhow::Result<Slot> {
    let owner = miners.iter().find(|miner| miner.uid == uid);
    let owner =
        owner.with_context(|| format!("the owner's uid {uid} is not among the miners given"))?;
    Ok(Slot { hotkey: owner.hotkey, uid })
}

fn verified(
    files: BTreeMap<String, String>,
    network: Network,
) -> (Vec<Arc<TaskVerdicts>>, Vec<Refused>) {
    // An envelope names the digest of the subnet's rules, whatever else this audit accepts.
    let params = ConsensusParams::default().digest();
    let (mut verified, mut refused) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let checked = place_of(&name).map_err(|error| error.to_string()).and_then(|id| {
            let expected = Expected { id, network, params, accept_v1: true };
            verdict::verify(text.as_bytes(), &expected).map_err(|reason| reason.to_string())
        });
        match checked {
            Ok(file) => verified.push(Arc::new(TaskVerdicts::from(&file))),
            Err(reason) => refused.push(Refused { name, reason }),
        }
    }
    (verified, refused)
}

/// Names are `{bucket's validator}/{task}/evaluation_results/{validator}.json`.
fn place_of(name: &str) -> anyhow::Result<FileId> {
    let parts: Vec<&str> = name.split('/').collect();
    let [bucket, task, "evaluation_results", file] = parts[..] else {
        bail!("its name is not {{bucket}}/{{task}}/evaluation_results/{{validator}}.json");
    };
    let producer: Hotkey = bucket.parse().context("the name of its bucket is not a hotkey")?;
    let validator: Hotkey = file
        .strip_suffix(".json")
        .and_then(|name| name.parse().ok())
        .context("its name is not a hotkey followed by .json")?;
    if validator != producer {
        bail!("it lies in another validator's bucket");
    }
    let task_id = task
        .parse::<TaskId>()
        .ok()
        .filter(|id| id.to_string() == task)
        .context("its task is not a number")?;
    Ok(FileId { task_id, producer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(snapshot: &Value, burn_uid: Option<Uid>) -> anyhow::Result<Value> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("snapshot.json");
        std::fs::write(&path, snapshot.to_string())?;
        // The network of the vectors, whose files are not bound to any.
        let network = Network { genesis: Default::default(), netuid: leoma_protocol::Netuid(99) };
        recompute(&path, burn_uid, network)
    }

    /// Epochs that the Python implementation computed, in the form of a snapshot.
    fn epochs() -> Vec<Value> {
        let text = std::fs::read_to_string("../vectors/consensus.json").unwrap();
        let mut vectors: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(vectors["cases"].take()).unwrap()
    }

    #[test]
    fn an_audit_gives_the_weights_and_the_reason() {
        let won = epochs().into_iter().find(|case| !case["winner_hotkey"].is_null()).unwrap();
        let report = audit(&won, None).unwrap();
        let weights =
            json!([{ "hotkey": won["winner_hotkey"], "uid": won["winner_uid"], "share": 65535 }]);
        let decision = json!({ "state": "set", "reason": "won the window", "weights": weights });
        assert_eq!(report["decision"], decision);
        assert_eq!(report["winner_uid"], won["winner_uid"]);
    }

    #[test]
    fn weight_is_burned_on_the_owners_uid_and_on_no_other() {
        let mut none = epochs().remove(0);
        none["files"] = json!({});
        let report = audit(&none, None).unwrap();
        assert_eq!(report["decision"]["state"], "abstain");
        assert_eq!(
            (&report["decision"]["weights"], &report["winner_uid"]),
            (&Value::Null, &Value::Null)
        );

        let owner = none["miners"][0].clone();
        let uid: Uid = serde_json::from_value(owner["uid"].clone()).unwrap();
        for report in [audit(&none, Some(uid)).unwrap(), {
            none["owner_uid"] = owner["uid"].clone();
            audit(&none, None).unwrap()
        }] {
            let weights =
                json!([{ "hotkey": owner["hotkey"], "uid": owner["uid"], "share": 65535 }]);
            let reason = "no miner is eligible";
            let decision = json!({ "state": "set", "reason": reason, "weights": weights });
            assert_eq!((&report["decision"], &report["winner_uid"]), (&decision, &owner["uid"]));
        }
        let error = audit(&none, Some(Uid(65000))).unwrap_err();
        assert!(error.to_string().contains("65000"), "{error}");
    }
}

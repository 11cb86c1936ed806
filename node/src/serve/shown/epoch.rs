//! From an epoch's record to what is shown of it, and the epoch of a process that keeps no records.

use std::collections::BTreeMap;

use leoma_protocol::{FileId, Hotkey};
use leoma_rotation::RecordEpoch;
use leoma_web::view::{Epoch, FileName, HotkeyText, Rank, WeightsOnChain, Witnessed};
use serde_json::Value;

use crate::state::EpochRecord;
use crate::weights::SeenWeights;

/// What is shown of an epoch; whoever knows the allowlists adds the one in force. The outcome is
/// our own JSON; a record of another release may lack a field, which is then shown as unknown.
pub(super) fn shown(record: &EpochRecord) -> Epoch {
    let outcome: Value = serde_json::from_str(&record.outcome).unwrap_or(Value::Null);
    let state = serde_json::to_value(record.state).unwrap_or(Value::Null);
    let producers = list(&outcome["producers"]);
    let counted = list(&outcome["window"]).iter().zip(producers).filter_map(|(task, producer)| {
        Some(FileName { task_id: task.as_u64()?, producer: hotkey(producer)? })
    });
    Epoch {
        block: record.epoch_block.0,
        state: state.as_str().unwrap_or("unknown").to_owned(),
        reason: record.reason.clone(),
        winner: record.winner_hotkey.map(|hotkey| hotkey.to_string().into()),
        winner_uid: record.uid.map(|uid| uid.0),
        required_validators: number(&outcome["required_distinct"]),
        counted: counted.collect(),
        left_out: reasons(&outcome["left_out"], file_name),
        missing: list(&outcome["missing"]).iter().filter_map(file_name).collect(),
        ranks: ranks(&outcome),
        ineligible: reasons(&outcome["ineligible"], |value| hotkey(&value["miner_hotkey"])),
        witnesses: list(&outcome["witnessed"]["fresh"]).iter().filter_map(hotkey).collect(),
        required_witnesses: number(&outcome["witnessed"]["required"]),
        witnessed: list(&outcome["witnessed"]["files"]).iter().filter_map(witnessed).collect(),
        weights: weights(&outcome["weights_seen"]),
        allowlist: None,
    }
}

/// What is shown of an epoch that was computed from the held files alone, without certificates and
/// witnesses; `None` while no file counts. It is for show: no weights are set by it.
pub(super) fn computed(found: RecordEpoch) -> Option<Epoch> {
    let RecordEpoch { outcome, paid, decision } = found;
    if outcome.window.is_empty() {
        return None;
    }
    let text = |hotkey: &Hotkey| HotkeyText::from(hotkey.to_string());
    let name = |id: &FileId| FileName { task_id: id.task_id.0, producer: text(&id.producer) };
    let heaviest = decision.weights().and_then(|weights| weights.heaviest());
    let shares: Option<BTreeMap<Hotkey, f64>> =
        paid.map(|paid| paid.shares_f64().into_iter().collect());
    let ranks = outcome.ranks.iter().map(|one| Rank {
        rank: one.rank,
        miner: text(&one.miner),
        passed: one.passed,
        rate: one.rate.to_f64(),
        block: one.commit_block.map(|block| block.0),
        share: shares.as_ref().map(|shares| shares.get(&one.miner).copied().unwrap_or(0.0)),
    });
    let left_out = outcome.left_out.iter().map(|(id, why)| (name(id), why.to_string()));
    let ineligible = outcome.ineligible.iter().map(|(miner, why)| (text(miner), why.to_string()));
    Some(Epoch {
        block: outcome.epoch_block.0,
        state: Epoch::COMPUTED.to_owned(),
        reason: format!("{}, by the files in buckets, without certificates", decision.reason()),
        winner: outcome.winner.map(|winner| text(&winner.hotkey)),
        winner_uid: heaviest.map(|entry| entry.uid.0),
        required_validators: u32::try_from(outcome.required_distinct).unwrap_or(u32::MAX),
        counted: outcome.window.iter().map(name).collect(),
        left_out: left_out.collect(),
        ranks: ranks.collect(),
        ineligible: ineligible.collect(),
        ..Epoch::default()
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn hotkey(value: &Value) -> Option<HotkeyText> {
    value.as_str().map(Into::into)
}

fn file_name(value: &Value) -> Option<FileName> {
    Some(FileName { task_id: value["task_id"].as_u64()?, producer: hotkey(&value["producer"])? })
}

/// Those that are named in a list, each with its reason.
fn reasons<T>(value: &Value, named: impl Fn(&Value) -> Option<T>) -> Vec<(T, String)> {
    let reason = |value: &Value| value["reason"].as_str().unwrap_or("unknown").to_owned();
    list(value).iter().filter_map(|one| Some((named(one)?, reason(one)))).collect()
}

/// The ranks of an outcome, with each miner's share where a policy record pays.
fn ranks(outcome: &Value) -> Vec<Rank> {
    let paid = outcome["paid"]["shares"].as_array();
    let shares: Option<BTreeMap<&str, f64>> = paid.map(|shares| {
        let named = shares.iter();
        named
            .filter_map(|one| Some((one["miner_hotkey"].as_str()?, one["share"].as_f64()?)))
            .collect()
    });
    let share = |miner: &str| Some(shares.as_ref()?.get(miner).copied().unwrap_or(0.0));
    list(&outcome["ranks"]).iter().filter_map(|value| rank(value, share)).collect()
}

fn rank(value: &Value, share: impl Fn(&str) -> Option<f64>) -> Option<Rank> {
    Some(Rank {
        share: share(value["miner_hotkey"].as_str()?),
        rank: number(&value["rank"]),
        miner: hotkey(&value["miner_hotkey"])?,
        passed: number(&value["passed_count"]),
        rate: value["pass_rate"].as_f64()?,
        block: value["block"].as_u64(),
    })
}

fn witnessed(value: &Value) -> Option<Witnessed> {
    let by = list(&value["by"]).iter().filter_map(hotkey).collect();
    Some(Witnessed { file: file_name(value)?, by })
}

fn weights(value: &Value) -> Vec<WeightsOnChain> {
    let seen: Vec<SeenWeights> = serde_json::from_value(value.clone()).unwrap_or_default();
    let shown = |one: SeenWeights| WeightsOnChain {
        validator: one.validator.to_string().into(),
        weights: one.weights.into_iter().map(|(uid, weight)| (uid.0, weight)).collect(),
        compared: one.compared,
    };
    seen.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leoma_protocol::{BlockNumber, ConsensusParams, Digest, Uid};
    use leoma_rotation::{
        Allowlist, AllowlistHistory, EpochSnapshot, Miner, TaskVerdicts, Verdict, uncertified_epoch,
    };
    use serde_json::json;

    use super::*;
    use crate::state::EpochState;

    #[test]
    fn a_record_of_this_release_is_shown_whole_and_a_damaged_one_without_its_details() {
        let [one, two] = [1, 2].map(|seed| Hotkey::from_bytes([seed; 32]));
        let outcome = json!({
            "window": [7, 8], "producers": [one, two], "required_distinct": 2,
            "ranks": [{"rank": 1, "miner_hotkey": one, "passed_count": 5, "pass_rate": 0.5, "block": 9}],
            "ineligible": [{"miner_hotkey": two, "reason": "evaluated on 1 of 2 tasks"}],
            "witnessed": {"fresh": [one, two], "required": 2, "files": [
                {"task_id": 7, "producer": one, "by": [two], "counted": true},
            ]},
            "weights_seen": [{"validator": two, "weights": [[3, 65535]], "compared": "same"}],
            "missing": [], "left_out": [{"task_id": 6, "producer": one, "reason": "not settled"}],
        });
        let record = |outcome: String| EpochRecord {
            epoch_block: BlockNumber(180),
            state: EpochState::Set,
            winner_hotkey: Some(one),
            uid: Some(Uid(3)),
            reason: "known: won the window".to_owned(),
            outcome,
        };
        let epoch = shown(&record(outcome.to_string()));
        assert_eq!((epoch.state.as_str(), epoch.winner_uid), ("set", Some(3)));
        assert_eq!((epoch.counted.len(), epoch.ranks.len(), epoch.required_validators), (2, 1, 2));
        assert_eq!(epoch.ineligible[0].1, "evaluated on 1 of 2 tasks");
        assert_eq!(epoch.left_out[0].0.task_id, 6);
        assert_eq!((epoch.witnesses.len(), epoch.required_witnesses), (2, 2));
        let seen = &epoch.weights[0];
        assert_eq!((&*seen.weights, seen.compared.as_str()), (&[(3, 65535)][..], "same"));
        assert_eq!(epoch.witnessed[0].by, [two.to_string().into()]);
        assert_eq!(epoch.ranks[0].share, None);
        let mut paid = outcome.clone();
        paid["paid"] = json!({"pools": [], "shares": [{"miner_hotkey": one, "share": 0.75}]});
        assert_eq!(shown(&record(paid.to_string())).ranks[0].share, Some(0.75));
        paid["paid"]["shares"] = json!([]);
        assert_eq!(shown(&record(paid.to_string())).ranks[0].share, Some(0.0));
        let damaged = shown(&record("[".to_owned()));
        assert_eq!(damaged.reason, "known: won the window");
        assert!(damaged.ranks.is_empty());
    }

    #[test]
    fn files_without_certificates_rank_the_miners() {
        let [producer, better, worse, gone] =
            [1, 2, 3, 4].map(|seed| Hotkey::from_bytes([seed; 32]));
        let history = AllowlistHistory::since_genesis(Allowlist::new(100, [producer]).unwrap());
        let file = |task: u64| {
            let verdicts = [(better, true), (worse, task < 3), (gone, true)];
            let verdicts = verdicts.map(|(miner, passed)| Verdict { miner, passed }).into();
            let id = FileId { task_id: task.into(), producer };
            Arc::new(TaskVerdicts::new(id, Digest::of(b"the file"), verdicts))
        };
        let files: Vec<Arc<TaskVerdicts>> = (0..6).map(file).collect();
        let miner = |(hotkey, uid, block)| Miner {
            hotkey,
            uid: Uid(uid),
            commit_block: Some(BlockNumber(block)),
        };
        let snapshot = EpochSnapshot {
            block: BlockNumber(720),
            miners: [(better, 7, 60), (worse, 8, 50)].map(miner).into(),
            owner: None,
            witnesses: std::collections::BTreeMap::new(),
        };
        let params = ConsensusParams::default();
        let found = |files: &[Arc<TaskVerdicts>]| {
            let (outcome, decision) = uncertified_epoch(&params, &history, &snapshot, files);
            RecordEpoch { outcome, paid: None, decision }
        };
        let epoch = computed(found(&files)).unwrap();
        assert_eq!((epoch.block, epoch.state.as_str()), (720, Epoch::COMPUTED));
        assert_eq!((epoch.winner_uid, epoch.counted.len()), (Some(7), 6));
        assert_eq!(epoch.winner, Some(better.to_string().into()));
        let ranks: Vec<(u32, u32)> = epoch.ranks.iter().map(|one| (one.rank, one.passed)).collect();
        assert_eq!(ranks, [(1, 6), (2, 3)]);
        assert_eq!(epoch.ineligible[0].0, gone.to_string().into());
        assert!(epoch.reason.contains("without certificates"), "{}", epoch.reason);
        assert!(epoch.ranks.iter().all(|rank| rank.share.is_none()));
        assert!(computed(found(&[])).is_none());
    }
}

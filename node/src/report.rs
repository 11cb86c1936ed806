//! The outcome of an epoch as JSON: for the record, for `/status` and for `leoma audit`.

use leoma_rotation::{LeftOut, Outcome};
use serde_json::{Value, json};

/// Everything an outcome says. Rates are given as decimal numbers for people; the decision was made on exact fractions.
#[must_use]
pub fn outcome_json(outcome: &Outcome) -> Value {
    let ranks: Vec<_> = outcome
        .ranks
        .iter()
        .map(|ranked| {
            json!({
                "rank": ranked.rank,
                "miner_hotkey": ranked.miner,
                "passed_count": ranked.passed,
                "pass_rate": ranked.rate.to_f64(),
                "block": ranked.commit_block,
            })
        })
        .collect();
    let left_out = |(id, reason): &(leoma_protocol::FileId, LeftOut)| json!({ "task_id": id.task_id, "producer": id.producer, "reason": reason.to_string() });
    json!({
        "epoch_block": outcome.epoch_block,
        "winner_hotkey": outcome.winner.map(|winner| winner.hotkey),
        "winner_uid": outcome.winner.map(|winner| winner.uid),
        "window": outcome.window.iter().map(|id| id.task_id).collect::<Vec<_>>(),
        "producers": outcome.window.iter().map(|id| id.producer).collect::<Vec<_>>(),
        "active_validators": outcome.active_validators,
        "required_distinct": outcome.required_distinct,
        "ranks": ranks,
        "ineligible": outcome.ineligible.iter().map(|(hotkey, why)| json!({ "miner_hotkey": hotkey, "reason": why.to_string() })).collect::<Vec<_>>(),
        "missing": outcome.missing.iter().map(|id| json!({ "task_id": id.task_id, "producer": id.producer })).collect::<Vec<_>>(),
        "left_out": outcome.left_out.iter().map(left_out).collect::<Vec<_>>(),
    })
}

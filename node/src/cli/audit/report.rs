//! What an audit says.

use std::sync::Arc;

use leoma_protocol::{FileId, Hotkey};
use leoma_rotation::{Attested, Certificates, Decision, TaskVerdicts};
use serde_json::{Value, json};

/// For each task of the window: whose file counts, its digest, who attested, and whether it is
/// certified.
pub(super) fn task_rows(
    window: &[FileId],
    files: &[Arc<TaskVerdicts>],
    attested: &[Attested],
    certificates: &Certificates,
) -> Value {
    let row = |id: &FileId| {
        let digest = certificates
            .get(id)
            .or_else(|| files.iter().find(|file| file.id == *id).map(|file| file.digest));
        let of_this =
            attested.iter().filter(|seen| seen.file == *id && Some(seen.digest) == digest);
        let attesters: Vec<Hotkey> = of_this.map(|seen| seen.attester).collect();
        json!({
            "task_id": id.task_id, "producer": id.producer, "digest": digest, "attesters": attesters,
            "certified": certificates.get(id).is_some(),
        })
    };
    window.iter().map(row).collect()
}

pub(super) fn decision_json(decision: &Decision) -> Value {
    json!({
        "state": decision.state(), "reason": decision.reason().to_string(), "weights": decision.weights(),
    })
}

pub(super) fn print_report(report: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (&report["winner_hotkey"], &report["winner_uid"]) {
        (Value::Null, Value::Null) => {
            println!("no miner is eligible: weight is burned on the owner's uid, which is unknown");
        }
        (Value::Null, uid) => println!("no miner is eligible: weight is burned on uid {uid}"),
        (winner, uid) => println!("winner {} (uid {uid})", text(winner)),
    }
    let decision = &report["decision"];
    match decision["weights"].as_array() {
        None => {
            println!("weights {}: none ({})", text(&decision["state"]), text(&decision["reason"]))
        }
        Some(entries) => {
            println!("weights {} ({}):", text(&decision["state"]), text(&decision["reason"]));
            for entry in entries {
                println!(
                    "  {} to uid {} ({})",
                    entry["share"],
                    entry["uid"],
                    text(&entry["hotkey"])
                );
            }
        }
    }
    let empty = Vec::new();
    let list = |name: &str| report[name].as_array().unwrap_or(&empty).clone();
    println!(
        "epoch block {}, {} tasks, {} active validators, {} needed for a miner",
        report["epoch_block"],
        list("window").len(),
        list("active_validators").len(),
        report["required_distinct"]
    );
    for row in list("ranks") {
        println!(
            "  {:>3}  {}  passed {:>4}  rate {:.4}  committed at {}",
            row["rank"],
            text(&row["miner_hotkey"]),
            row["passed_count"],
            row["pass_rate"].as_f64().unwrap_or(0.0),
            row["block"]
        );
    }
    for row in list("ineligible") {
        println!("    -  {}  {}", text(&row["miner_hotkey"]), text(&row["reason"]));
    }
    for row in list("tasks") {
        let certified =
            if row["certified"] == Value::Bool(true) { "certified" } else { "not certified" };
        println!(
            "task {}: {} {} ({} attesters, {certified})",
            row["task_id"],
            text(&row["producer"]),
            text(&row["digest"]),
            row["attesters"].as_array().map_or(0, Vec::len)
        );
    }
    for row in list("left_out") {
        println!(
            "left out: task {} of {}: {}",
            row["task_id"],
            text(&row["producer"]),
            text(&row["reason"])
        );
    }
    for row in list("evidence") {
        println!("signed twice: {} for task {}", text(&row["accused"]), row["file"]["task_id"]);
    }
    if report["attestations_on_trust"] != json!(0) {
        println!(
            "warning: {} attestations carry no signature and are taken on trust",
            report["attestations_on_trust"]
        );
    }
    for row in list("refused") {
        println!("refused: {}: {}", text(&row["file"]), text(&row["reason"]));
    }
}

//! What an audit prints for people.

use serde_json::Value;

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn print_report(report: &Value) {
    let decision = &report["decision"];
    match decision["weights"].as_array() {
        None => println!("no weights: {}", text(&decision["reason"])),
        Some(entries) => {
            println!("weights ({}):", text(&decision["reason"]));
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
    println!(
        "epoch block {}, {} tasks, {} active validators, {} needed for a miner",
        report["epoch_block"],
        list(report, "window").len(),
        list(report, "active_validators").len(),
        report["required_distinct"]
    );
    print_chain(report);
    print_ranks(report);
    print_paid(report);
    print_forecasts(report);
    for row in list(report, "tasks") {
        println!(
            "task {}: {} {} ({} witnesses)",
            row["task_id"],
            text(&row["producer"]),
            text(&row["digest"]),
            row["witnesses"]
        );
    }
    for (name, what) in [("missing", "missing"), ("left_out", "left out")] {
        for row in list(report, name) {
            println!(
                "{what}: task {} of {}{}",
                row["task_id"],
                text(&row["producer"]),
                row["reason"].as_str().map_or(String::new(), |reason| format!(": {reason}"))
            );
        }
    }
    for row in list(report, "refused") {
        println!("refused: {}: {}", text(&row["name"]), text(&row["reason"]));
    }
    for note in list(report, "notes") {
        println!("not read: {}", text(note));
    }
}

/// Who witnessed, and who set what.
fn print_chain(report: &Value) {
    for row in list(report, "witnesses") {
        let said = match (row["committed_at"].as_u64(), row["fresh"].as_bool()) {
            (Some(block), Some(true)) => format!("witnessed at block {block}"),
            (Some(block), _) => format!("has a witness of block {block} that does not count"),
            _ => "has no witness".to_owned(),
        };
        println!("  {}  {said}", text(&row["hotkey"]));
    }
    for row in list(report, "set") {
        let pairs: Vec<String> =
            list(row, "weights").iter().map(|pair| format!("{}={}", pair[0], pair[1])).collect();
        let said = match (row["verdict"].as_str().unwrap_or_default(), row["found"].as_str()) {
            ("same", _) => "set the same weights".to_owned(),
            ("other", _) => format!("SET SOMETHING ELSE: {}", pairs.join(" ")),
            ("nothing", Some("unchanged")) => "sent its earlier weights again".to_owned(),
            ("nothing", _) => "set nothing".to_owned(),
            (_, Some("superseded")) => {
                "committed, and committed a later epoch before the reveal".into()
            }
            (_, Some("pending")) => "committed, and not revealed yet".to_owned(),
            _ => format!("set {}, which cannot be compared", pairs.join(" ")),
        };
        println!("  {} (uid {})  {said}", text(&row["hotkey"]), text(&row["uid"]));
    }
}

fn print_ranks(report: &Value) {
    for row in list(report, "ranks") {
        println!(
            "  {:>3}  {}  passed {:>4}  rate {:.4}  committed at {}",
            row["rank"],
            text(&row["miner_hotkey"]),
            row["passed_count"],
            row["pass_rate"].as_f64().unwrap_or(0.0),
            row["block"]
        );
    }
    for row in list(report, "ineligible") {
        println!("    -  {}  {}", text(&row["miner_hotkey"]), text(&row["reason"]));
    }
}

/// What forecasts were ranked against, for a record that ranks them.
fn print_forecasts(report: &Value) {
    let forecasts = &report["forecasts"];
    let truth = list(forecasts, "truth");
    if let (Some(first), Some(last)) = (truth.first(), truth.last()) {
        println!(
            "  {} prices that enough validators read, from {} ({}) to {} ({})",
            truth.len(),
            first["moment"],
            text(&first["price"]),
            last["moment"],
            text(&last["price"])
        );
    }
    for row in list(forecasts, "files") {
        let late = if row["in_time"] == true { "" } else { ", signed too late" };
        println!(
            "  task {}: forecasts from {}, {} cells{late}",
            row["task_id"], row["begins"], row["cells"]
        );
    }
}

/// What each pool of a policy record says, and each miner's share.
fn print_paid(report: &Value) {
    let paid = &report["paid"];
    for pool in list(paid, "pools") {
        for row in list(pool, "scores") {
            let score = row["score"].as_f64().unwrap_or(0.0);
            println!("  pool {}: {} {score:.9}", text(&pool["name"]), text(&row["miner_hotkey"]));
        }
    }
    for row in list(paid, "shares") {
        let share = row["share"].as_f64().unwrap_or(0.0) * 100.0;
        println!("  share {share:.3} %: {}", text(&row["miner_hotkey"]));
    }
}

//! `leoma mesh`: what a running validator's mesh looks like.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct MeshArgs {
    /// Address of the running validator's HTTP server; LEOMA_HTTP_LISTEN where not given.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A validator that does not answer in this time is stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

impl MeshArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let address = match self.http {
            Some(address) => address,
            None => super::load(file, BTreeMap::new())?.http_listen.to_string(),
        };
        let unreachable =
            || format!("no validator answers at {address}: is `leoma serve` running, and LEOMA_HTTP_LISTEN the same?");
        let request = reqwest::Client::new().get(format!("http://{address}/status")).timeout(TIMEOUT);
        let status: Value = request.send().await.with_context(unreachable)?.json().await.with_context(unreachable)?;
        if self.json {
            let mut mesh = status["mesh"].clone();
            mesh["peers"] = status["peers"].clone();
            println!("{}", serde_json::to_string_pretty(&mesh)?);
        } else {
            print_mesh(&status);
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print_mesh(status: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mesh = &status["mesh"];
    println!("{} (uid {}), block {}", text(&status["hotkey"]), text(&status["uid"]), text(&status["head"]));
    for address in list(&mesh["listening"]) {
        println!("listening on {}", text(&address));
    }
    for peer in list(&status["peers"]) {
        let direction = if peer["outbound"] == Value::Bool(true) { "outbound" } else { "inbound" };
        let mutual = if peer["mutual"] == Value::Bool(true) { "mutual" } else { "one-sided" };
        println!(
            "peer {} (uid {}) {} {direction} {mutual}, {} ms, score {}, head {}, last task {}",
            text(&peer["hotkey"]),
            text(&peer["uid"]),
            text(&peer["address"]),
            text(&peer["rtt_ms"]),
            text(&peer["score"]),
            text(&peer["head"]),
            text(&peer["last_announcement"])
        );
    }
    for file in list(&mesh["files"]) {
        let attesters: usize = list(&file["attesters"]).iter().map(|pair| list(&pair[1]).len()).sum();
        let certified = if file["certified"].is_null() { "not certified" } else { "certified" };
        println!(
            "task {} of {}: {attesters} attesters, {certified}",
            text(&file["file"]["task_id"]),
            text(&file["file"]["producer"])
        );
    }
    for evidence in list(&mesh["evidence"]) {
        println!("signed twice: {} for task {}", text(&evidence["accused"]), text(&evidence["file"]["task_id"]));
    }
}

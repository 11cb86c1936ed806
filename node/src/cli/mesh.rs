//! `leoma mesh`: a running validator's peers, and the statements that validators signed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::print_json;
use crate::verdicts::report::SignedAgreement;

#[derive(Debug, Args)]
pub(super) struct MeshArgs {
    /// Address of the running validator's HTTP server; LEOMA_HTTP_LISTEN if not given.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<MeshCommand>,
}

#[derive(Debug, Subcommand)]
enum MeshCommand {
    /// Write the window's attestations and evidence, with their signatures, for `leoma audit
    /// --certificates`.
    Certificates {
        /// The file; standard output if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Longest wait for the validator's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

impl MeshArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let address = match self.http {
            Some(address) => address,
            None => super::settings::load(file, BTreeMap::new())?.machine.http_listen.to_string(),
        };
        if let Some(MeshCommand::Certificates { out }) = self.command {
            let signed: SignedAgreement =
                serde_json::from_value(ask(&address, "agreement").await?)?;
            let Some(path) = out else { return print_json(&signed) };
            std::fs::write(&path, serde_json::to_string_pretty(&signed)?)
                .with_context(|| path.display().to_string())?;
            println!(
                "{} attested digests, {} double signatures",
                signed.attestations.len(),
                signed.evidence.len()
            );
            return Ok(());
        }
        let status = ask(&address, "status").await?;
        if self.json {
            let mut mesh = status["mesh"].clone();
            mesh["peers"] = status["peers"].clone();
            print_json(&mesh)?;
        } else {
            print_mesh(&status);
        }
        Ok(())
    }
}

async fn ask(address: &str, page: &str) -> anyhow::Result<Value> {
    let unreachable = || {
        format!(
            "no validator answers at {address}: is `leoma serve` running, and LEOMA_HTTP_LISTEN the same?"
        )
    };
    let request = reqwest::Client::new().get(format!("http://{address}/{page}")).timeout(TIMEOUT);
    let answer = request.send().await.with_context(unreachable)?;
    if !answer.status().is_success() {
        let said = answer.text().await.with_context(unreachable)?;
        bail!("the validator at {address} does not show this now: {}", said.trim());
    }
    answer.json().await.with_context(unreachable)
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
    println!(
        "{} (uid {}), block {}",
        text(&status["hotkey"]),
        text(&status["uid"]),
        text(&status["head"])
    );
    match mesh["voice"].as_str() {
        Some("listening") => {
            println!("checking whether another machine runs this hotkey: nothing is signed yet")
        }
        Some("doubled") => println!("another machine runs this hotkey: nothing is signed"),
        _ => {}
    }
    for address in list(&mesh["listening"]) {
        println!("listening on {}", text(&address));
    }
    for peer in list(&status["peers"]) {
        let direction = if peer["outbound"] == Value::Bool(true) { "outbound" } else { "inbound" };
        let mutual = if peer["mutual"] == Value::Bool(true) { "mutual" } else { "one-sided" };
        println!(
            "peer {} (uid {}) {} {direction} {mutual}, {} ms, {} topics, score {}, head {}, last task {}",
            text(&peer["hotkey"]),
            text(&peer["uid"]),
            text(&peer["address"]),
            peer["rtt_ms"].as_f64().map_or("-".to_owned(), |time| format!("{time:.1}")),
            list(&peer["topics"]).len(),
            text(&peer["score"]),
            text(&peer["head"]),
            text(&peer["last_announcement"])
        );
    }
    for file in list(&mesh["files"]) {
        let attesters: usize =
            list(&file["attesters"]).iter().map(|pair| list(&pair[1]).len()).sum();
        let certified = if file["certified"].is_null() { "not certified" } else { "certified" };
        println!(
            "task {} of {}: {attesters} attesters, {certified}",
            text(&file["file"]["task_id"]),
            text(&file["file"]["producer"])
        );
    }
    for evidence in list(&mesh["evidence"]) {
        println!(
            "signed twice: {} for task {}",
            text(&evidence["accused"]),
            text(&evidence["file"]["task_id"])
        );
    }
}

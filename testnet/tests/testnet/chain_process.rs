//! `leoma-testnet chain` as a process: how it starts, dies and comes back.

use leoma_testnet::chain::GenesisConfig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use subxt::{OnlineClient, PolkadotConfig};

/// A chain that is killed with the test.
struct Chain {
    child: Child,
    url: String,
}

impl Drop for Chain {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Chain {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = command(dir, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    async fn client(&self) -> OnlineClient<PolkadotConfig> {
        OnlineClient::from_insecure_url(&self.url).await.unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
    command.arg("chain").arg("--dir").arg(dir).args(arguments);
    if !arguments.contains(&"--block-time") {
        command.args(["--block-time", "50"]);
    }
    command
}

fn fails(dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = command(dir, arguments).output().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

fn write_genesis(dir: &Path) -> String {
    let path = dir.join("genesis.json");
    std::fs::write(&path, serde_json::to_vec(&GenesisConfig::default()).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_killed_chain_comes_back_with_its_blocks_and_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("chain");
    let mut chain = Chain::start(&dir, &["--genesis", &write_genesis(folder.path())]);
    let endpoint: Value =
        serde_json::from_slice(&std::fs::read(dir.join("endpoint.json")).unwrap()).unwrap();
    assert_eq!(endpoint["url"], Value::String(chain.url.clone()));
    let client = chain.client().await;
    let mut blocks = client.stream_blocks().await.unwrap();
    let (number, hash) = loop {
        let block = blocks.next().await.unwrap().unwrap();
        if block.number() >= 5 {
            break (block.number(), block.hash());
        }
    };
    chain.signal(Signal::SIGKILL);
    chain.child.wait().unwrap();

    let mut chain = Chain::start(&dir, &[]);
    let client = chain.client().await;
    assert_eq!(client.at_block(number).await.unwrap().block_hash(), hash);
    let mut blocks = client.stream_blocks().await.unwrap();
    while blocks.next().await.unwrap().unwrap().number() <= number {}
    chain.signal(Signal::SIGTERM);
    assert!(chain.child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("chain");
    let error = fails(&dir, &[]);
    assert!(error.contains("a genesis is needed"), "{error}");

    let genesis = folder.path().join("broken.json");
    std::fs::write(&genesis, r#"{"subnets": [{"netuid": "one"}]}"#).unwrap();
    let error = fails(&dir, &["--genesis", genesis.to_str().unwrap()]);
    assert!(error.contains("broken.json") && error.contains("expected u16"), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = fails(&dir, &["--genesis", &write_genesis(folder.path()), "--port", &port]);
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn a_chain_without_a_clock_is_stepped_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, copy) = (folder.path().join("chain"), folder.path().join("copy"));
    let error = fails(&dir, &["--genesis", &write_genesis(folder.path()), "--block-time", "0"]);
    assert!(error.contains("needs --controls"), "{error}");

    let manual = ["--block-time", "0", "--controls", "--finality-lag", "2"];
    let chain =
        Chain::start(&dir, &[&manual[..], &["--genesis", &write_genesis(folder.path())]].concat());
    let heads = tool(&["step", "--url", &chain.url, "3"]);
    assert_eq!((&heads["best"]["number"], &heads["finalized"]["number"]), (&3.into(), &1.into()));
    let heads = tool(&["run-to", "--url", &chain.url, "300"]);
    assert_eq!(heads["best"]["number"], 300);
    let copied =
        tool(&["snapshot", "--dir", dir.to_str().unwrap(), "--to", copy.to_str().unwrap()]);
    assert_eq!(copied, heads, "a copy of a chain that runs");

    let second = Chain::start(&copy, &manual);
    let heads = tool(&["step", "--url", &second.url, "1"]);
    assert_eq!(heads["best"]["number"], 301);
    assert_eq!(chain.client().await.genesis_hash(), second.client().await.genesis_hash());
}

/// Runs a tool of the chain and returns the JSON it prints.
fn tool(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"));
    let Output { status, stdout, stderr } = command.arg("chain").args(arguments).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

#[test]
fn the_benchmark_runs_epochs_and_reports_memory() {
    let report = tool(&[
        "bench",
        "--epochs",
        "20",
        "--tempo",
        "2",
        "--neurons",
        "4",
        "--keep-states",
        "8",
        "--json",
    ]);
    let samples = report["samples"].as_array().unwrap();
    let (last, first) = (samples.last().unwrap(), &samples[0]);
    assert_eq!((&last["epoch"], &last["block"]), (&20.into(), &40.into()));
    assert!(
        last["resident_bytes"].as_u64() > Some(1 << 20) && last["epoch_ms"].as_f64() > Some(0.0),
        "{last}"
    );
    assert!(first["journal_bytes"].as_u64() < last["journal_bytes"].as_u64());
    // So few blocks say nothing about what a longer run takes.
    assert!(report["growth_bytes"].is_i64() && report["allowed_bytes"].is_null(), "{report}");
}

//! The Python SDK from PyPI against the local chain: it knows nothing of this project.
//!
//! The SDK is installed once into a virtual environment in the target's folder for temporary files.
//! Where Python, its `venv` or PyPI is missing, the test says so and passes.

use crate::chains::{Key, genesis};
use leoma_testnet::chain::{self, ChainConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// The release that the chain's names and types were checked with.
const SDK: &str = "bittensor==11.3.0";
/// Most time for making the environment; downloads on a slow line take minutes.
const INSTALLING: Duration = Duration::from_secs(900);
/// Most time for the script, which waits for a few blocks.
const RUNNING: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: run by ./test.sh --all"]
async fn the_python_sdk_reads_commits_and_sets_weights() {
    let python = match environment().await {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let block_time = Duration::from_millis(250);
    let chain = chain::spawn(ChainConfig {
        block_time,
        ..ChainConfig::new(folder.path().join("chain"), genesis())
    })
    .await
    .unwrap();
    let mut command = Command::new(python);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/bittensor_sdk.py");
    // Its caches and wallets stay out of the user's home.
    command.arg(script).args([&chain.ws_url, "7", "model one"]).env("HOME", folder.path());
    let Output { status, stdout, stderr } =
        bounded(command, RUNNING).await.expect("the script ends in time");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(report["spec_version"], node_subtensor_runtime::VERSION.spec_version);
    assert_eq!(report["committed"][0], true, "{report}");
    assert_eq!(report["weights_set"][0], true, "{report}");
    let hotkeys = ["owner", "first", "second", "miner", "other"]
        .map(|name| Key::new(name).account().to_string());
    assert_eq!(report["hotkeys"], json!(hotkeys));
    let commitments = report["commitments"].as_str().unwrap();
    assert!(
        commitments.contains(&hotkeys[3]) && commitments.contains("data='model one'"),
        "{commitments}"
    );
    let weights: Vec<f64> =
        ["3", "4"].map(|uid| report["weights"]["1"][uid].as_f64().unwrap()).to_vec();
    assert!((weights[0] - 2.0 * weights[1]).abs() < 0.001, "{weights:?}");
    assert_eq!(report["neurons"], 5, "{report}");
    chain.stop().await.unwrap();
}

/// The interpreter of an environment with the SDK in it, or why there is none.
async fn environment() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(SDK.replace("==", "-"));
    let python = folder.join("bin/python");
    let ready = folder.join("installed");
    if ready.exists() {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    step("making a Python environment", make).await?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK]);
    step("installing the SDK from PyPI", install).await?;
    std::fs::write(ready, SDK).map_err(|error| error.to_string())?;
    Ok(python)
}

async fn step(what: &str, command: Command) -> Result<(), String> {
    match bounded(command, INSTALLING).await {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// Runs a command and kills it where it takes longer.
async fn bounded(mut command: Command, patience: Duration) -> Result<Output, String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(patience, command.output()).await {
        Ok(output) => output.map_err(|error| error.to_string()),
        Err(_) => Err(format!("not done after {} seconds", patience.as_secs())),
    }
}

//! A rehearsal on a local subnet: everything but the transactions.

use std::process::Stdio;
use std::time::Duration;

use leoma_testnet::launch::{Options, Programs, Subnet};
use serde_json::Value;
use tokio::process::Command;

/// A turn and an epoch pass within this on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_rehearsal_samples_and_decides_and_sends_nothing() {
    let options =
        Options { validators: 3, miners: 2, seed: "rehearsal".into(), ..Options::default() };
    let mut subnet = Subnet::start(options, |text| eprintln!("{text}"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    // It has sent nothing in its first seconds: whatever is on chain later, the rehearsal sent.
    subnet.kill_validator(2);
    let folder = subnet.validator_folder(2).unwrap().to_owned();
    let mut program = Command::new(Programs::find().unwrap().leoma);
    program.args(["rehearse", "--turns", "1", "--epochs", "2", "--json"]).current_dir(&folder);
    for name in ["LOG_LEVEL", "NETWORK"] {
        program.env_remove(name);
    }
    program.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let rehearsal = tokio::time::timeout(LIMIT, program.output());
    let output = rehearsal.await.expect("the rehearsal ends by itself").unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|line| line["task"].is_u64()), "{lines:?}");
    let epochs: Vec<&Value> = lines.iter().filter(|line| line["epoch"].is_u64()).collect();
    // On a busy machine its turn may come after further epochs.
    assert!(epochs.len() >= 2, "{lines:?}");
    let would_set = |epoch: &&Value| epoch["weights"].as_array().is_some_and(|all| !all.is_empty());
    assert!(epochs.iter().any(would_set), "{lines:?}");

    let chain = leoma_chain::ChainClient::connect(
        &subnet.addresses.chain,
        leoma_protocol::Netuid(leoma_testnet::launch::NETUID),
    );
    let chain = chain.await.unwrap();
    let head = chain.head().await.unwrap();
    let hotkey = subnet.plan.validators[2].account.hotkey;
    let uid = chain.metagraph(head).await.unwrap().uid(&hotkey).unwrap();
    assert!(chain.weights(head, uid).await.unwrap().is_empty());
    subnet.stop().await;
}

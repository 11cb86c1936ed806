//! A whole subnet of real validators, one of which loses its power in the middle of the run and
//! comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use leoma::state::Books;
use leoma_protocol::{Digest, FileId};
use leoma_testnet::launch::{EPOCH_BLOCKS, Options, Programs, Subnet, View};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const VALIDATORS: usize = 3;
/// The one that is killed.
const VICTIM: usize = 1;
/// Milliseconds of a block: two cores keep up, also with other tests beside this one.
const BLOCK_TIME: u64 = 600;
/// Time for one epoch and what a busy machine adds to it.
const EPOCH_LIMIT: Duration = Duration::from_secs(420);
/// Peers find each other within this.
const MESH_LIMIT: Duration = Duration::from_secs(240);
/// What is on chain shows in an audit within this.
const AUDIT_LIMIT: Duration = Duration::from_secs(180);

/// What a validator has written down by now.
fn books(state: &Path) -> Books {
    Books::read(state).unwrap()
}

fn all_meet(view: &View) -> bool {
    view.validators.iter().all(|validator| {
        validator.status.ready && validator.status.peers as usize == VALIDATORS - 1
    })
}

/// As [`all_meet`], but a validator may have lost its last turn on a busy machine.
fn all_connected(view: &View) -> bool {
    view.validators.iter().all(|validator| validator.status.peers as usize == VALIDATORS - 1)
}

fn agreed_epochs(view: &View) -> Vec<u64> {
    view.agreement.as_ref().map(|agreement| agreement.epochs.clone()).unwrap_or_default()
}

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn a_killed_validator_comes_back_signs_nothing_twice_and_the_next_epoch_agrees() {
    let seed = "restart".into();
    let options = Options {
        validators: VALIDATORS,
        miners: 4,
        block_time: BLOCK_TIME,
        seed,
        ..Options::default()
    };
    let mut subnet = Subnet::start(options, |text| eprintln!("{text}"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    if let Err(error) = run(&mut subnet).await {
        let logs = subnet.folder().join("logs");
        let tails: Vec<String> = std::fs::read_dir(&logs)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|log| format!("== {}\n{}", log.display(), leoma_testnet::launch::last_lines(&log)))
            .collect();
        subnet.stop().await;
        panic!("{error}\n{}", tails.join("\n"));
    }
    subnet.stop().await;
}

async fn run(subnet: &mut Subnet) -> Result<(), Box<dyn std::error::Error>> {
    let states: Vec<_> = (0..VALIDATORS)
        .map(|index| subnet.validator_folder(index).unwrap().join("state"))
        .collect();
    subnet.wait_until(MESH_LIMIT, all_meet).await?;
    let own = subnet.plan.validators[VICTIM].account.hotkey;
    let is_own = |file: &FileId| file.producer == own;
    // Its peers know it by a file of its own: without one, its return would show little.
    let known = || books(&states[0]).files.keys().any(is_own);
    let before =
        subnet.wait_until(EPOCH_LIMIT, |view| !agreed_epochs(view).is_empty() && known()).await?;
    let first_epoch = *agreed_epochs(&before).last().unwrap();

    subnet.kill_validator(VICTIM);
    let signed_before = books(&states[VICTIM]).signed;
    assert!(
        !signed_before.is_empty(),
        "the validator had signed nothing yet: the test shows nothing"
    );
    let down_since = subnet.view().await.block;
    subnet.wait_until(MESH_LIMIT, |view| view.block >= down_since + EPOCH_BLOCKS / 9).await?;
    subnet.restart_validator(VICTIM)?;
    subnet.wait_until(MESH_LIMIT, all_connected).await?;

    let next = first_epoch + EPOCH_BLOCKS;
    let in_both = |view: &View| {
        let agreed = agreed_epochs(view);
        agreed.contains(&first_epoch) && agreed.contains(&next)
    };
    let after = subnet.wait_until(EPOCH_LIMIT, in_both).await?;
    let report = subnet.report(&after, 2);
    assert!(report.succeeded(), "{}", report.table());
    assert_eq!(
        report.validators[VICTIM].epochs.iter().filter(|epoch| epoch.epoch_block == next).count(),
        1
    );
    let folder = subnet.validator_folder(0).unwrap();
    for epoch in [first_epoch, next] {
        audit(folder, epoch).await?;
    }

    // Its first task after the return may outlast the epoch on a busy machine.
    let signs_again = |_: &View| books(&states[VICTIM]).signed.len() > signed_before.len();
    subnet
        .wait_until(EPOCH_LIMIT, signs_again)
        .await
        .map_err(|error| format!("it signs nothing any more: {error}"))?;
    let signed_after = books(&states[VICTIM]).signed;
    for (slot, digest) in &signed_before {
        assert_eq!(signed_after.get(slot), Some(digest), "{slot:?} was signed again");
    }
    // What its peers hold is what left it: one file for each of its tasks, and no evidence against
    // anybody.
    let mut seen: BTreeMap<FileId, BTreeSet<Digest>> = BTreeMap::new();
    for state in &states {
        let held = books(state);
        held.files
            .into_iter()
            .for_each(|(id, digests)| seen.entry(id).or_default().extend(digests));
        assert_eq!(held.evidence, BTreeSet::new(), "somebody holds evidence of two signatures");
    }
    assert!(seen.keys().any(is_own), "no file of the validator is known");
    for (id, digests) in seen {
        assert_eq!(digests.len(), 1, "two files for {id:?}");
    }
    Ok(())
}

/// What `leoma --json` prints in a validator's folder.
async fn leoma(folder: &Path, args: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let program = Programs::find()?.leoma;
    let ended = Command::new(program).args(args).arg("--json").current_dir(folder).output().await?;
    serde_json::from_slice(&ended.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&ended.stderr);
        format!("leoma {}: {error}\n{said}", args.join(" ")).into()
    })
}

/// The words in which an audit compares what each validator set.
fn compared(report: &Value) -> Vec<&str> {
    let rows = report["set"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["verdict"].as_str()).collect()
}

/// Audits an epoch from the chain and the mesh, and again from a file without a network.
async fn audit(folder: &Path, epoch: u64) -> Result<(), Box<dyn std::error::Error>> {
    let (block, file) = (epoch.to_string(), format!("epoch-{epoch}.json"));
    let deadline = Instant::now() + AUDIT_LIMIT;
    let online = loop {
        let report = leoma(folder, &["audit", "--epoch", &block]).await?;
        if compared(&report) == ["same"; VALIDATORS] {
            break report;
        }
        if Instant::now() > deadline {
            return Err(format!("epoch {epoch} by its audit: {report:#}").into());
        }
        sleep(Duration::from_secs(2)).await;
    };
    assert_eq!(online["decision"]["state"], "set", "{online:#}");
    let written = leoma(folder, &["audit", "snapshot", "--epoch", &block, "--out", &file]).await?;
    let replayed = leoma(folder, &["audit", "--snapshot", &file]).await?;
    assert_eq!(replayed["decision"], online["decision"]);
    assert_eq!(replayed["set"], online["set"]);
    assert_eq!(replayed["snapshot_sha256"], written["snapshot_sha256"]);
    Ok(())
}

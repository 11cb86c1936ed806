//! A whole subnet of real validators, one of which loses its power in the middle of the run and
//! comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use leoma::state::Books;
use leoma_protocol::{Digest, FileId};
use leoma_testnet::launch::{EPOCH_BLOCKS, Options, Subnet, View};

const VALIDATORS: usize = 3;
/// The one that is killed.
const VICTIM: usize = 1;
/// Milliseconds of a block: two cores keep up, also with other tests beside this one.
const BLOCK_TIME: u64 = 600;
/// Time for one epoch and what a busy machine adds to it.
const EPOCH_LIMIT: Duration = Duration::from_secs(420);
/// Peers find each other within this.
const MESH_LIMIT: Duration = Duration::from_secs(90);

/// What a validator has written down by now.
fn books(state: &Path) -> Books {
    Books::read(state).unwrap()
}

fn all_meet(view: &View) -> bool {
    view.validators.iter().all(|validator| {
        validator.status.ready && validator.status.peers as usize == VALIDATORS - 1
    })
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
    subnet.wait_until(MESH_LIMIT, all_meet).await?;

    let next = first_epoch + EPOCH_BLOCKS;
    let after = subnet
        .wait_until(EPOCH_LIMIT, |view| agreed_epochs(view).ends_with(&[first_epoch, next]))
        .await?;
    let report = subnet.report(&after, 2);
    assert!(report.succeeded(), "{}", report.table());
    assert_eq!(
        report.validators[VICTIM].epochs.iter().filter(|epoch| epoch.epoch_block == next).count(),
        1
    );

    // Its first task after the return may outlast the epoch on a busy machine.
    let signs_again = |_: &View| books(&states[VICTIM]).signed.len() > signed_before.len();
    subnet
        .wait_until(EPOCH_LIMIT, signs_again)
        .await
        .map_err(|error| format!("it signs nothing any more: {error}"))?;
    let signed_after = books(&states[VICTIM]).signed;
    for (slot, digest) in &signed_before {
        assert_eq!(signed_after.get(slot), Some(digest), "{slot:?} was signed anew");
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

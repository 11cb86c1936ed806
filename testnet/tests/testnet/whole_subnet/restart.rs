//! A whole subnet of real validators. One is stopped with SIGTERM in the middle of a task, another
//! one loses its power, and both come back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use leoma::state::Books;
use leoma_protocol::{Digest, FileId, SlotKind, TaskId};
use leoma_testnet::launch::{EPOCH_BLOCKS, Options, Programs, Subnet, View};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const VALIDATORS: usize = 3;
/// The one that is killed.
const VICTIM: usize = 1;
/// The one that is stopped, as a service manager stops it.
const STOPPED: usize = 2;
/// Milliseconds of a block: two cores keep up, also with other tests beside this one.
const BLOCK_TIME: u64 = 600;
/// Time for one epoch and what a busy machine adds to it.
const EPOCH_LIMIT: Duration = Duration::from_secs(420);
/// Peers find each other within this.
const MESH_LIMIT: Duration = Duration::from_secs(240);
/// What is on chain shows in an audit within this.
const AUDIT_LIMIT: Duration = Duration::from_secs(180);
/// A stop takes at most this: `leoma exit` waits no longer. Docker and systemd kill later.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// How often a task is looked for that has begun: its answers and their scores take seconds.
const POLL: Duration = Duration::from_millis(50);

/// What a validator has written down by now.
pub(super) fn books(state: &Path) -> Books {
    Books::read(state).unwrap()
}

/// The verdict files that a validator has signed.
pub(super) fn signed_files(books: &Books) -> BTreeMap<TaskId, Digest> {
    let files = books.signed.iter().filter(|((kind, ..), _)| kind == SlotKind::VerdictFile.name());
    files.map(|((_, task, _), digest)| (*task, *digest)).collect()
}

pub(super) fn assert_nothing_is_signed_again(before: &Books, after: &Books) {
    for (slot, digest) in &before.signed {
        assert_eq!(after.signed.get(slot), Some(digest), "{slot:?} was signed again");
    }
}

/// The tasks in a validator's hands for which miners were asked already.
fn asked(state: &Path) -> BTreeSet<TaskId> {
    let folders = std::fs::read_dir(state.join("tasks")).into_iter().flatten().flatten();
    let has_answers = |folder: &Path| {
        std::fs::read_dir(folder.join("answers")).is_ok_and(|mut answers| answers.next().is_some())
    };
    folders
        .map(|folder| folder.path())
        .filter(|folder| has_answers(folder))
        .filter_map(|folder| folder.file_name()?.to_str()?.parse().ok().map(TaskId))
        .collect()
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
async fn a_stopped_and_a_killed_validator_sign_nothing_twice_and_the_next_epoch_agrees() {
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
    // While the first epoch goes by, whose result is waited for below.
    let (interrupted, at_the_stop) = stop_in_a_task(subnet, &states[STOPPED]).await?;
    let own = subnet.plan.validators[VICTIM].account.hotkey;
    let is_own = |file: &FileId| file.producer == own;
    // Its peers know it by a file of its own: without one, its return would show little.
    let known = || books(&states[0]).files.keys().any(is_own);
    let before =
        subnet.wait_until(EPOCH_LIMIT, |view| !agreed_epochs(view).is_empty() && known()).await?;
    let first_epoch = *agreed_epochs(&before).last().unwrap();

    subnet.kill_validator(VICTIM);
    let at_the_kill = books(&states[VICTIM]);
    assert!(
        !at_the_kill.signed.is_empty(),
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
    let signs_again = |_: &View| books(&states[VICTIM]).signed.len() > at_the_kill.signed.len();
    subnet
        .wait_until(EPOCH_LIMIT, signs_again)
        .await
        .map_err(|error| format!("the killed one signs nothing any more: {error}"))?;
    assert_nothing_is_signed_again(&at_the_kill, &books(&states[VICTIM]));

    let newest = || signed_files(&books(&states[STOPPED])).into_keys().next_back();
    subnet
        .wait_until(EPOCH_LIMIT, |_| newest() > Some(interrupted))
        .await
        .map_err(|error| format!("the stopped one signs no file any more: {error}"))?;
    let held = books(&states[STOPPED]);
    assert_nothing_is_signed_again(&at_the_stop, &held);
    // It finished the task after its return, or gave it up: of neither is anything left to do.
    let file =
        FileId { task_id: interrupted, producer: subnet.plan.validators[STOPPED].account.hotkey };
    let is_finished = signed_files(&held).contains_key(&interrupted);
    assert_eq!(held.files.contains_key(&file), is_finished, "task {interrupted} is half done");
    assert!(!held.unpublished.contains(&interrupted), "task {interrupted} is not published");
    let folder = states[STOPPED].join("tasks").join(interrupted.to_string());
    assert!(!folder.exists(), "the files of task {interrupted} are left");

    // What they hold is what left each of them: one file for each of its tasks, and no evidence
    // against anybody.
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
    audit_all_scores(subnet, &states).await
}

/// Scores every answer of every task that is published again, from its sampler's bucket.
async fn audit_all_scores(
    subnet: &Subnet,
    states: &[PathBuf],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut scored = 0;
    for (index, state) in states.iter().enumerate() {
        let (held, own) = (books(state), subnet.plan.validators[index].account.hotkey);
        let folder = subnet.validator_folder(index).unwrap();
        let is_published =
            |file: &&FileId| file.producer == own && !held.unpublished.contains(&file.task_id);
        for file in held.files.keys().filter(is_published) {
            let task = file.task_id.to_string();
            let begun = Instant::now();
            let report = leoma(folder, &["audit", "--task", &task, "--scores"]).await?;
            eprintln!("task {task} of validator-{}: {:.1?}", index + 1, begun.elapsed());
            for step in ["task", "copies"] {
                assert_eq!(report[step]["outcome"], "match", "{report:#}");
            }
            for entry in report["entries"].as_array().ok_or("no entries")? {
                let has_no_answer = entry["detail"] == "there was no video to score";
                let outcome = entry["outcome"].as_str();
                let agrees = matches!(outcome, Some("match" | "boundary"));
                assert!(agrees || has_no_answer, "task {task}: {entry:#}");
                scored += usize::from(agrees);
            }
        }
    }
    // Each validator has made a file of more than one miner's answers.
    assert!(scored > states.len(), "{scored} answers were scored again");
    Ok(())
}

/// Stops a validator with SIGTERM while it samples, and starts it again. It ends by itself and in
/// time, and has signed nothing of the task. Returns the task, and what was written down by then.
async fn stop_in_a_task(
    subnet: &mut Subnet,
    state: &Path,
) -> Result<(TaskId, Books), Box<dyn std::error::Error>> {
    let earlier = asked(state);
    let deadline = Instant::now() + EPOCH_LIMIT;
    let task = loop {
        subnet.check()?;
        if let Some(task) = asked(state).difference(&earlier).next() {
            break *task;
        }
        if Instant::now() > deadline {
            return Err("the validator that is to be stopped samples nothing".into());
        }
        sleep(POLL).await;
    };
    let ended = subnet.terminate_validator(STOPPED, STOP_LIMIT).await?;
    let log = subnet.folder().join(format!("logs/validator-{}.log", STOPPED + 1));
    let said = std::fs::read_to_string(log)?;
    assert!(ended.is_some_and(|status| status.success()), "{ended:?} after SIGTERM");
    assert!(said.contains("task abandoned"), "it was not in the middle of task {task}");
    assert!(!said.contains("did not end in time"), "a loop did not end after SIGTERM");
    let written = books(state);
    assert!(!signed_files(&written).contains_key(&task), "task {task} was signed half done");
    subnet.restart_validator(STOPPED)?;
    Ok((task, written))
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

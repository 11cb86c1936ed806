//! What the tests of mechanisms with axons share: a validator that loses its power in the middle of
//! a task, and what `leoma` says in a validator's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leoma::state::Books;
use leoma_protocol::{Hotkey, TaskId};
use leoma_testnet::launch::{Programs, Subnet};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::restart::{assert_nothing_is_signed_again, books, signed_files};

/// A task begins within this, on a busy machine too.
const BEGIN_LIMIT: Duration = Duration::from_secs(300);
/// Whatever a killed validator still makes of its task is published within this: after every start
/// it signs nothing for 20 seconds, and peers attest to nothing that is later.
const FINISH_LIMIT: Duration = Duration::from_secs(30);
/// The same where a turn leaves the time: it starts, signs nothing for 20 seconds, asks again who
/// had said nothing, for 12 seconds of the oracle, and a busy machine adds as much.
const WHOLE_LIMIT: Duration = Duration::from_secs(90);
/// Its next task is published within this: a turn of every validator, and what a busy machine adds.
const NEXT_LIMIT: Duration = Duration::from_secs(180);
/// What is on chain shows in an audit within this.
const AUDIT_LIMIT: Duration = Duration::from_secs(60);
/// How often something is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A validator that was killed while it asked miners, and was started again.
#[derive(Debug)]
struct Killed {
    validator: usize,
    task: u64,
    /// What it had kept of the task: each miner's milliseconds.
    replies: BTreeMap<Hotkey, u64>,
    /// What it had written down.
    books: Books,
}

fn state_of(subnet: &Subnet, validator: usize) -> PathBuf {
    subnet.validator_folder(validator).unwrap().join("state")
}

/// The replies that a validator keeps of tasks under way: of each task and miner, the milliseconds.
fn kept(state: &Path) -> BTreeMap<(u64, Hotkey), u64> {
    let list = |folder: PathBuf| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
    };
    let mut replies = BTreeMap::new();
    for task in list(state.join("tasks")) {
        let Some(number) = task.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        for file in list(task.join("kept")) {
            let reply = std::fs::read(&file).ok();
            let reply = reply.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            let Some(reply) = reply else { continue };
            let miner: Hotkey = serde_json::from_value(reply["miner"].clone()).unwrap();
            replies.insert((number, miner), reply["took_ms"].as_u64().unwrap());
        }
    }
    replies
}

/// Those of one task.
fn kept_of(state: &Path, task: u64) -> BTreeMap<Hotkey, u64> {
    let of_task = kept(state).into_iter().filter(|((number, _), _)| *number == task);
    of_task.map(|((_, miner), took)| (miner, took)).collect()
}

/// Kills a validator that has so many replies of its newest task, `first` or a later one, and waits
/// for others. It is started again.
async fn kill_in_a_task(subnet: &mut Subnet, first: u64, some: Range<usize>) -> Killed {
    let states: Vec<PathBuf> =
        (0..subnet.plan.validators.len()).map(|index| state_of(subnet, index)).collect();
    let deadline = Instant::now() + BEGIN_LIMIT;
    loop {
        subnet.check().unwrap_or_else(|error| panic!("{error}"));
        for (validator, state) in states.iter().enumerate() {
            let newest = kept(state).keys().next_back().map(|(task, _)| *task);
            let is_under_way = |task: &u64| some.contains(&kept_of(state, *task).len());
            let Some(task) = newest.filter(|task| *task >= first).filter(is_under_way) else {
                continue;
            };
            subnet.kill_validator(validator);
            let (replies, books) = (kept_of(state, task), books(state));
            subnet.restart_validator(validator).unwrap();
            return Killed { validator, task, replies, books };
        }
        assert!(Instant::now() < deadline, "no validator asks anybody");
        sleep(POLL).await;
    }
}

/// Kills a validator that has so many replies and waits for others. It comes back and finishes the
/// task with so many entries, or it is too late for that and signs no file: nobody is asked again,
/// nothing that was signed is lost or signed twice, and its next task is whole. Returns its number.
pub(super) async fn kill_and_go_on(
    subnet: &mut Subnet,
    some: Range<usize>,
    entries: usize,
) -> usize {
    let killed = kill_in_a_task(subnet, 0, some).await;
    let file = killed.file(subnet, entries, FINISH_LIMIT).await;
    let made = if file.is_some() { "a file" } else { "no file" };
    eprintln!("validator-{} makes {made} of task {}", killed.validator + 1, killed.task);
    killed.goes_on(subnet, entries, NEXT_LIMIT).await;
    killed.validator
}

/// Kills a validator that has so many replies and waits for others, in a subnet whose turns are
/// long enough for what follows: it comes back, and publishes the task with so many entries. Nobody
/// is asked again who had replied.
pub(super) async fn kill_and_finish(subnet: &mut Subnet, some: Range<usize>, entries: usize) {
    // The first one may have been begun late, with little time left.
    let later = published_task(subnet).await + 1;
    let killed = kill_in_a_task(subnet, later, some).await;
    let file = killed.file(subnet, entries, WHOLE_LIMIT).await;
    let name = format!("validator-{}", killed.validator + 1);
    assert!(file.is_some(), "{name} makes no file of task {}", killed.task);
    let after = books(&state_of(subnet, killed.validator));
    assert_nothing_is_signed_again(&killed.books, &after);
    assert_eq!(after.evidence, BTreeSet::new(), "{name} holds evidence of two signatures");
}

fn bucket_of(subnet: &Subnet, validator: usize) -> PathBuf {
    let bucket = &subnet.plan.validators[validator].bucket.bucket;
    subnet.folder().join("storage/buckets").join(bucket)
}

/// The verdict file of a validator on a task, below the task's folder.
fn file_of(subnet: &Subnet, validator: usize) -> String {
    format!("evaluation_results/{}.json", subnet.plan.validators[validator].account.hotkey)
}

/// The published verdict file of a validator on a task.
fn published(subnet: &Subnet, validator: usize, task: u64) -> Option<Value> {
    let folder = bucket_of(subnet, validator).join(task.to_string());
    let file = std::fs::read(folder.join(file_of(subnet, validator))).ok()?;
    serde_json::from_slice(&file).ok()
}

/// The newest task that a validator has published.
pub(super) fn newest_task(subnet: &Subnet, validator: usize) -> Option<u64> {
    // The verdict file is uploaded last.
    let file = file_of(subnet, validator);
    let tasks = std::fs::read_dir(bucket_of(subnet, validator)).ok()?.flatten();
    let whole = tasks.filter(|task| task.path().join(&file).is_file());
    whole.filter_map(|task| task.file_name().to_str()?.parse().ok()).max()
}

/// Waits until a validator has published a task.
async fn published_task(subnet: &mut Subnet) -> u64 {
    let deadline = Instant::now() + BEGIN_LIMIT;
    loop {
        subnet.check().unwrap_or_else(|error| panic!("{error}"));
        let mut validators = 0..subnet.plan.validators.len();
        if let Some(task) = validators.find_map(|validator| newest_task(subnet, validator)) {
            return task;
        }
        assert!(Instant::now() < deadline, "no validator publishes anything");
        sleep(POLL).await;
    }
}

impl Killed {
    /// The file with so many entries that it publishes of the task, if it does within `limit`.
    /// Nobody is asked again who had replied: what was kept stays as it was, and the file says the
    /// same, to the millisecond.
    async fn file(&self, subnet: &Subnet, entries: usize, limit: Duration) -> Option<Value> {
        let state = state_of(subnet, self.validator);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            for (miner, took) in kept_of(&state, self.task) {
                let before = self.replies.get(&miner);
                assert!(before.is_none_or(|before| *before == took), "{miner} was asked again");
            }
            if let Some(file) = published(subnet, self.validator, self.task) {
                self.assert_repeated(&file, entries);
                return Some(file);
            }
            sleep(POLL).await;
        }
        None
    }

    fn assert_repeated(&self, file: &Value, entries: usize) {
        let found = file["data"].as_array().unwrap();
        assert_eq!(found.len(), entries);
        for (miner, took) in &self.replies {
            let entry = found.iter().find(|entry| entry["hotkey"] == miner.to_string());
            assert_eq!(entry.unwrap()["latency_ms"], *took, "{miner} was asked again");
        }
    }

    /// It publishes a later task with so many entries within `limit`. By then all that it had
    /// signed before is published, nothing was signed twice, and nothing of the task is half done.
    async fn goes_on(&self, subnet: &mut Subnet, entries: usize, limit: Duration) {
        let state = state_of(subnet, self.validator);
        let name = format!("validator-{}", self.validator + 1);
        let deadline = Instant::now() + limit;
        let later = loop {
            subnet.check().unwrap_or_else(|error| panic!("{error}"));
            let newest = newest_task(subnet, self.validator);
            if let Some(later) = newest.filter(|later| *later > self.task) {
                break later;
            }
            assert!(Instant::now() < deadline, "{name} publishes nothing after task {}", self.task);
            sleep(POLL).await;
        };
        let file = published(subnet, self.validator, later).unwrap();
        assert_eq!(file["data"].as_array().unwrap().len(), entries, "{name}, task {later}");

        let after = books(&state);
        assert_nothing_is_signed_again(&self.books, &after);
        assert_eq!(after.evidence, BTreeSet::new(), "{name} holds evidence of two signatures");
        let is_published = |task: u64| published(subnet, self.validator, task).is_some();
        for task in signed_files(&self.books).into_keys() {
            assert!(is_published(task.0), "{name} signed task {task}, and it is lost");
        }
        let is_signed = signed_files(&after).contains_key(&TaskId(self.task));
        assert_eq!(is_signed, is_published(self.task), "{name}: task {} is half done", self.task);
        let folder = state.join("tasks").join(self.task.to_string());
        assert!(!folder.exists(), "{name}: the files of task {} are left", self.task);
    }
}

/// What `leoma --json` prints in a validator's folder.
pub(super) async fn leoma(folder: &Path, args: &[&str]) -> Result<Value, String> {
    let program = Programs::find().unwrap().leoma;
    let mut command = Command::new(program);
    let ended = command.args(args).arg("--json").current_dir(folder).output().await.unwrap();
    serde_json::from_slice(&ended.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&ended.stderr);
        format!("leoma {}: {error}\n{said}", args.join(" "))
    })
}

/// The audit of an epoch whose weights come from a record, once it shows that every one of so many
/// validators has set them, and so many miners have a share.
pub(super) async fn audit_of(
    folder: &Path,
    epoch: u64,
    (validators, paid): (usize, usize),
) -> Value {
    let block = epoch.to_string();
    let deadline = Instant::now() + AUDIT_LIMIT;
    let report = loop {
        let report = leoma(folder, &["audit", "--epoch", &block]).await.unwrap();
        let rows = report["set"].as_array().into_iter().flatten();
        let words: Vec<&str> = rows.filter_map(|row| row["verdict"].as_str()).collect();
        if words == vec!["same"; validators] {
            break report;
        }
        assert!(Instant::now() < deadline, "epoch {epoch} by its audit: {report:#}");
        sleep(Duration::from_secs(2)).await;
    };
    assert_eq!(report["decision"]["reason"], "shared by the record's rule", "{report:#}");
    assert_eq!(report["paid"]["shares"].as_array().unwrap().len(), paid, "{report:#}");
    report
}

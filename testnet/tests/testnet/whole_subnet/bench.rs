//! One validator whose services are ordered to misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leoma_protocol::Hotkey;
use leoma_scoring::JudgeChoice;
use leoma_testnet::launch::{Options, Subnet, last_lines};
use leoma_testnet::miners::Role;
use leoma_testnet::services::{Counts, Fault, FaultKind, Service};
use leoma_testnet::storage::Fault as StorageFault;
use serde_json::Value;

pub(super) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
/// The statuses of a verdict file.
pub(super) type Entries = BTreeMap<Hotkey, String>;

/// Anything that is waited for comes within this, even on a busy machine. A validator that is alone
/// listens for a double for a minute before it signs anything.
pub(super) const LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(150);
/// Milliseconds of a block.
const BLOCK_TIME: u64 = 250;
/// Blocks that the validator may have seen before us.
const LAG: u64 = 2;
/// Settings that differ from those of other local subnets: faults are met at once.
const SETTINGS: [(&str, &str); 5] = [
    // A busy machine takes seconds for what is to be in time.
    ("REQUEST_TIMEOUT", "25"),
    ("COLD_START_PAUSE", "0"),
    ("MINER_VALIDATION_INTERVAL", "1"),
    ("CHUTE_CACHE_TTL", "0"),
    ("MODEL_HASH_CACHE_TTL", "0"),
];

/// A miner, as faults are aimed at it.
#[derive(Clone, Debug)]
pub(super) struct Miner {
    pub(super) hotkey: Hotkey,
    pub(super) slug: String,
    pub(super) chute_id: String,
    pub(super) model_name: String,
}

/// What the validator and the stand-ins say at a moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Checks of `/readyz` that fail, with their details.
    pub(super) failing: BTreeMap<String, String>,
    /// `leoma_own_faults_total` by check.
    pub(super) own_faults: BTreeMap<String, u64>,
    /// `valid`, `invalid: reason` or `unknown: reason`.
    pub(super) miners: BTreeMap<Hotkey, String>,
    counts: BTreeMap<String, Counts>,
}

impl Look {
    /// Faults that a stand-in has shown so far.
    pub(super) fn shown(&self, listener: &str) -> u64 {
        self.counts.get(listener).map_or(0, |counts| counts.faults)
    }
}

pub(super) fn fault(
    service: Service,
    target: Option<&str>,
    kind: FaultKind,
    delay_ms: u64,
) -> Fault {
    let target = target.map(str::to_owned);
    Fault { service, target, kind, count: None, delay_ms: Some(delay_ms) }
}

pub(super) struct Bench {
    subnet: Subnet,
    client: reqwest::Client,
    page: String,
    admin: String,
    interval: u64,
    /// The folder of our verdict files: `TASK/evaluation_results/OURS.json`.
    bucket: PathBuf,
    own: Hotkey,
    usual: Entries,
    /// Entries that a miner may have in one task only.
    odd: BTreeSet<(u64, Hotkey, String)>,
}

impl Bench {
    /// Starts a subnet of one validator and three miners, whose tasks have `interval` blocks.
    pub(super) async fn start(seed: &str, interval: u64) -> Self {
        let options = Options {
            validators: 1,
            miners: 3,
            block_time: BLOCK_TIME,
            interval,
            seed: seed.into(),
            judge: JudgeChoice::Both,
            ..Options::default()
        };
        let mut subnet = Subnet::start(options, |text| eprintln!("{text}"))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        // Once more, with settings for these tests.
        subnet.kill_validator(0);
        let env = subnet.validator_folder(0).unwrap().join(".env");
        let text = std::fs::read_to_string(&env).unwrap();
        let is_kept = |line: &&str| !SETTINGS.iter().any(|(name, _)| line.starts_with(name));
        let mut text: String =
            text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        text.extend(SETTINGS.map(|(name, value)| format!("{name}={value}\n")));
        std::fs::write(&env, text).unwrap();
        subnet.restart_validator(0).unwrap();
        let page = subnet.pages().next().map(str::to_owned).unwrap();
        let plan = &subnet.plan.validators[0];
        let (own, bucket) = (plan.account.hotkey, plan.bucket.bucket.clone());
        Self {
            client: reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap(),
            page,
            admin: subnet.addresses.services.admin.clone(),
            interval,
            bucket: subnet.folder().join("storage/buckets").join(bucket),
            own,
            usual: Entries::new(),
            odd: BTreeSet::new(),
            subnet,
        }
    }

    /// Stops everything; of a run that failed, with the validator's last words.
    pub(super) async fn end<T>(self, result: Result<T>) -> T {
        let log = self.subnet.folder().join("logs/validator-1.log");
        let said = if result.is_err() { last_lines(&log) } else { String::new() };
        self.subnet.stop().await;
        result.unwrap_or_else(|error| panic!("{error}\n{said}"))
    }

    /// The validator's state folder.
    pub(super) fn state(&self) -> PathBuf {
        self.subnet.validator_folder(0).unwrap().join("state")
    }

    /// Kills the validator and takes its state away but for its mesh key, and starts it again with
    /// everything as ordered.
    pub(super) fn restart_without_state(&mut self) -> Result<()> {
        self.subnet.kill_validator(0);
        for entry in std::fs::read_dir(self.state())? {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some("libp2p.key") => {}
                _ if path.is_dir() => std::fs::remove_dir_all(path)?,
                _ => std::fs::remove_file(path)?,
            }
        }
        Ok(self.subnet.restart_validator(0)?)
    }

    /// What `/readyz` says.
    pub(super) async fn readyz(&self) -> Result<String> {
        let url = format!("{}/readyz?verbose", self.page);
        Ok(self.client.get(url).send().await?.text().await?)
    }

    /// Our verdict files as they lie in the bucket.
    pub(super) fn published(&self) -> BTreeMap<u64, Vec<u8>> {
        let name = |task| format!("{task}/evaluation_results/{}.json", self.own);
        let tasks: Vec<u64> = self.files().into_keys().collect();
        tasks
            .into_iter()
            .filter_map(|task| Some((task, std::fs::read(self.bucket.join(name(task))).ok()?)))
            .collect()
    }

    /// Replaces the fault of the storage.
    pub(super) async fn order_of_storage(&self, fault: Option<&StorageFault>) -> Result<()> {
        let url = format!("{}/faults", self.subnet.addresses.storage_admin);
        self.client.delete(&url).send().await?.error_for_status()?;
        if let Some(fault) = fault {
            self.client.post(&url).json(fault).send().await?.error_for_status()?;
        }
        Ok(())
    }

    pub(super) fn miner(&self, role: Role) -> Miner {
        let plan = self.subnet.plan.miners.iter().find(|miner| miner.entry.role == role).unwrap();
        let entry = plan.entry.clone();
        let (hotkey, slug) = (plan.account.hotkey, entry.slug);
        Miner { hotkey, slug, chute_id: entry.chute_id, model_name: entry.model_name }
    }

    /// Replaces all standing orders.
    pub(super) async fn order(&self, faults: &[Fault]) -> Result<()> {
        let url = format!("{}/admin/faults", self.admin);
        self.client.delete(&url).send().await?.error_for_status()?;
        for fault in faults {
            self.client.post(&url).json(fault).send().await?.error_for_status()?;
        }
        Ok(())
    }

    pub(super) async fn look(&self) -> Result<Look> {
        let get = async |url: String| self.client.get(url).send().await?.text().await;
        let status: Value = serde_json::from_str(&get(format!("{}/status", self.page)).await?)?;
        let counts = get(format!("{}/admin/counts", self.admin)).await?;
        let metrics = get(format!("{}/metrics", self.page)).await?;
        let mut look = Look { counts: serde_json::from_str(&counts)?, ..Look::default() };
        for check in status["checks"].as_array().into_iter().flatten() {
            if check["ok"] == false {
                let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
                look.failing.insert(text("name"), text("detail"));
            }
        }
        for (hotkey, miner) in status["miners"]["miners"].as_object().into_iter().flatten() {
            let validity = &miner["validity"];
            let text = |name: &str| validity[name].as_str().unwrap_or_default();
            let state = match text("state") {
                "valid" => "valid".to_owned(),
                state => format!("{state}: {}", text("reason")),
            };
            look.miners.insert(hotkey.parse()?, state);
        }
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix("leoma_own_faults_total{check=\"") else { continue };
            if let Some((check, count)) = rest.split_once("\"} ") {
                look.own_faults.insert(check.to_owned(), count.trim().parse()?);
            }
        }
        Ok(look)
    }

    /// Looks until `done` is satisfied.
    pub(super) async fn wait_until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Look) -> bool,
    ) -> Result<Look> {
        let deadline = Instant::now() + LIMIT;
        loop {
            self.subnet.check()?;
            let look = self.look().await;
            match look {
                Ok(look) if done(&look) => return Ok(look),
                look if Instant::now() > deadline => {
                    return Err(format!("not in time: {what}; {look:?}").into());
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Our verdict files, by task.
    fn files(&self) -> BTreeMap<u64, Entries> {
        let tasks = std::fs::read_dir(&self.bucket).into_iter().flatten();
        tasks.filter_map(|task| self.file(task.ok()?.file_name().to_str()?.parse().ok()?)).collect()
    }

    fn file(&self, task: u64) -> Option<(u64, Entries)> {
        let name = format!("{task}/evaluation_results/{}.json", self.own);
        let text = std::fs::read(self.bucket.join(name)).ok()?;
        let file: Value = serde_json::from_slice(&text).ok()?;
        let entry = |entry: &Value| {
            let text = |name: &str| entry[name].as_str();
            Some((text("hotkey")?.parse().ok()?, text("status")?.to_owned()))
        };
        Some((task, file["data"].as_array()?.iter().filter_map(entry).collect()))
    }

    /// The newest task that may have begun.
    pub(super) fn current_task(&self) -> u64 {
        (self.subnet.block() + LAG) / self.interval
    }

    /// Waits for the file of a task that begins after this call.
    pub(super) async fn next_file(&mut self) -> Result<(u64, Entries)> {
        let current = self.current_task();
        let deadline = Instant::now() + LIMIT;
        loop {
            self.subnet.check()?;
            let newer = self.files().into_iter().find(|(task, _)| *task > current);
            match newer {
                Some(found) => return Ok(found),
                None if Instant::now() > deadline => {
                    return Err(format!("no file after task {current}").into());
                }
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Under this order a task has no file, and `/readyz` fails at `alarm` after `listener` showed
    /// the fault.
    pub(super) async fn expect_no_file(
        &mut self,
        order: Fault,
        listener: &str,
        alarm: &str,
    ) -> Result<()> {
        let raised = |look: &Look| look.own_faults.get(alarm).copied().unwrap_or(0);
        self.order(&[order]).await?;
        // What was asked before the order may still be signed; later tasks may not.
        let current = self.current_task();
        let before = self.look().await?;
        self.wait_until(&format!("alarm {alarm}"), |look| {
            look.failing.contains_key(alarm)
                && raised(look) > raised(&before)
                && look.shown(listener) > before.shown(listener)
        })
        .await?;
        let new: Vec<_> = self.files().into_iter().filter(|(task, _)| *task > current).collect();
        if new.is_empty() { Ok(()) } else { Err(format!("signed all the same: {new:?}").into()) }
    }

    pub(super) async fn until_all_are_valid(&mut self) -> Result<()> {
        let miners = self.subnet.plan.miners.len();
        self.wait_until("all miners are valid", |look| {
            look.miners.values().filter(|state| *state == "valid").count() == miners
        })
        .await?;
        Ok(())
    }

    /// What verdicts say of each miner while nothing is wrong.
    pub(super) async fn learn_what_is_usual(&mut self) -> Result<()> {
        let miners = self.subnet.plan.miners.len();
        self.until_all_are_valid().await?;
        self.wait_until("nothing is wrong", |look| look.failing.is_empty()).await?;
        let (task, usual) = self.next_file().await?;
        let good = self.miner(Role::Good).hotkey;
        if usual.len() != miners || usual.get(&good).map(String::as_str) != Some("passed") {
            return Err(format!("task {task} without faults: {usual:?}").into());
        }
        self.usual = usual;
        Ok(())
    }

    /// Whether a miner has the entry that it always has. What a worse video gets depends on the
    /// clip; a good one always passes.
    pub(super) fn is_usual(&self, miner: &Hotkey, status: Option<&String>) -> bool {
        let (Some(usual), Some(status)) = (self.usual.get(miner), status) else { return false };
        let is_grade = |status: &str| matches!(status, "passed" | "failed");
        let is_good = *miner == self.miner(Role::Good).hotkey;
        usual == status || (!is_good && is_grade(usual) && is_grade(status))
    }

    /// Notes that a miner may have the entry of its ordered fault, in tasks from `first` to the one
    /// that may begin before the order is replaced.
    pub(super) fn may_say(&mut self, first: u64, miner: Hotkey, status: &str) {
        let last = self.current_task() + 1;
        self.odd.extend((first..=last).map(|task| (task, miner, status.to_owned())));
    }

    /// All miners but `others` have the entry that they always have.
    pub(super) fn assert_usual(&self, entries: &Entries, others: &[Hotkey]) -> Result<()> {
        let odd = |(miner, _): &(&Hotkey, &String)| {
            !others.contains(miner) && !self.is_usual(miner, entries.get(miner))
        };
        match self.usual.iter().find(odd) {
            Some((miner, usual)) => {
                Err(format!("{miner} is {:?}, not {usual}", entries.get(miner)).into())
            }
            None => Ok(()),
        }
    }

    /// In the whole run, no miner had an entry that was neither usual nor ordered.
    pub(super) fn assert_that_nobody_else_failed(&self) -> Result<()> {
        let files = self.files();
        let entries = files.iter().flat_map(|(task, entries)| {
            entries.iter().map(|(miner, status)| (*task, *miner, status.clone()))
        });
        let odd = |entry: &(u64, Hotkey, String)| {
            !self.is_usual(&entry.1, Some(&entry.2)) && !self.odd.contains(entry)
        };
        let failed: Vec<_> = entries.filter(odd).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed too: {failed:?}").into()) }
    }
}

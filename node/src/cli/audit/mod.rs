//! `leoma audit`: recompute an epoch's winner and weights from public files, with no chain and no
//! mesh. `task.rs` checks the clip of one task.

mod task;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use leoma_protocol::messages::{Allowlists, Attestation, Context, EvidenceKey, SignatureCheck};
use leoma_protocol::verdict::{self, Expected};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Netuid, Network, TaskId, Uid,
};
use leoma_rotation::{
    Allowlist, AllowlistHistory, Attested, Certificates, Decision, EpochInputs, EpochSnapshot,
    Miner, Readable, Slot, TaskVerdicts, WindowRange, epoch,
};
use leoma_storage::{Bucket, BucketConfig, Key, Secret, TaskKey};
use serde::Deserialize;
use serde_json::{Value, json};

use self::task::{Given, TaskAuditArgs};
use crate::verdicts::report::{AttestedFile, SignedAgreement, outcome_json};

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// The allowlist file; where not given, the snapshot's own validators and interval.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["snapshot", "task"])]
    allowlist: Option<PathBuf>,
    /// The epoch's boundary; where not given, the snapshot's.
    #[arg(long, value_name = "BLOCK", required_unless_present_any = ["snapshot", "task"])]
    epoch_block: Option<BlockNumber>,
    /// The miners at that block, as JSON [{hotkey, uid, commit_block}]; where not given, the
    /// snapshot's.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["snapshot", "task"])]
    miners: Option<PathBuf>,
    /// Buckets to read: file:///folder/bucket, or http(s)://endpoint/bucket, with HOTKEY= before it
    /// to say whose it is.
    ///
    /// Keys for a bucket that is not public are read from AUDIT_ACCESS_KEY and AUDIT_SECRET_KEY.
    #[arg(long, value_name = "URL", num_args = 1.., conflicts_with = "snapshot", required_unless_present_any = ["snapshot", "task"])]
    buckets: Vec<BucketArg>,
    /// One file that holds everything: {validators, interval, epoch_block, files, miners},
    /// and if they are known owner_uid and last_winner.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Count files without an envelope, as the Python implementation writes them.
    #[arg(long)]
    allow_v1: bool,
    /// The subnet that files are bound to.
    #[arg(long, default_value = "99", env = "NETUID")]
    netuid: Netuid,
    /// The chain's genesis hash that files are bound to.
    #[arg(
        long,
        value_name = "HASH",
        default_value = "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03"
    )]
    genesis: Digest,
    /// What validators attested to, as `leoma mesh certificates` writes it, or as JSON [{task_id,
    /// producer, digest, attesters, signatures}]; without signatures it is taken on trust.
    #[arg(long, value_name = "FILE")]
    certificates: Option<PathBuf>,
    /// The subnet owner's uid at that block, on which weight is burned; it must be among the
    /// miners. Otherwise the snapshot's; without either it is unknown.
    #[arg(long, value_name = "UID")]
    burn_uid: Option<Uid>,
    /// The winner of the newest earlier epoch that had one: validators that read too little set
    /// their weights on it again. Otherwise the snapshot's.
    #[arg(long, value_name = "HOTKEY")]
    last_winner: Option<Hotkey>,
    #[command(flatten)]
    clip: TaskAuditArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Largest input file of an audit: a snapshot of a hundred full verdict files.
const MAX_INPUT_BYTES: u64 = 1 << 30;

#[derive(Clone, Debug)]
pub(super) struct BucketArg {
    owner: Option<Hotkey>,
    endpoint: String,
    bucket: String,
}

impl FromStr for BucketArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (owner, address) = match text.split_once('=') {
            Some((owner, address)) if !owner.contains(':') => {
                (Some(owner.parse::<Hotkey>().map_err(|error| error.to_string())?), address)
            }
            _ => (None, text),
        };
        let (endpoint, bucket) =
            address.trim_end_matches('/').rsplit_once('/').ok_or("not an address")?;
        if !["http://", "https://", "file://"].iter().any(|scheme| endpoint.starts_with(scheme))
            || bucket.is_empty()
        {
            return Err(
                "must be file:///folder/bucket, http://endpoint/bucket or https://endpoint/bucket"
                    .to_owned(),
            );
        }
        Ok(Self { owner, endpoint: endpoint.to_owned(), bucket: bucket.to_owned() })
    }
}

impl BucketArg {
    /// Opens the bucket with the keys of the environment.
    pub(super) fn open(&self) -> anyhow::Result<Bucket> {
        let key = |name| Secret::new(std::env::var(name).unwrap_or_default());
        let config = BucketConfig {
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone(),
            region: leoma_storage::DEFAULT_REGION.to_owned(),
            access_key: key("AUDIT_ACCESS_KEY"),
            secret_key: key("AUDIT_SECRET_KEY"),
        };
        Ok(config.open()?)
    }
}

#[derive(Deserialize)]
struct Snapshot {
    validators: Vec<Hotkey>,
    interval: u64,
    epoch_block: BlockNumber,
    files: BTreeMap<String, String>,
    miners: Vec<MinerRow>,
    #[serde(default)]
    owner_uid: Option<Uid>,
    #[serde(default)]
    last_winner: Option<Hotkey>,
}

#[derive(Deserialize)]
struct MinerRow {
    hotkey: Hotkey,
    uid: Uid,
    #[serde(default)]
    commit_block: Option<BlockNumber>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AgreementFile {
    Signed(SignedAgreement),
    Rows(Vec<AttestedFile>),
}

/// What was attested, as far as it is believed.
#[derive(Default)]
struct Believed {
    attested: Vec<Attested>,
    evidence: Vec<EvidenceKey>,
    /// Attestations without signatures.
    on_trust: usize,
}

/// A verdict file before it is checked.
struct Candidate {
    name: String,
    id: FileId,
    bytes: Vec<u8>,
}

/// A file that does not count.
struct Refused {
    name: String,
    reason: String,
}

/// The files that were read, before they are checked.
struct Found {
    candidates: Vec<Candidate>,
    refused: Vec<Refused>,
    readable: Readable,
}

struct Inputs {
    history: AllowlistHistory,
    snapshot: EpochSnapshot,
    found: Found,
    last_winner: Option<Hotkey>,
}

impl AuditArgs {
    pub(super) async fn run(self, config_file: Option<PathBuf>) -> anyhow::Result<()> {
        if let Some(task_id) = self.clip.task {
            let allowlist = self.allowlist.as_deref().map(read_allowlist).transpose()?;
            let network = Network { genesis: self.genesis, netuid: self.netuid };
            let given =
                Given { config_file, buckets: self.buckets, allowlist, network, json: self.json };
            return self.clip.run(task_id, given).await;
        }
        let params = ConsensusParams { accept_v1: self.allow_v1, ..ConsensusParams::default() };
        // The rules' digest in an envelope is that of the subnet, whatever this audit also accepts.
        let rules = ConsensusParams::default().digest();
        let Inputs { history, snapshot, found, last_winner } = self.inputs(&params).await?;
        let Found { candidates, mut refused, readable } = found;
        let network = Network { genesis: self.genesis, netuid: self.netuid };
        let mut files = Vec::new();
        for candidate in candidates {
            let expected =
                Expected { id: candidate.id, network, params: rules, accept_v1: self.allow_v1 };
            match verdict::verify(&candidate.bytes, &expected) {
                Ok(verified) => files.push(Arc::new(TaskVerdicts::from(&verified))),
                Err(reason) => {
                    refused.push(Refused { name: candidate.name, reason: reason.to_string() })
                }
            }
        }
        let agreement: Option<AgreementFile> =
            self.certificates.as_deref().map(read_json).transpose()?;
        let believed =
            agreement.map(|given| believe(given, network, &history, snapshot.block, &mut refused));
        let Believed { attested, evidence, on_trust } = believed.unwrap_or_default();
        let certificates = Certificates::count(&history, attested.iter().copied());
        // Who attests twice loses its votes, which the count above sees to; only a producer loses
        // its files.
        let guilty: Vec<FileId> =
            evidence.iter().filter(|key| key.as_producer).map(|key| key.file).collect();
        let (outcome, decision) = epoch(&EpochInputs {
            params: &params,
            history: &history,
            snapshot: &snapshot,
            files: &files,
            certificates: &certificates,
            evidence: &guilty,
            readable,
            last_winner,
        });
        refused.sort_by(|a, b| a.name.cmp(&b.name));
        let mut report = outcome_json(&outcome);
        if outcome.winner.is_none() {
            report["winner_uid"] = json!(snapshot.owner.map(|owner| owner.uid));
        }
        report["decision"] = decision_json(&decision);
        report["refused"] = refused
            .iter()
            .map(|file| json!({ "file": file.name, "reason": file.reason }))
            .collect();
        report["tasks"] = task_rows(&outcome.window, &files, &attested, &certificates);
        report["attestations_on_trust"] = json!(on_trust);
        report["evidence"] = json!(evidence);
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print_report(&report);
        }
        Ok(())
    }

    async fn inputs(&self, params: &ConsensusParams) -> anyhow::Result<Inputs> {
        let mut snapshot: Option<Snapshot> = self.snapshot.as_deref().map(read_json).transpose()?;
        let allowlist = match (&self.allowlist, &snapshot) {
            (Some(path), _) => read_allowlist(path)?,
            (None, Some(snapshot)) => {
                Allowlist::new(snapshot.interval, snapshot.validators.iter().copied())?
            }
            (None, None) => bail!("--allowlist is missing"),
        };
        let epoch_block =
            self.epoch_block.or(snapshot.as_ref().map(|snapshot| snapshot.epoch_block));
        let epoch_block = epoch_block.context("--epoch-block is missing")?;
        let miners: Vec<MinerRow> = match (&self.miners, &mut snapshot) {
            (Some(path), _) => read_json(path)?,
            (None, Some(snapshot)) => std::mem::take(&mut snapshot.miners),
            (None, None) => bail!("--miners is missing"),
        };
        let miners: Vec<Miner> = miners
            .into_iter()
            .map(|row| Miner { hotkey: row.hotkey, uid: row.uid, commit_block: row.commit_block })
            .collect();
        let owner_uid = self.burn_uid.or(snapshot.as_ref().and_then(|snapshot| snapshot.owner_uid));
        let owner = owner_uid.map(|uid| owner_slot(uid, &miners)).transpose()?;
        let last_winner =
            self.last_winner.or(snapshot.as_ref().and_then(|snapshot| snapshot.last_winner));
        let history = AllowlistHistory::since_genesis(allowlist);
        let found = match snapshot {
            Some(snapshot) => files_of(snapshot.files, &history, epoch_block),
            None => self.read_buckets(&history, params, epoch_block).await?,
        };
        let snapshot = EpochSnapshot { block: epoch_block, miners, owner };
        Ok(Inputs { history, snapshot, found, last_winner })
    }

    /// Reads the files of all tasks of the epoch's range. A validator is unreadable if each of its
    /// files that was looked for lies in no bucket of ours, or in one that cannot be read.
    async fn read_buckets(
        &self,
        history: &AllowlistHistory,
        params: &ConsensusParams,
        epoch_block: BlockNumber,
    ) -> anyhow::Result<Found> {
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        let mut was_read: BTreeMap<Hotkey, bool> = BTreeMap::new();
        let mut buckets = Vec::with_capacity(self.buckets.len());
        for bucket in &self.buckets {
            buckets.push((bucket, bucket.open()?));
        }
        let range = WindowRange::new(params, history, epoch_block);
        for id in range.scheduled_files().flatten() {
            let was_read = was_read.entry(id.producer).or_default();
            let may_hold = |(bucket, _): &&(&BucketArg, Bucket)| {
                bucket.owner.is_none_or(|owner| owner == id.producer)
            };
            for (bucket, opened) in buckets.iter().filter(may_hold) {
                let key = Key::from(TaskKey::verdict(id.task_id, id.producer));
                let name = format!("{}/{key}", bucket.bucket);
                match opened.get(&key, verdict::MAX_FILE_BYTES as u64).await {
                    Ok(None) => *was_read = true,
                    Ok(Some(bytes)) => {
                        *was_read = true;
                        candidates.push(Candidate { name, id, bytes: bytes.to_vec() });
                    }
                    Err(error) => refused.push(Refused { name, reason: error.to_string() }),
                }
            }
        }
        let listed = listed_at(history, epoch_block);
        let unreadable =
            listed.iter().filter(|hotkey| was_read.get(hotkey) == Some(&false)).count();
        let readable = Readable { readable: listed.len() - unreadable, listed: listed.len() };
        Ok(Found { candidates, refused, readable })
    }
}

fn listed_at(history: &AllowlistHistory, block: BlockNumber) -> &[Hotkey] {
    history.at_block(block).map_or(&[], |entry| entry.allowlist.validators())
}

fn owner_slot(uid: Uid, miners: &[Miner]) -> anyhow::Result<Slot> {
    let owner = miners.iter().find(|miner| miner.uid == uid);
    let owner =
        owner.with_context(|| format!("the owner's uid {uid} is not among the miners given"))?;
    Ok(Slot { hotkey: owner.hotkey, uid })
}

/// Names in a snapshot are `{bucket's validator}/{task}/evaluation_results/{validator}.json`.
/// Whoever made the snapshot could read every validator, as far as the snapshot tells.
fn files_of(
    files: BTreeMap<String, String>,
    history: &AllowlistHistory,
    epoch_block: BlockNumber,
) -> Found {
    let (mut candidates, mut refused) = (Vec::new(), Vec::new());
    for (name, text) in files {
        match place_of(&name) {
            Ok(id) => candidates.push(Candidate { name, id, bytes: text.into_bytes() }),
            Err(reason) => refused.push(Refused { name, reason: reason.to_owned() }),
        }
    }
    let listed = listed_at(history, epoch_block).len();
    Found { candidates, refused, readable: Readable { readable: listed, listed } }
}

fn place_of(name: &str) -> Result<FileId, &'static str> {
    let parts: Vec<&str> = name.split('/').collect();
    let [bucket, task, "evaluation_results", file] = parts[..] else {
        return Err("not named {bucket}/{task}/evaluation_results/{validator}.json");
    };
    let producer: Hotkey = bucket.parse().map_err(|_| "its bucket is not named by a hotkey")?;
    let validator: Hotkey = file
        .strip_suffix(".json")
        .and_then(|name| name.parse().ok())
        .ok_or("its name is not a hotkey and .json")?;
    if validator != producer {
        return Err("lies in another validator's bucket");
    }
    let task_id = task
        .parse::<TaskId>()
        .ok()
        .filter(|id| id.to_string() == task)
        .ok_or("its task is not a number")?;
    Ok(FileId { task_id, producer })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > MAX_INPUT_BYTES {
        bail!("{} has {size} bytes, more than {MAX_INPUT_BYTES}", path.display());
    }
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn read_allowlist(path: &Path) -> anyhow::Result<Allowlist> {
    Allowlist::parse(&read(path)?).with_context(|| path.display().to_string())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_slice(&read(path)?)
        .with_context(|| format!("{} has not the expected form", path.display()))
}

/// Sorts out which attestations and which evidence are to be believed; the rest joins `refused`,
/// with the reason.
fn believe(
    given: AgreementFile,
    network: Network,
    history: &AllowlistHistory,
    epoch_block: BlockNumber,
    refused: &mut Vec<Refused>,
) -> Believed {
    let (rows, evidence) = match given {
        AgreementFile::Signed(signed) => (signed.attestations, signed.evidence),
        AgreementFile::Rows(rows) => (rows, Vec::new()),
    };
    let mut allowlists = Allowlists::default();
    for entry in history.entries() {
        allowlists.set_from(entry.from_task, entry.allowlist.validators().iter().copied());
    }
    let signatures = SignatureCheck::default();
    let tasks = TaskId(0)..=TaskId(u64::MAX);
    let context = Context {
        network,
        allowlists: &allowlists,
        head: epoch_block,
        tasks,
        signatures: &signatures,
    };
    let mut believed = Believed::default();
    for row in rows {
        let name = format!("attestations to task {} of {}", row.task_id, row.producer);
        if row.signatures.is_empty() {
            let (file, digest) = (row.id(), row.digest);
            believed.on_trust += row.attesters.len();
            believed.attested.extend(row.attesters.iter().map(|attester| Attested {
                file,
                digest,
                attester: *attester,
            }));
            continue;
        }
        let Some(statements) = row.statements(network) else {
            let reason = "has not one well-formed signature for each attester".to_owned();
            refused.push(Refused { name, reason });
            continue;
        };
        for Attestation { file, digest, attester, .. } in
            statements.iter().filter(|one| match one.verify(&context) {
                Ok(()) => true,
                Err(reason) => {
                    refused.push(Refused {
                        name: name.clone(),
                        reason: format!("by {}: {reason}", one.attester),
                    });
                    false
                }
            })
        {
            believed.attested.push(Attested { file: *file, digest: *digest, attester: *attester });
        }
    }
    for evidence in evidence {
        let key = evidence.key();
        match evidence.verify(&context) {
            Ok(()) => believed.evidence.push(key),
            Err(reason) => {
                let name =
                    format!("evidence against {} for task {}", key.accused, key.file.task_id);
                refused.push(Refused { name, reason: reason.to_string() });
            }
        }
    }
    believed
}

/// For each task of the window: whose file counts, its digest, who attested, and whether it is
/// certified.
fn task_rows(
    window: &[FileId],
    files: &[Arc<TaskVerdicts>],
    attested: &[Attested],
    certificates: &Certificates,
) -> Value {
    let row = |id: &FileId| {
        let digest = certificates
            .get(id)
            .or_else(|| files.iter().find(|file| file.id == *id).map(|file| file.digest));
        let of_this =
            attested.iter().filter(|seen| seen.file == *id && Some(seen.digest) == digest);
        let attesters: Vec<Hotkey> = of_this.map(|seen| seen.attester).collect();
        json!({
            "task_id": id.task_id, "producer": id.producer, "digest": digest, "attesters": attesters,
            "certified": certificates.get(id).is_some(),
        })
    };
    window.iter().map(row).collect()
}

fn decision_json(decision: &Decision) -> Value {
    json!({
        "state": decision.state(), "reason": decision.reason().to_string(), "weights": decision.weights(),
    })
}

fn print_report(report: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (&report["winner_hotkey"], &report["winner_uid"]) {
        (Value::Null, Value::Null) => {
            println!("no miner is eligible: weight is burned on the owner's uid, which is unknown");
        }
        (Value::Null, uid) => println!("no miner is eligible: weight is burned on uid {uid}"),
        (winner, uid) => println!("winner {} (uid {uid})", text(winner)),
    }
    let decision = &report["decision"];
    match decision["weights"].as_array() {
        None => {
            println!("weights {}: none ({})", text(&decision["state"]), text(&decision["reason"]))
        }
        Some(entries) => {
            println!("weights {} ({}):", text(&decision["state"]), text(&decision["reason"]));
            for entry in entries {
                println!(
                    "  {} to uid {} ({})",
                    entry["share"],
                    entry["uid"],
                    text(&entry["hotkey"])
                );
            }
        }
    }
    let empty = Vec::new();
    let list = |name: &str| report[name].as_array().unwrap_or(&empty).clone();
    println!(
        "epoch block {}, {} tasks, {} active validators, {} needed for a miner",
        report["epoch_block"],
        list("window").len(),
        list("active_validators").len(),
        report["required_distinct"]
    );
    for row in list("ranks") {
        println!(
            "  {:>3}  {}  passed {:>4}  rate {:.4}  committed at {}",
            row["rank"],
            text(&row["miner_hotkey"]),
            row["passed_count"],
            row["pass_rate"].as_f64().unwrap_or(0.0),
            row["block"]
        );
    }
    for row in list("ineligible") {
        println!("    -  {}  {}", text(&row["miner_hotkey"]), text(&row["reason"]));
    }
    for row in list("tasks") {
        let certified =
            if row["certified"] == Value::Bool(true) { "certified" } else { "not certified" };
        println!(
            "task {}: {} {} ({} attesters, {certified})",
            row["task_id"],
            text(&row["producer"]),
            text(&row["digest"]),
            row["attesters"].as_array().map_or(0, Vec::len)
        );
    }
    for row in list("left_out") {
        println!(
            "left out: task {} of {}: {}",
            row["task_id"],
            text(&row["producer"]),
            text(&row["reason"])
        );
    }
    for row in list("evidence") {
        println!("signed twice: {} for task {}", text(&row["accused"]), row["file"]["task_id"]);
    }
    if report["attestations_on_trust"] != json!(0) {
        println!(
            "warning: {} attestations carry no signature and are taken on trust",
            report["attestations_on_trust"]
        );
    }
    for row in list("refused") {
        println!("refused: {}: {}", text(&row["file"]), text(&row["reason"]));
    }
}

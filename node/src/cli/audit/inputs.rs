//! What an audit recomputes an epoch from: files on disk, or buckets.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use leoma_protocol::{BlockNumber, ConsensusParams, FileId, Hotkey, TaskId, Uid, verdict};
use leoma_rotation::{
    Allowlist, AllowlistHistory, EpochSnapshot, Miner, Readable, Slot, WindowRange,
};
use leoma_storage::{Bucket, Key, TaskKey};
use serde::Deserialize;

use super::args::AuditArgs;
use super::buckets::BucketArg;

/// The largest input file of an audit: a snapshot of a hundred full verdict files.
const MAX_INPUT_BYTES: u64 = 1 << 30;

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

/// A verdict file before it is checked.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) id: FileId,
    pub(super) bytes: Vec<u8>,
}

/// A file that does not count.
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) reason: String,
}

/// The files that were read, before they are checked.
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    pub(super) refused: Vec<Refused>,
    /// Whose files could be read.
    pub(super) readable: Readable,
}

/// What an epoch is recomputed from, but for what was attested.
pub(super) struct Inputs {
    pub(super) history: AllowlistHistory,
    pub(super) snapshot: EpochSnapshot,
    pub(super) found: Found,
    pub(super) last_winner: Option<Hotkey>,
}

impl AuditArgs {
    pub(super) async fn inputs(&self, params: &ConsensusParams) -> anyhow::Result<Inputs> {
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

    /// Reads the files of all tasks of the epoch's range. A validator counts as unreadable if files
    /// of its were looked for, and neither one was found nor a bucket named as its own could be
    /// read.
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
                    // A bucket that nobody is named for may be another validator's.
                    Ok(None) => *was_read |= bucket.owner.is_some(),
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
        return Err("its name is not {bucket}/{task}/evaluation_results/{validator}.json");
    };
    let producer: Hotkey = bucket.parse().map_err(|_| "the name of its bucket is not a hotkey")?;
    let validator: Hotkey = file
        .strip_suffix(".json")
        .and_then(|name| name.parse().ok())
        .ok_or("its name is not a hotkey followed by .json")?;
    if validator != producer {
        return Err("it lies in another validator's bucket");
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

pub(super) fn read_allowlist(path: &Path) -> anyhow::Result<Allowlist> {
    Allowlist::parse(&read(path)?).with_context(|| path.display().to_string())
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_slice(&read(path)?).with_context(|| format!("{} is malformed", path.display()))
}

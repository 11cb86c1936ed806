//! The validator's state as HTTP shows it: `/readyz`, `/status` and metrics.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_chain::Metagraph;
use leoma_protocol::mesh::Voice;
use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, TaskId};
use leoma_rotation::{AllowlistHistory, WindowRange};
use leoma_scoring::worker::ScorerPool;
use leoma_web::{ReadyCheck, Source, Subnet};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::alarms::Alarms;
use crate::disk::free_bytes;
use crate::miners::MinerTable;
use crate::state::{EpochRecord, StateError};
use crate::verdicts::Exchange;
use crate::weights::witness_obstacle;

use super::open::Opened;
use super::shown::Shown;
use super::stopping::obstacle_to_stop;

/// The validator is not ready when the head is older than this: ten blocks of the live chain.
const HEAD_TOO_OLD: Duration = Duration::from_secs(120);
/// The validator is not ready when it has not read the subnet for this long and this many blocks: one
/// read may fail, and a chain with fast blocks moves on quickly.
const METAGRAPH_TOO_OLD: Duration = Duration::from_secs(180);
const METAGRAPH_OLD_BLOCKS: u64 = 20;
/// How long `/agreement` is not gathered again: it is megabytes, and the mesh waits while it is
/// copied.
const AGREEMENT_FRESH: Duration = Duration::from_secs(2);
/// Epochs that `/status` lists.
const LISTED_EPOCHS: u32 = 20;

/// What the HTTP server shows of a running validator.
#[derive(Debug)]
pub(super) struct StatusSource {
    pub(super) opened: Opened,
    pub(super) exchange: Exchange,
    /// When the newest block changed last.
    pub(super) head_moved: watch::Receiver<Instant>,
    /// `None` where this process does not validate miners.
    pub(super) miners: Option<watch::Receiver<Arc<MinerTable>>>,
    /// Whether this process sets weights, and so witnesses.
    pub(super) sets_weights: bool,
    /// Our own lasting faults.
    pub(super) alarms: Alarms,
    /// What pages and the API show.
    pub(super) shown: Arc<Shown>,
    /// As `MECHANISM` has it.
    pub(super) mechanism: String,
    /// The digest of its policy record; `None` for video's own rule.
    pub(super) policy: Option<Digest>,
    /// Every setting: name, value (never a secret's) and where it was found.
    pub(super) settings: Vec<[String; 3]>,
    /// The own bucket's name; `None` where this process has none.
    pub(super) bucket: Option<String>,
    pub(super) state_dir: PathBuf,
    /// The last `/agreement`, and when it was gathered.
    pub(super) agreement: tokio::sync::Mutex<Option<(Instant, String)>>,
}

impl StatusSource {
    /// Where files are kept: the state folder's disk and the buckets.
    fn places(&self) -> Vec<[String; 2]> {
        let fact = |name: &str, value: String| [name.to_owned(), value];
        let free = free_bytes(&self.state_dir)
            .map_or("free space unknown".to_owned(), |free| format!("{} GiB free", free >> 30));
        let buckets = &self.opened.buckets;
        let history = Arc::clone(&self.opened.subnet.allowlists.borrow());
        let listed = history.entries().last().map_or(&[][..], |entry| entry.allowlist.validators());
        let others = listed.iter().filter(|hotkey| **hotkey != self.opened.hotkey);
        let readable = others.clone().filter(|hotkey| buckets.peers.get(hotkey).is_some());
        let peers = format!("{} of {} known", readable.count(), others.count());
        vec![
            fact("State folder", format!("{}, {free}", self.state_dir.display())),
            fact("Own bucket", self.bucket.clone().unwrap_or_else(|| "none".to_owned())),
            fact("Source bucket", buckets.source.bucket().name().to_owned()),
            fact("Peers' buckets", peers),
        ]
    }
}

#[async_trait::async_trait]
impl Source for StatusSource {
    fn subnet(&self) -> Arc<dyn Subnet> {
        Arc::<Shown>::clone(&self.shown)
    }

    fn settings(&self) -> Vec<[String; 3]> {
        self.settings.clone()
    }

    fn machine(&self) -> Vec<[String; 2]> {
        let opened = &self.opened;
        let fact = |name: &str, value: String| [name.to_owned(), value];
        let ffmpeg = opened.scorer.as_ref().map(|scorer| scorer.ffmpeg().version_text());
        let mut facts = versions(ffmpeg);
        facts.push(fact("Hotkey", opened.hotkey.to_string()));
        let device = if opened.device.is_empty() { "none" } else { &opened.device };
        facts.push(fact("Device", device.to_owned()));
        if let Some(counts) = opened.scorer.as_ref().map(ScorerPool::counts) {
            let text = serde_json::to_string(&counts).unwrap_or_default();
            facts.push(fact("Scoring processes", text));
        }
        facts.extend(self.places());
        facts.extend(opened.chain.endpoints().iter().map(|endpoint| {
            let state = if endpoint.dropped { "dropped" } else { "in use" };
            fact("Chain node", format!("{}, {state}", endpoint.url))
        }));
        facts
    }

    fn readiness(&self) -> Vec<ReadyCheck> {
        let mut checks = vec![self.chain_check(), self.metagraph_check()];
        let mut check = |name, ok, detail| checks.push(ReadyCheck { name, ok, detail });
        let metagraph = Arc::clone(&self.opened.subnet.metagraph.borrow());
        let uid = metagraph.uid(&self.opened.hotkey);
        check(
            "registration",
            uid.is_some(),
            uid.map_or("not registered".to_owned(), |uid| format!("uid {uid}")),
        );
        let permit =
            metagraph.neuron(&self.opened.hotkey).is_some_and(|neuron| neuron.validator_permit);
        check(
            "permit",
            permit,
            if permit {
                "validator permit"
            } else {
                "no validator permit: weights will be refused"
            }
            .to_owned(),
        );
        let allowlists = Arc::clone(&self.opened.subnet.allowlists.borrow());
        let newest = allowlists.entries().last();
        check(
            "allowlist",
            newest.is_some(),
            newest.map_or("none yet".to_owned(), |entry| {
                format!("{} validators", entry.allowlist.validators().len())
            }),
        );
        let listed = newest.is_some_and(|entry| entry.allowlist.contains(&self.opened.hotkey));
        check(
            "membership",
            listed,
            if listed { "on the allowlist" } else { "not on the allowlist: ask the subnet owner" }
                .to_owned(),
        );
        let others = newest.map_or(0, |entry| {
            entry.allowlist.validators().len().saturating_sub(usize::from(listed))
        });
        let connected = self.exchange.connected().len();
        check("mesh", others == 0 || connected > 0, format!("{connected} of {others} peers"));
        let voice = self.exchange.voice();
        let detail = match voice {
            Voice::Listening => "listening for a double of this hotkey, nothing is signed yet",
            Voice::Alone => "only here",
            Voice::Doubled => "another machine runs this hotkey: stop one of the two",
        };
        check("identity", voice == Voice::Alone, detail.to_owned());
        if self.sets_weights {
            let obstacle = witness_obstacle(&metagraph, &self.opened.hotkey);
            let detail = obstacle.map_or("can be written".to_owned(), |why| why.to_string());
            check("witness", obstacle.is_none(), detail);
        }
        checks.extend(self.alarms.checks());
        checks
    }

    async fn metrics(&self) -> Result<String, std::fmt::Error> {
        if let Ok(status) = self.exchange.mesh().status().await {
            self.opened.telemetry.mesh.update(&status);
        }
        self.opened.telemetry.metrics.checked(&self.readiness());
        let mut body = String::new();
        prometheus_client::encoding::text::encode(&mut body, &self.opened.telemetry.registry)?;
        Ok(body)
    }

    async fn agreement(&self) -> Result<String, String> {
        // Whoever asks meanwhile waits, and gets the same answer.
        let mut last = self.agreement.lock().await;
        if let Some((gathered, body)) = &*last
            && gathered.elapsed() < AGREEMENT_FRESH
        {
            return Ok(body.clone());
        }
        let signed = self.exchange.signed().await.map_err(|error| error.to_string())?;
        let written = tokio::task::spawn_blocking(move || serde_json::to_string(&signed)).await;
        let written = written.map_err(|error| error.to_string())?;
        let body = written.map_err(|error| error.to_string())?;
        *last = Some((Instant::now(), body.clone()));
        Ok(body)
    }

    async fn verdict(&self, task_id: u64, producer: &str) -> Option<Vec<u8>> {
        let id = FileId { task_id: TaskId(task_id), producer: producer.parse().ok()? };
        // Of two files by one producer the certified one is what an auditor looks for.
        let history = Arc::clone(&self.opened.subnet.allowlists.borrow());
        let digest = self.exchange.certificates(&history).get(&id);
        let found = self.opened.state.on_disk(move |state| state.file(id, digest)).await;
        Some(found.ok()??.bytes)
    }

    async fn status(&self) -> Value {
        let metagraph = Arc::clone(&self.opened.subnet.metagraph.borrow());
        let allowlists = Arc::clone(&self.opened.subnet.allowlists.borrow());
        let mesh = match self.exchange.mesh().status().await {
            Ok(status) => serde_json::to_value(status).unwrap_or(Value::Null),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let hotkey = self.opened.hotkey;
        let read = self.opened.state.on_disk(move |state| {
            let epochs: Vec<Value> = state.epochs(LISTED_EPOCHS)?.iter().map(shown_epoch).collect();
            let witnesses = state.witnesses(LISTED_EPOCHS)?;
            Ok::<_, StateError>((epochs, witnesses, state.count_files(hotkey)?))
        });
        let (epochs, witnesses, sampled) = read.await.unwrap_or_default();
        let newest = allowlists.entries().last();
        let head = self.opened.heads.borrow().number;
        let obstacle = obstacle_to_stop(&self.opened, &allowlists, head, self.sets_weights);
        let stop = json!({ "safe": obstacle.is_none(), "obstacle": obstacle });
        let params = self.opened.consensus.at(head);
        let (current_task, settled_task) = tasks_at(params, &allowlists, head);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "stop": stop,
            "hotkey": self.opened.hotkey,
            "uid": metagraph.uid(&self.opened.hotkey),
            "network": self.opened.state.network(),
            "mechanism": self.mechanism,
            "policy": self.policy,
            "head": head,
            "epoch_blocks": params.epoch_blocks,
            "current_task": current_task,
            "settled_task": settled_task,
            "metagraph_block": metagraph.block,
            "subnet_owner": metagraph.owner,
            "chain_endpoints": self.opened.chain.endpoints(),
            "device": self.opened.device,
            "scoring": self.opened.scorer.as_ref().map(ScorerPool::counts),
            "listening_for_double": self.exchange.voice() == Voice::Listening,
            "ready": self.readiness().iter().all(|check| check.ok),
            "checks": self.readiness(),
            "peers": proven_peers(&mesh, &metagraph),
            "mesh": mesh,
            "tasks_sampled": sampled,
            "epochs": epochs,
            "witnesses": witnesses,
            "allowlist": newest.map(|entry| json!({
                "sha256": entry.allowlist.digest(), "interval": entry.allowlist.interval(),
                "validators": entry.allowlist.validators(), "committed_at": entry.committed_at, "from_task": entry.from_task,
            })),
            "miners": self.miners.as_ref().map(|miners| serde_json::to_value(&**miners.borrow()).unwrap_or(Value::Null)),
        })
    }
}

impl StatusSource {
    fn chain_check(&self) -> ReadyCheck {
        let age = self.head_moved.borrow().elapsed();
        let endpoints = self.opened.chain.endpoints();
        let usable =
            endpoints.iter().filter(|endpoint| endpoint.connected && !endpoint.dropped).count();
        let detail = format!(
            "block {}, {} s old; {usable} of {} endpoints in use",
            self.opened.heads.borrow().number,
            age.as_secs(),
            endpoints.len()
        );
        ReadyCheck { name: "chain", ok: age < HEAD_TOO_OLD, detail }
    }

    /// Whether the subnet is still read: weights and allowlists come from it.
    fn metagraph_check(&self) -> ReadyCheck {
        let subnet = &self.opened.subnet;
        let (head, block) = (self.opened.heads.borrow().number, subnet.metagraph.borrow().block);
        let reading = subnet.reading.borrow().clone();
        metagraph_check(head, block, reading.metagraph_read.elapsed(), &reading.error)
    }
}

/// What runs here: this program, and the ffmpeg that its scorer uses, where it has one.
fn versions(ffmpeg: Option<String>) -> Vec<[String; 2]> {
    let ours = ["Version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()];
    std::iter::once(ours).chain(ffmpeg.map(|version| ["ffmpeg".to_owned(), version])).collect()
}

/// The peers of the mesh's status that have shown their hotkey, each with its uid.
fn proven_peers(mesh: &Value, metagraph: &Metagraph) -> Vec<Value> {
    let with_uid = |peer: &Value| {
        let hotkey: Option<Hotkey> = peer["hotkey"].as_str().and_then(|text| text.parse().ok());
        let mut peer = peer.clone();
        peer["uid"] = json!(hotkey.and_then(|hotkey| metagraph.uid(&hotkey)));
        peer
    };
    let peers = mesh["peers"].as_array().map_or(&[][..], Vec::as_slice);
    peers.iter().filter(|peer| !peer["hotkey"].is_null()).map(with_uid).collect()
}

/// An epoch with the weights that were decided, which validators that agree have in common.
fn shown_epoch(epoch: &EpochRecord) -> Value {
    let mut shown = json!(epoch);
    shown["weights"] = json!(epoch.weights());
    shown
}

/// The task that runs at `head`, and the newest one that has settled: unless it is lost, its file
/// is certified by then.
fn tasks_at(
    params: &ConsensusParams,
    history: &AllowlistHistory,
    head: BlockNumber,
) -> (Option<TaskId>, Option<TaskId>) {
    let current = history.at_block(head).map(|entry| entry.allowlist.task_at(head));
    let mut settled = WindowRange::new(params, history, head).scheduled_files().flatten();
    (current, settled.next().map(|file| file.task_id))
}

/// Whether the metagraph of `block`, which was read `since` ago, is new enough at `head`. `error` is
/// why the last read failed, empty where it did not.
fn metagraph_check(
    head: BlockNumber,
    block: BlockNumber,
    since: Duration,
    error: &str,
) -> ReadyCheck {
    let age = head.0.saturating_sub(block.0);
    let ok = age <= METAGRAPH_OLD_BLOCKS || since < METAGRAPH_TOO_OLD;
    let mut detail = format!("of block {block}, {age} blocks old");
    if !error.is_empty() {
        detail.push_str(&format!("; {error}"));
    }
    ReadyCheck { name: "metagraph", ok, detail }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::Uid;
    use leoma_rotation::Allowlist;

    use super::*;
    use crate::state::EpochState;

    #[test]
    fn an_epoch_is_shown_with_the_weights_that_were_decided() {
        let hotkey = Hotkey::from_bytes([7; 32]);
        let entries = [(3, 655), (6, u16::MAX)]
            .map(|(uid, share)| json!({ "hotkey": hotkey, "uid": uid, "share": share }));
        let epoch = |outcome: Value| EpochRecord {
            epoch_block: BlockNumber(180),
            state: EpochState::Set,
            winner_hotkey: Some(hotkey),
            uid: Some(Uid(6)),
            reason: "set: won the window".to_owned(),
            outcome: outcome.to_string(),
        };
        let shown = shown_epoch(&epoch(json!({ "weights": entries, "window": [] })));
        assert_eq!(shown["weights"], json!([[3, 655], [6, 65535]]));
        assert_eq!((&shown["epoch_block"], &shown["uid"]), (&json!(180), &json!(6)));
        assert!(shown.get("outcome").is_none());
        for nothing in [json!({ "weights": null }), json!({})] {
            assert_eq!(shown_epoch(&epoch(nothing))["weights"], Value::Null);
        }
    }

    #[test]
    fn the_scorers_ffmpeg_is_shown_beside_the_programs_version() {
        let ffmpeg = ["ffmpeg", "5.1"].map(str::to_owned);
        assert_eq!(versions(Some("5.1".to_owned()))[1..], [ffmpeg]);
        assert_eq!(versions(None).len(), 1);
    }

    #[test]
    fn the_running_task_and_the_newest_settled_one_follow_from_the_head() {
        let allowlist = Allowlist::new(100, [Hotkey::from_bytes([1; 32])]).unwrap();
        let history = AllowlistHistory::since_genesis(allowlist);
        let at = |head| tasks_at(&ConsensusParams::default(), &history, BlockNumber(head));
        assert_eq!(at(1_250), (Some(TaskId(12)), Some(TaskId(10))));
        assert_eq!(at(150), (Some(TaskId(1)), None));
        let none = AllowlistHistory::default();
        let unknown = tasks_at(&ConsensusParams::default(), &none, BlockNumber(1_250));
        assert_eq!(unknown, (None, None));
    }

    #[test]
    fn a_metagraph_is_too_old_after_both_blocks_and_minutes() {
        let check = |age: u64, seconds, error| {
            let block = BlockNumber(1_000);
            let since = Duration::from_secs(seconds);
            metagraph_check(BlockNumber(block.0 + age), block, since, error)
        };
        for (age, seconds, ok) in [
            (0, 0, true),
            // The chain stands still, or its blocks are fast.
            (20, 10_000, true),
            (10_000, 179, true),
            (21, 180, false),
        ] {
            let found = check(age, seconds, "");
            assert_eq!((found.name, found.ok), ("metagraph", ok), "{age} blocks, {seconds} s");
            assert_eq!(found.detail, format!("of block 1000, {age} blocks old"));
        }
        let failed = check(50, 600, "no answer");
        assert!(!failed.ok);
        assert_eq!(failed.detail, "of block 1000, 50 blocks old; no answer");
        // A node that is behind the one that was read from.
        let behind = metagraph_check(BlockNumber(5), BlockNumber(9), Duration::ZERO, "");
        assert_eq!((behind.ok, behind.detail.as_str()), (true, "of block 9, 0 blocks old"));
    }
}

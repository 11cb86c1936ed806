//! The chain, the buckets and the posts that `leoma api` reads.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::join_all;
use leoma::board::StoredBoard;
use leoma::subnet::allowlists::publish;
use leoma_chain::{Call, ChainClient};
use leoma_protocol::{
    ConsensusParams, FileId, Hotkey, HotkeySigner, MemoryGuard, MinerCommitment, Netuid, Network,
    TaskId,
};
use leoma_rotation::{Allowlist, AllowlistHistory, WindowRange};
use leoma_storage::{Key as ObjectKey, OwnBucket, SourceBucket, TaskKey, TaskObject};
use leoma_testnet::chain::{ChainConfig, ChainHandle, GenesisConfig, SubnetGenesis};
use leoma_testnet::storage::{self, BucketKeys, Handle};
use leoma_web::{Blacklisted, Board as _, Report};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::contents::{CHUTE, INTERVAL, REVISION, draft, metadata, reported, sample};
use crate::chains::{self, Client, Key, NETUID};

const MINERS: usize = 256;
const VALIDATORS: usize = 16;
/// Tasks of a whole window.
pub(super) const WINDOW: usize = 100;
/// The tasks that `leoma api` looks at: the window, and half of it.
const TASKS: usize = 150;
/// Where the chain is when the store is full, just after an epoch's boundary.
pub(super) const HEAD: u32 = 1_810;
const BLOCK_TIME: Duration = Duration::from_secs(6);
/// How far chain time goes between two blocks that are made at once.
const STEP: Duration = Duration::from_secs(1);
/// Commitments between two blocks.
const BATCH: usize = 64;
/// The newest tasks that have videos, together more than is kept of them in memory.
pub(super) const WITH_VIDEOS: usize = 30;
/// About the size of a first frame, and of a miner's answer.
const FRAME_BYTES: usize = 512 * 1024;
const VIDEO_BYTES: usize = 2 * 1024 * 1024;

fn signer(name: &str) -> HotkeySigner {
    HotkeySigner::new(Key::new(name).0, Arc::new(MemoryGuard::default()))
}

fn names(kind: &str, number: usize) -> Vec<String> {
    (0..number).map(|index| format!("{kind}{index}")).collect()
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The slot of a miner: after the owner and the validators.
pub(super) fn uid_of(miner: usize) -> u16 {
    u16::try_from(1 + VALIDATORS + miner).unwrap()
}

/// A validator with its bucket.
struct Validator {
    signer: HotkeySigner,
    keys: BucketKeys,
}

impl Validator {
    /// Puts what it made of its tasks into its bucket.
    async fn fill(&self, store: &Store, tasks: &[(FileId, bool)]) {
        let bucket = self.keys.writer(store.storage.endpoint()).open().unwrap();
        let own = OwnBucket::new(bucket, self.signer.hotkey());
        for (id, has_videos) in tasks {
            let file =
                self.signer.sign_verdict_file(draft(store.network, *id, &store.miners)).unwrap();
            let _ = own.write_verdict(id.task_id, file.bytes.into()).await.unwrap();
            let mut objects =
                vec![(TaskObject::Metadata, metadata(store.network, *id, &store.miners))];
            if *has_videos {
                let zeros = |bytes| Bytes::from(vec![0_u8; bytes]);
                objects.push((TaskObject::FirstFrame, zeros(FRAME_BYTES)));
                objects.push((TaskObject::OriginalClip, zeros(VIDEO_BYTES)));
                objects.push((TaskObject::GeneratedVideo(store.miners[0]), zeros(VIDEO_BYTES)));
            }
            for (object, bytes) in objects {
                let key = ObjectKey::from(TaskKey::new(id.task_id, object));
                let _ = own.bucket().create(&key, bytes).await.unwrap();
            }
        }
    }
}

/// Everything that `leoma api` reads.
pub(super) struct Store {
    folder: tempfile::TempDir,
    pub(super) chain: ChainHandle,
    pub(super) storage: Handle,
    source: BucketKeys,
    network: Network,
    validators: Vec<Validator>,
    pub(super) miners: Vec<Hotkey>,
    pub(super) allowlist: Allowlist,
    /// The files of the tasks that are looked at, the newest task first.
    pub(super) files: Vec<FileId>,
}

impl Store {
    pub(super) async fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let miners = names("miner", MINERS);
        let (chain, production) = start_chain(&folder.path().join("chain"), &miners).await;
        let source = BucketKeys::generate("leoma-source");
        let validators: Vec<Validator> = names("validator", VALIDATORS)
            .iter()
            .map(|name| {
                let keys = BucketKeys::generate(&format!("leoma-{name}"));
                Validator { signer: signer(name), keys }
            })
            .collect();
        let buckets = validators.iter().map(|one| one.keys.clone()).chain([source.clone()]);
        let config = storage::Config::new(folder.path().join("storage"), buckets.collect());
        let storage = storage::spawn(config).await.unwrap();
        let listed = validators.iter().map(|one| one.signer.hotkey());
        let allowlist = Allowlist::new(INTERVAL, listed).unwrap();
        let bucket = SourceBucket::new(source.writer(storage.endpoint()).open().unwrap());
        let lookback = ConsensusParams::default().lookback_blocks;
        publish(&bucket, &production, &signer("owner"), &allowlist, lookback).await.unwrap();
        let files = looked_at(&production, &allowlist).await;
        let miners = miners.iter().map(|name| signer(name).hotkey()).collect();
        let network = production.network();
        let store =
            Self { folder, chain, storage, source, network, validators, miners, allowlist, files };
        store.fill_buckets().await;
        store.fill_board().await;
        store.run_to_head().await;
        store
    }

    async fn fill_buckets(&self) {
        let newest = self.files.iter().enumerate().map(|(n, id)| (*id, n < WITH_VIDEOS));
        let mut by_producer: BTreeMap<Hotkey, Vec<(FileId, bool)>> = BTreeMap::new();
        for (id, has_videos) in newest {
            by_producer.entry(id.producer).or_default().push((id, has_videos));
        }
        let filled = self.validators.iter().filter_map(|validator| {
            let tasks = by_producer.get(&validator.signer.hotkey())?;
            Some(validator.fill(self, tasks))
        });
        join_all(filled).await;
    }

    /// As if each validator had posted a whole window.
    async fn fill_board(&self) {
        let board = StoredBoard::open(&self.state()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        for validator in &self.validators {
            let hotkey = validator.signer.hotkey().to_string();
            let window = self.files.iter().take(WINDOW);
            let samples = window.flat_map(|id| self.miners.iter().map(|one| sample(*id, one)));
            board.add_samples(&hotkey, now, samples.collect()).await.unwrap();
            let miners =
                self.miners.iter().enumerate().map(|(n, one)| reported(uid_of(n), one)).collect();
            board.put_report(Report { validator: hotkey, at: now, miners }).await.unwrap();
        }
        let hotkey = self.miners[0].to_string();
        let listed = Blacklisted { hotkey, reason: None, added_by: None, created_at: None };
        board.blacklist_add(listed).await.unwrap();
    }

    async fn run_to_head(&self) {
        loop {
            let left = HEAD.saturating_sub(self.chain.best_number());
            if left == 0 {
                return;
            }
            self.chain.controls().step(left.min(100)).await.unwrap();
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `leoma api` with read keys of every bucket, and the address at which it has no limit on
    /// requests.
    pub(super) fn start_api(&self, program: &Path) -> (Child, String) {
        let address = free_address();
        let endpoint = self.storage.endpoint();
        let peer = |validator: &Validator| {
            json!({
                "hotkey": validator.signer.hotkey(), "bucket": validator.keys.bucket,
                "endpoint": endpoint, "region": "auto",
                "read_access_key": validator.keys.read.access,
                "read_secret_key": validator.keys.read.secret,
            })
        };
        let peers: Vec<Value> = self.validators.iter().map(peer).collect();
        let settings = [
            ("HOME", self.folder.path().display().to_string()),
            ("NETWORK", self.chain.ws_url.clone()),
            ("NETUID", NETUID.to_string()),
            ("R2_ENDPOINT", endpoint.to_owned()),
            ("R2_SOURCE_BUCKET", self.source.bucket.clone()),
            ("R2_VIDEOS_READ_ACCESS_KEY", self.source.read.access.clone()),
            ("R2_VIDEOS_READ_SECRET_KEY", self.source.read.secret.clone()),
            ("PEER_VALIDATORS", Value::from(peers).to_string()),
            ("LEOMA_LOCAL_NETWORK", "true".to_owned()),
            ("LEOMA_API_LISTEN", free_address()),
            ("LEOMA_HTTP_LISTEN", address.clone()),
            ("LEOMA_STATE_DIR", self.state().display().to_string()),
        ];
        let mut command = Command::new(program);
        command.arg("api").env_clear().envs(settings).current_dir(self.folder.path());
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        (child, format!("http://{address}"))
    }
}

/// A chain on which `owner` owns a subnet of these miners and of the validators, and every miner
/// has committed; and production's client of it.
async fn start_chain(folder: &Path, miners: &[String]) -> (ChainHandle, ChainClient) {
    let validators = names("validator", VALIDATORS);
    let staked = validators.iter().map(|name| (&name[..], 50));
    let others = miners.iter().map(|name| (&name[..], 0));
    let neurons: Vec<(&str, u64)> =
        [("owner", 0)].into_iter().chain(staked).chain(others).collect();
    let subnet = SubnetGenesis {
        max_allowed_uids: u16::try_from(neurons.len()).unwrap(),
        ..chains::subnet(360, &neurons)
    };
    let genesis = GenesisConfig { subnets: vec![subnet], ..chains::genesis() };
    let config = ChainConfig {
        block_time: BLOCK_TIME,
        step: Some(STEP),
        genesis: Some(genesis),
        ..chains::on_demand(folder)
    };
    let (chain, client, rpc) = chains::start(config).await;
    chain.controls().step(1).await.unwrap();
    for batch in miners.chunks(BATCH) {
        for name in batch {
            let transaction = commitment(&client, name).await;
            chains::submit(&rpc, &transaction).await.unwrap();
        }
        chain.controls().step(1).await.unwrap();
    }
    let production = ChainClient::connect(&chain.ws_url, Netuid(NETUID)).await.unwrap();
    let metagraph = production.metagraph(production.head().await.unwrap()).await.unwrap();
    assert_eq!(metagraph.commitments.len(), MINERS);
    (chain, production)
}

/// A miner's signed commitment.
async fn commitment(client: &Client, name: &str) -> String {
    let text = MinerCommitment {
        model_name: format!("{name}/leoma-{}", signer(name).hotkey()),
        model_revision: REVISION.to_owned(),
        chute_id: CHUTE.to_owned(),
    }
    .to_text();
    let call = Call::SetCommitment { text }.payload(Netuid(NETUID)).unwrap();
    chains::signed(client, &Key::new(name), &call, 0, 64).await
}

/// The first file of each task that is looked at from [`HEAD`], the newest task first.
async fn looked_at(production: &ChainClient, allowlist: &Allowlist) -> Vec<FileId> {
    let metagraph = production.metagraph(production.head().await.unwrap()).await.unwrap();
    let committed = metagraph.commitments[&signer("owner").hotkey()].block;
    let mut history = AllowlistHistory::default();
    history.commit(committed, allowlist.clone()).unwrap();
    let params = ConsensusParams::default();
    let settled = params.settles_at(INTERVAL, TaskId(u64::from(HEAD) / INTERVAL));
    let range = WindowRange::new(&params, &history, settled);
    let files: Vec<FileId> = range.scheduled_files().take(TASKS).map(|files| files[0]).collect();
    assert_eq!(files.len(), TASKS);
    files
}

//! `leoma api`: pages and API from the chain and from buckets, without a part in the mesh.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use leoma_chain::{ChainClient, Head};
use leoma_protocol::{BlockNumber, ConsensusSchedule, FileId, Hotkey, TaskId};
use leoma_rotation::{AllowlistHistory, WindowRange, attestation_deadline};
use leoma_storage::{EndpointPolicy, PeerBucket, PeerBuckets, SourceBucket};
use leoma_web::{Audience, ReadyCheck, Site, Source, Start, Subnet as ShownSubnet};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::shown::{Parts, Shown};
use super::supervise::STOP_WITHIN;
use crate::board::StoredBoard;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::state::{SentTransactions, State};
use crate::subnet::SubnetReader;
use crate::verdicts::Library;

/// How often buckets are asked for new files: a task takes minutes. No bucket is asked for longer
/// than this in one round.
const READ_EVERY: Duration = Duration::from_secs(30);
/// How long a file that was not there, and no longer counts if it still comes, is not asked for
/// again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// How many buckets are read at a time.
const BUCKETS_AT_ONCE: usize = 8;
/// The newest tasks, which are looked at and kept: the window, and half of it for those without a
/// file.
const LOOKED_AT: usize = 150;
/// The process is not ready when the head is older than this: ten blocks of the live chain.
const HEAD_TOO_OLD: Duration = Duration::from_secs(120);

/// Serves pages and API until `stop`.
///
/// # Errors
/// What kept it from starting, or a listener's error.
pub(crate) async fn serve_api(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let public = leoma_web::bind(config.api.alone(), "LEOMA_API_LISTEN").await?;
    let own = leoma_web::bind(config.machine.http_listen, "LEOMA_HTTP_LISTEN").await?;
    let (start, progress) = Start::new("connecting to the chain");
    let site = Site::new(progress, config.api.site(), stop.clone());
    let mut serving = JoinSet::new();
    serving.spawn(leoma_web::serve(public, site.clone(), Audience::Public));
    serving.spawn(leoma_web::serve(own, site, Audience::Operator));
    let opened = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = open(&config, &start, &stop) => opened?,
    };
    tracing::info!(listen = %config.api.alone(), "pages and API are served");
    start.finish(opened);
    drain(serving, &stop).await
}

/// Waits until both servers have ended, after `stop` no longer than a validator's loops get: a reader
/// that takes its time keeps its connection open.
async fn drain(
    mut serving: JoinSet<std::io::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let all = async {
        while let Some(ended) = serving.join_next().await {
            stop.cancel();
            ended??;
        }
        anyhow::Ok(())
    };
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        ended = all => ended,
        () = too_long => {
            tracing::warn!(seconds = STOP_WITHIN.as_secs(), "some readers did not end in time");
            Ok(())
        }
    }
}

async fn open(
    config: &Config,
    start: &Start,
    stop: &CancellationToken,
) -> anyhow::Result<AloneSource> {
    let board = Arc::new(StoredBoard::open(&config.machine.state_dir)?);
    let source = SourceBucket::new(config.buckets.need_readable_source()?.open()?);
    let static_peers = config.buckets.peers.peers.clone();
    if static_peers.is_empty() {
        tracing::warn!("PEER_VALIDATORS names no bucket: no task will be shown");
    }
    let policy = EndpointPolicy::for_peers(config.services.local_network);
    let peers = Arc::new(PeerBuckets::new(static_peers, policy)?);
    let log = Arc::new(SentTransactions::default());
    let urls = &config.chain.urls;
    let chain = ChainClient::connect_all(urls, config.index(), config.chain.genesis, log).await?;
    start.step("reading the subnet");
    let state = State::temporary(chain.network())?;
    let heads = chain.follow_heads(stop.clone()).await?;
    let (reader, history) = SubnetReader::new(chain.clone(), source, state.clone())?;
    let first = chain.metagraph(chain.head().await?).await?;
    let subnet = reader.start(first, history, heads.clone(), stop.clone());
    let consensus = Arc::new(config.mechanism.consensus());
    let allowlists = subnet.allowlists.clone();
    let library = Library::open(state.clone(), Arc::clone(&consensus), allowlists.clone())?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (moved, head_moved) = watch::channel(Instant::now());
    let (number, numbers) = watch::channel(heads.borrow().number.0);
    tokio::spawn(follow(heads.clone(), moved, number, metrics.clone(), stop.clone()));
    let reading = Reading {
        consensus: Arc::clone(&consensus),
        library: library.clone(),
        allowlists,
        peers: Arc::clone(&peers),
        heads: heads.clone(),
        missing: HashMap::new(),
    };
    tokio::spawn(reading.run(stop.clone()));
    let shown = Shown::new(Parts {
        hotkey: None,
        consensus,
        state: state.clone(),
        library,
        exchange: None,
        chain: chain.clone(),
        heads: heads.clone(),
        head_moved: head_moved.clone(),
        numbers,
        subnet,
        miners: None,
        own: None,
        peers,
        board,
        mechanism: config.mechanism.given.clone(),
        plug: config.mechanism.plug(),
        record: config.mechanism.paying(),
        sets_weights: false,
        scorer: None,
    });
    let settings = config.shown.clone();
    let telemetry = (metrics, registry);
    Ok(AloneSource { shown: Arc::new(shown), chain, state, heads, head_moved, telemetry, settings })
}

/// Passes each new head on.
async fn follow(
    mut heads: watch::Receiver<Head>,
    moved: watch::Sender<Instant>,
    number: watch::Sender<u64>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    loop {
        let head = heads.borrow_and_update().number;
        metrics.head_block.set(i64::try_from(head.0).unwrap_or(i64::MAX));
        moved.send_replace(Instant::now());
        number.send_replace(head.0);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = heads.changed() => if changed.is_err() { return },
        }
    }
}

/// Reads verdict files from the validators' buckets.
struct Reading {
    consensus: Arc<ConsensusSchedule>,
    library: Library,
    allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    peers: Arc<PeerBuckets>,
    heads: watch::Receiver<Head>,
    /// Files that are left alone for a while, and when they were asked for.
    missing: HashMap<FileId, Instant>,
}

/// A file that is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    id: FileId,
    /// Whether its producer may still be working on it.
    may_come: bool,
}

impl Reading {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.read() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(READ_EVERY) => {}
            }
        }
    }

    /// One round: the buckets beside each other, so that one that hangs holds up no other.
    async fn read(&mut self) {
        let history = Arc::clone(&self.allowlists.borrow());
        let head = self.heads.borrow().number;
        self.missing.retain(|_, asked| asked.elapsed() < ASK_AGAIN_AFTER);
        let mut reads = Vec::new();
        for (producer, files) in self.wanted(&history, head) {
            if let Some(peer) = self.peers.get(&producer) {
                reads.push(read_bucket(peer, files, self.library.clone()));
            }
        }
        let resting: Vec<Vec<FileId>> =
            stream::iter(reads).buffer_unordered(BUCKETS_AT_ONCE).collect().await;
        let now = Instant::now();
        self.missing.extend(resting.into_iter().flatten().map(|id| (id, now)));
        let oldest = self.looked_at(&history, head).flatten().map(|id| id.task_id).min();
        if let Some(Err(error)) = oldest.map(|oldest| self.library.prune_before(oldest)) {
            tracing::warn!(%error, "failed to forget old verdict files");
        }
    }

    /// The newest tasks, each with the files of its producers in their order. Files of older tasks
    /// are forgotten: after a restart they would not be read again.
    fn looked_at<'a>(
        &'a self,
        history: &'a AllowlistHistory,
        head: BlockNumber,
    ) -> impl Iterator<Item = Vec<FileId>> + use<'a> {
        let params = self.consensus.at(head);
        // The range of the block at which the running task settles ends with that task.
        let settled = history.at_block(head).map_or(head, |entry| {
            let list = &entry.allowlist;
            params.settles_at(list.interval(), list.task_at(head))
        });
        WindowRange::new(params, history, settled.max(head)).scheduled_files().take(LOOKED_AT)
    }

    /// What to ask each bucket for, the newest task first: of each task the files of its producers
    /// up to the first that is held.
    fn wanted(
        &self,
        history: &AllowlistHistory,
        head: BlockNumber,
    ) -> BTreeMap<Hotkey, Vec<Wanted>> {
        let mut wanted: BTreeMap<Hotkey, Vec<Wanted>> = BTreeMap::new();
        for producers in self.looked_at(history, head) {
            for id in producers {
                if self.library.holds(id) {
                    break;
                }
                if !self.missing.contains_key(&id) {
                    let may_come = may_come(&self.consensus, history, id.task_id, head);
                    wanted.entry(id.producer).or_default().push(Wanted { id, may_come });
                }
            }
        }
        wanted
    }
}

/// Whether a file of the task may still come at `head`: later nobody attests to it, so nobody signs
/// it.
fn may_come(
    consensus: &ConsensusSchedule,
    history: &AllowlistHistory,
    task_id: TaskId,
    head: BlockNumber,
) -> bool {
    let start = history.of_task(task_id).and_then(|entry| entry.allowlist.start_of(task_id));
    let params = start.map(|start| consensus.at(start));
    let deadline = params.and_then(|params| attestation_deadline(params, history, task_id));
    deadline.is_some_and(|deadline| head <= deadline)
}

/// Reads files from one bucket, and names those to leave alone for a while. A bucket that does not
/// answer, or takes long, is asked for the rest in the next round.
async fn read_bucket(peer: PeerBucket, files: Vec<Wanted>, library: Library) -> Vec<FileId> {
    let (begun, mut resting) = (Instant::now(), Vec::new());
    for Wanted { id, may_come } in files {
        if begun.elapsed() >= READ_EVERY {
            break;
        }
        match peer.verdict(id.task_id).await {
            Ok(Some(bytes)) => {
                if let Err(error) = library.take_in(id, &bytes, None) {
                    tracing::info!(%error, "a bucket's verdict file does not count");
                    resting.push(id);
                }
            }
            Ok(None) if may_come => {}
            Ok(None) => resting.push(id),
            Err(error) => {
                tracing::debug!(%error, "failed to read a verdict file");
                let answers = !error.is_transient();
                if answers || !may_come {
                    resting.push(id);
                }
                if !answers {
                    break;
                }
            }
        }
    }
    resting
}

/// What the operator of `leoma api` sees.
#[derive(Debug)]
struct AloneSource {
    shown: Arc<Shown>,
    chain: ChainClient,
    state: State,
    heads: watch::Receiver<Head>,
    head_moved: watch::Receiver<Instant>,
    telemetry: (Metrics, Registry),
    settings: Vec<[String; 3]>,
}

#[async_trait::async_trait]
impl Source for AloneSource {
    fn subnet(&self) -> Arc<dyn ShownSubnet> {
        Arc::<Shown>::clone(&self.shown)
    }

    fn readiness(&self) -> Vec<ReadyCheck> {
        let age = self.head_moved.borrow().elapsed();
        let detail = format!("block {}, {} s old", self.heads.borrow().number, age.as_secs());
        vec![ReadyCheck { name: "chain", ok: age < HEAD_TOO_OLD, detail }]
    }

    async fn metrics(&self) -> Result<String, std::fmt::Error> {
        let (metrics, registry) = &self.telemetry;
        metrics.checked(&self.readiness());
        let mut body = String::new();
        prometheus_client::encoding::text::encode(&mut body, registry)?;
        Ok(body)
    }

    async fn status(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "stop": { "safe": true, "obstacle": null },
            "head": self.heads.borrow().number,
            "chain_endpoints": self.chain.endpoints(),
            "ready": self.readiness().iter().all(|check| check.ok),
            "checks": self.readiness(),
        })
    }

    async fn agreement(&self) -> Result<String, String> {
        Err("`leoma api` has no part in the mesh: ask a validator".to_owned())
    }

    async fn verdict(&self, task_id: u64, producer: &str) -> Option<Vec<u8>> {
        let id = FileId { task_id: TaskId(task_id), producer: producer.parse().ok()? };
        let found = self.state.on_disk(move |state| state.file(id, None)).await;
        Some(found.ok()??.bytes)
    }

    fn settings(&self) -> Vec<[String; 3]> {
        self.settings.clone()
    }

    fn machine(&self) -> Vec<[String; 2]> {
        let fact = |name: &str, value: String| [name.to_owned(), value];
        let nodes = self.chain.endpoints().into_iter();
        std::iter::once(fact("Version", env!("CARGO_PKG_VERSION").to_owned()))
            .chain(nodes.map(|endpoint| fact("Chain node", endpoint.url)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::verdict::VerdictDraft;
    use leoma_protocol::{ConsensusParams, Digest, HotkeySigner, MemoryGuard, Netuid, Network};
    use leoma_rotation::Allowlist;
    use leoma_storage::{Bucket, BucketConfig, Key, Secret, TaskKey};
    use sp_core::{Pair as _, sr25519};

    use super::*;

    fn network() -> Network {
        Network { genesis: Digest::of(b"g"), netuid: Netuid(99) }
    }

    fn signer(seed: u8) -> HotkeySigner {
        HotkeySigner::new(sr25519::Pair::from_seed(&[seed; 32]), Arc::new(MemoryGuard::default()))
    }

    /// Puts the file of a task into its producer's bucket.
    async fn publish(signer: &HotkeySigner, task: u64, bucket: &Bucket) -> FileId {
        let draft = VerdictDraft {
            network: network(),
            task_id: TaskId(task),
            params: ConsensusParams::default().digest(),
            judge: "test".into(),
            block: BlockNumber(1),
            metadata_sha256: None,
            entries: vec![],
        };
        let file = signer.sign_verdict_file(draft).unwrap();
        let key: Key = TaskKey::verdict(TaskId(task), signer.hotkey()).into();
        let _ = bucket.create(&key, file.bytes.into()).await.unwrap();
        file.id
    }

    fn at(head: u64) -> watch::Receiver<Head> {
        watch::channel(Head { number: BlockNumber(head), hash: Digest::of(b"h") }).1
    }

    fn reading(head: u64, validators: impl IntoIterator<Item = (Hotkey, Bucket)>) -> Reading {
        let peers = PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap();
        let mut listed = Vec::new();
        for (hotkey, bucket) in validators {
            let _ = peers.insert(hotkey, bucket).unwrap();
            listed.push(hotkey);
        }
        let history = AllowlistHistory::since_genesis(Allowlist::new(100, listed).unwrap());
        let allowlists = watch::channel(Arc::new(history)).1;
        let consensus = Arc::new(ConsensusSchedule::from(ConsensusParams::default()));
        let state = State::in_memory(network()).unwrap();
        let library = Library::open(state, Arc::clone(&consensus), allowlists.clone()).unwrap();
        let (peers, heads, missing) = (Arc::new(peers), at(head), HashMap::new());
        Reading { consensus, library, allowlists, peers, heads, missing }
    }

    #[tokio::test]
    async fn a_file_is_asked_for_until_it_can_no_longer_come() {
        let (alice, bucket) = (signer(1), Bucket::in_memory("alice"));
        // Task 7 runs until block 800, and peers attest to its file until block 876; for task 5
        // they stopped at block 676.
        let mut reading = reading(750, [(alice.hotkey(), bucket.clone())]);
        reading.read().await;
        let over = publish(&alice, 5, &bucket).await;
        let running = publish(&alice, 7, &bucket).await;
        reading.read().await;
        assert!(reading.library.holds(running), "it came since");
        assert!(!reading.library.holds(over), "it rests");
        reading.missing.clear();
        reading.read().await;
        assert!(reading.library.holds(over));
        let history = Arc::clone(&reading.allowlists.borrow());
        let comes = |head| may_come(&reading.consensus, &history, TaskId(7), BlockNumber(head));
        assert!(comes(700) && comes(876) && !comes(877));
        let none = AllowlistHistory::default();
        assert!(!may_come(&reading.consensus, &none, TaskId(7), BlockNumber(700)));
    }

    #[tokio::test]
    async fn files_of_the_newest_tasks_are_kept_and_no_others() {
        let (alice, bucket) = (signer(1), Bucket::in_memory("alice"));
        let mut reading = reading(1_250, [(alice.hotkey(), bucket.clone())]);
        let old = publish(&alice, 10, &bucket).await;
        let kept = publish(&alice, 11, &bucket).await;
        reading.read().await;
        assert!(reading.library.holds(old) && reading.library.holds(kept));
        // Task 160 runs: with it, 150 tasks are looked at.
        reading.heads = at(16_050);
        reading.read().await;
        assert!(!reading.library.holds(old) && reading.library.holds(kept));
    }

    #[tokio::test]
    async fn a_bucket_that_hangs_holds_up_no_other() {
        // It takes connections and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let hangs = BucketConfig {
            endpoint: format!("http://{}", silent.local_addr().unwrap()),
            bucket: "leoma-hangs".to_owned(),
            region: "auto".to_owned(),
            access_key: Secret::new("a"),
            secret_key: Secret::new("b"),
        };
        let (alice, bucket) = (signer(1), Bucket::in_memory("alice"));
        let id = publish(&alice, 3, &bucket).await;
        let silent_one = (Hotkey::from_bytes([0; 32]), hangs.open().unwrap());
        let mut reading = reading(750, [silent_one, (alice.hotkey(), bucket)]);
        let library = reading.library.clone();
        let round = tokio::spawn(async move { reading.read().await });
        let held = async {
            while !library.holds(id) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), held).await.unwrap();
        assert!(!round.is_finished(), "the other one still has time to answer");
        round.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_its_time_does_not_hold_up_the_stop() {
        let mut serving = JoinSet::new();
        serving.spawn(std::future::pending());
        let stop = CancellationToken::new();
        let begun = tokio::time::Instant::now();
        stop.cancel();
        drain(serving, &stop).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), STOP_WITHIN.as_secs());
        // One that fails is an error, and stops the other.
        let mut serving = JoinSet::new();
        serving.spawn(async { Err(std::io::Error::other("no listener")) });
        let stop = CancellationToken::new();
        assert!(drain(serving, &stop).await.is_err() && stop.is_cancelled());
    }
}

//! Validators' parts in the agreement, in this process, on a chain of a few blocks a second: mesh,
//! files, witnesses and weights. They ask no miners, and know nobody's bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leoma::config::{Config, Sources};
use leoma::metrics::Metrics;
use leoma::state::{EpochRecord, EpochState, State, StoredFile};
use leoma::subnet::AllowlistsAt;
use leoma::verdicts::{Exchange, Library, restore};
use leoma::weights::{Held as _, HeldFiles, Spans, WeightSetter, Weights, Witnesses};
use leoma_chain::{ChainClient, Head};
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::metrics::Registry;
use leoma_protocol::mesh::{Mesh, MeshConfig, MeshEvent, MeshHandle, Timing};
use leoma_protocol::verdict::{EntryStatus, SignedVerdict, VerdictDraft, VerdictEntry};
use leoma_protocol::{
    BlockNumber, ConsensusSchedule, FileId, Hotkey, HotkeySigner, MemoryGuard, MinerCommitment,
    Netuid, TaskId, Uid,
};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{BucketConfig, EndpointPolicy, PeerBuckets, Secret, SourceBucket};
use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, GenesisConfig, NeuronGenesis, SubnetGenesis,
};
use sp_core::{Pair as _, sr25519};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const NETUID: u16 = 7;
/// An epoch of 180 blocks takes 45 s, and the 8 blocks of its witnesses 2 s.
const BLOCK_TIME: Duration = Duration::from_millis(250);
pub(super) const EPOCH_BLOCKS: u64 = 180;
pub(super) const INTERVAL: u64 = 20;
/// Intervals from a task's begin by which it has settled, with one to spare.
const SETTLED: u64 = 3;
/// Far longer than anything takes on an idle machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(150);
/// The two miners, in the order in which they commit.
pub(super) const MINERS: [&str; 2] = ["early miner", "late miner"];

pub(super) fn pair(name: &str) -> sr25519::Pair {
    sr25519::Pair::from_string(&format!("//{name}"), None).unwrap()
}

pub(super) fn hotkey(name: &str) -> Hotkey {
    pair(name).public().into()
}

fn signer(name: &str) -> HotkeySigner {
    HotkeySigner::new(pair(name), Arc::new(MemoryGuard::default()))
}

fn genesis(validators: &[&str]) -> GenesisConfig {
    let account = |name: &str| pair(name).public().0.into();
    let neuron = |name: &str, stake: u64| NeuronGenesis {
        hotkey: account(name),
        coldkey: account("coldkey"),
        stake,
        validator_permit: stake > 0,
    };
    let owner = [neuron("owner", 0)].into_iter();
    let validators = validators.iter().map(|name| neuron(name, 50));
    let neurons = owner.chain(validators).chain(MINERS.map(|name| neuron(name, 0)));
    let subnet =
        SubnetGenesis::new(NETUID, account("coldkey"), account("owner"), 360, neurons.collect());
    // Below the shortest epoch of these tests: with the usual hundred, weights of one epoch would
    // wait into the next.
    let subnet = SubnetGenesis { weights_rate_limit: 20, ..subnet };
    GenesisConfig { name: "test".to_owned(), subnets: vec![subnet], ..GenesisConfig::default() }
}

/// A chain with a subnet of some validators and two miners, and its owner's bucket.
pub(super) struct Network {
    pub(super) client: ChainClient,
    pub(super) list: Allowlist,
    folder: TempDir,
    chain: ChainHandle,
}

impl Network {
    pub(super) async fn start(validators: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let genesis = genesis(validators);
        let config =
            ChainConfig { block_time: BLOCK_TIME, ..ChainConfig::new(folder.path(), genesis) };
        let node = chain::spawn(config).await.unwrap();
        let client = ChainClient::connect(&node.ws_url, Netuid(NETUID)).await.unwrap();
        let list = Allowlist::new(INTERVAL, validators.iter().map(|name| hotkey(name))).unwrap();
        client.set_commitment(&signer("owner"), &list.commitment()).await.unwrap();
        for name in MINERS {
            let own = hotkey(name);
            let text = MinerCommitment {
                model_name: format!("team/leoma-{own}"),
                model_revision: "a".repeat(40),
                chute_id: "b9a1c3d4-1111-2222-3333-444455556666".to_owned(),
            };
            client.set_commitment(&signer(name), &text.to_text()).await.unwrap();
        }
        let published = folder.path().join("source/allowlist");
        std::fs::create_dir_all(&published).unwrap();
        std::fs::write(published.join("v1.json"), list.canonical_json()).unwrap();
        Self { client, list, folder, chain: node }
    }

    async fn connect(&self) -> ChainClient {
        ChainClient::connect(&self.chain.ws_url, Netuid(NETUID)).await.unwrap()
    }

    /// The folder of the owner's bucket.
    pub(super) fn source(&self) -> &Path {
        self.folder.path()
    }

    /// The next task, from `begun` on, whose first turn is this validator's.
    pub(super) fn turn_of(&self, name: &str, begun: u64) -> u64 {
        let listed = self.list.validators();
        let is_turn =
            |task: &u64| listed[usize::try_from(*task).unwrap() % listed.len()] == hotkey(name);
        (begun..).find(is_turn).unwrap()
    }

    /// The weights on chain of a validator.
    pub(super) async fn weights_of(&self, name: &str) -> Vec<(Uid, u16)> {
        let head = self.client.head().await.unwrap();
        let uid = self.client.metagraph(head).await.unwrap().uid(&hotkey(name)).unwrap();
        self.client.weights(head, uid).await.unwrap()
    }

    pub(super) async fn uid(&self, name: &str) -> Uid {
        let head = self.client.head().await.unwrap();
        self.client.metagraph(head).await.unwrap().uid(&hotkey(name)).unwrap()
    }
}

/// The first epoch of this many blocks in which a file of this task counts.
pub(super) fn epoch_after(task: u64, epoch_blocks: u64) -> BlockNumber {
    BlockNumber(((task + SETTLED) * INTERVAL).next_multiple_of(epoch_blocks))
}

/// The file of a task in which these miners passed and the others did not.
pub(super) fn draft(network: &Network, task: u64, passed: &[&str]) -> VerdictDraft {
    let block = BlockNumber(task * INTERVAL + 2);
    let entry = |name: &str| VerdictEntry {
        passed: passed.contains(&name),
        ..VerdictEntry::unusable(hotkey(name), EntryStatus::Failed, "test".into(), 1)
    };
    VerdictDraft {
        network: network.client.network(),
        task_id: TaskId(task),
        params: ConsensusSchedule::production().digest_at(block),
        judge: "test".into(),
        block,
        metadata_sha256: None,
        entries: MINERS.map(entry).into(),
    }
}

/// How to join the mesh under a hotkey.
fn mesh_config(
    network: &Network,
    signer: &HotkeySigner,
    bootnode: Option<Multiaddr>,
) -> MeshConfig {
    let lists = AllowlistHistory::since_genesis(network.list.clone()).task_lists();
    let mut config = MeshConfig::new(
        Keypair::generate_ed25519(),
        network.client.network(),
        Arc::new(ConsensusSchedule::production()),
        lists,
        signer.clone(),
    );
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
    config.bootnodes = bootnode.into_iter().collect();
    config.timing = Timing {
        tick: Duration::from_millis(50),
        beacon_interval: Duration::from_millis(500),
        redial_first: Duration::from_millis(200),
        redial_most: Duration::from_secs(1),
        ..Timing::default()
    };
    config
}

/// Tells a mesh of the chain's heads while it runs.
fn follow(mesh: &MeshHandle, heads: &watch::Receiver<Head>) {
    let (told, mut followed) = (mesh.clone(), heads.clone());
    tokio::spawn(async move {
        loop {
            let head = followed.borrow_and_update().number;
            if told.set_head(head).await.is_err() || followed.changed().await.is_err() {
                return;
            }
        }
    });
}

/// A node under a validator's hotkey with a guard of its own, which remembers nothing of what the
/// hotkey signed elsewhere.
pub(super) struct Double {
    pub(super) mesh: MeshHandle,
    pub(super) signer: HotkeySigner,
    _events: mpsc::Receiver<MeshEvent>,
}

impl Double {
    pub(super) async fn start(network: &Network, name: &str, bootnode: Multiaddr) -> Self {
        let signer = signer(name);
        let (mesh, _events) = Mesh::spawn(mesh_config(network, &signer, Some(bootnode))).unwrap();
        let heads = network.client.follow_heads(CancellationToken::new()).await.unwrap();
        follow(&mesh, &heads);
        Self { mesh, signer, _events }
    }

    /// Waits until it is connected with these.
    pub(super) async fn until_met(&self, names: &[&str]) {
        let mut holdings = self.mesh.holdings();
        let all = |names: &[&str], connected: &BTreeSet<Hotkey>| {
            names.iter().all(|name| connected.contains(&hotkey(name)))
        };
        let met = holdings.wait_for(|now| all(names, &now.connected));
        let _met = tokio::time::timeout(PATIENCE, met).await.expect("a connection").unwrap();
    }

    /// Signs a file, serves it, announces it and votes for it.
    pub(super) async fn tell(&self, draft: VerdictDraft) -> SignedVerdict {
        let network = draft.network;
        let file = self.signer.sign_verdict_file(draft).unwrap();
        self.mesh.provide_verdict(file.id, file.digest, file.bytes.clone()).await.unwrap();
        let announcement = self.signer.sign_announcement(network, &file).unwrap();
        self.mesh.announce(announcement).await.unwrap();
        self.mesh.attest(file.id, file.digest).await.unwrap();
        file
    }
}

/// What a validator is started with.
pub(super) struct Build {
    pub(super) state: State,
    pub(super) consensus: Arc<ConsensusSchedule>,
    pub(super) bootnode: Option<Multiaddr>,
}

/// A validator's part in the agreement.
pub(super) struct Validator {
    pub(super) agreement: Exchange,
    pub(super) state: State,
    library: Library,
    signer: HotkeySigner,
    chain: ChainClient,
    heads: watch::Receiver<Head>,
    allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    consensus: Arc<ConsensusSchedule>,
    /// Ends its parts, but for the mesh.
    pub(super) stop: CancellationToken,
    _keep: watch::Sender<Arc<AllowlistHistory>>,
}

impl Validator {
    pub(super) async fn start(network: &Network, name: &str, bootnode: Option<Multiaddr>) -> Self {
        let state = State::in_memory(network.client.network()).unwrap();
        let consensus = Arc::new(ConsensusSchedule::production());
        Self::start_with(network, name, Build { state, consensus, bootnode }).await
    }

    /// Starts with the state of an earlier run, or with other consensus parameters.
    pub(super) async fn start_with(network: &Network, name: &str, build: Build) -> Self {
        let Build { state, consensus, bootnode } = build;
        // A client sends one transaction at a time: each has its own, as processes do.
        let chain = network.connect().await;
        let signer = HotkeySigner::new(pair(name), Arc::new(state.clone()));
        let history = AllowlistHistory::since_genesis(network.list.clone());
        let (keep, allowlists) = watch::channel(Arc::new(history));
        let library =
            Library::open(state.clone(), Arc::clone(&consensus), allowlists.clone()).unwrap();
        let mut config = mesh_config(network, &signer, bootnode);
        config.consensus = Arc::clone(&consensus);
        config.head = network.client.head().await.unwrap().number;
        config.restored = restore(&state, TaskId(0)).unwrap();
        let (mesh, events) = Mesh::spawn(config).unwrap();
        let heads = chain.follow_heads(CancellationToken::new()).await.unwrap();
        follow(&mesh, &heads);
        let agreement = Exchange::new(
            mesh,
            signer.clone(),
            library.clone(),
            Arc::new(PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap()),
            state.clone(),
            Metrics::register(&mut Registry::default()),
            heads.clone(),
        );
        agreement.resume(TaskId(0)).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(agreement.clone().run(events, stop.clone()));
        Self {
            agreement,
            state,
            library,
            signer,
            chain,
            heads,
            allowlists,
            consensus,
            stop,
            _keep: keep,
        }
    }

    /// Ends it, and starts it again with its state and other consensus parameters.
    pub(super) async fn update(
        self,
        network: &Network,
        name: &str,
        consensus: &Arc<ConsensusSchedule>,
        bootnode: Multiaddr,
    ) -> Self {
        self.lose_the_mesh().await;
        self.stop.cancel();
        let (state, consensus) = (self.state.clone(), Arc::clone(consensus));
        Self::start_with(network, name, Build { state, consensus, bootnode: Some(bootnode) }).await
    }

    /// The mesh ends, the chain stays: as for a validator that is cut off from all others and their
    /// buckets.
    pub(super) async fn lose_the_mesh(&self) {
        self.agreement.mesh().shutdown().await;
    }

    pub(super) async fn address(&self) -> Multiaddr {
        let listening = self.agreement.mesh().status().await.unwrap().listening;
        let tcp = listening.iter().find(|address| address.as_str().contains("/tcp/")).unwrap();
        tcp.as_str().parse().unwrap()
    }

    pub(super) async fn until_block(&self, block: u64) {
        let mut heads = self.heads.clone();
        heads.wait_for(|head| head.number.0 >= block).await.unwrap();
    }

    /// Signs and announces the file of a task, in the middle of its time.
    pub(super) async fn produce(&self, draft: VerdictDraft) -> FileId {
        self.until_block(draft.block.0).await;
        let signed = self.signer.sign_verdict_file(draft).unwrap();
        let (id, digest, bytes) = (signed.id, signed.digest, signed.bytes.clone());
        self.library.take_in_own(&StoredFile { id, digest, bytes }).unwrap();
        self.agreement.announce(&signed).await;
        id
    }

    /// The next task to begin.
    pub(super) fn next_task(&self) -> u64 {
        self.heads.borrow().number.0 / INTERVAL + 1
    }

    /// Waits until it holds a file with its certificate.
    pub(super) async fn until_certified(&self, file: FileId) {
        let certified = async {
            while !self.holds_with_certificate(file) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, certified).await.expect("a certificate");
    }

    fn held(&self) -> HeldFiles {
        HeldFiles { library: self.library.clone(), agreement: self.agreement.clone() }
    }

    pub(super) fn holds_with_certificate(&self, file: FileId) -> bool {
        let history = Arc::clone(&self.allowlists.borrow());
        self.held().files(&history).contains(&file)
    }

    fn spans(&self) -> Spans {
        Spans { consensus: Arc::clone(&self.consensus), allowlists: self.allowlists.clone() }
    }

    pub(super) fn witness(&self) {
        let witnesses = Witnesses {
            chain: self.chain.clone(),
            signer: self.signer.clone(),
            spans: self.spans(),
            held: Arc::new(self.held()),
            state: self.state.clone(),
            metrics: Metrics::register(&mut Registry::default()),
        };
        tokio::spawn(witnesses.run(self.heads.clone(), self.stop.clone()));
    }

    pub(super) fn set_weights(&self, source: &Path) {
        let config = Config::load(&Sources::default()).unwrap();
        let weights = Weights {
            chain: self.chain.clone(),
            signer: self.signer.clone(),
            state: self.state.clone(),
            beacon: config.chain.beacon,
            spans: self.spans(),
            metrics: Metrics::register(&mut Registry::default()),
        };
        let bucket = BucketConfig {
            endpoint: format!("file://{}", source.display()),
            bucket: "source".to_owned(),
            region: leoma_storage::DEFAULT_REGION.to_owned(),
            access_key: Secret::new(String::new()),
            secret_key: Secret::new(String::new()),
        };
        let setter = WeightSetter {
            weights,
            consensus: Arc::clone(&self.consensus),
            record: None,
            library: self.library.clone(),
            agreement: self.agreement.clone(),
            allowlists: self.allowlists.clone(),
            allowlists_at: AllowlistsAt {
                source: SourceBucket::new(bucket.open().unwrap()),
                network: self.chain.network(),
                known_of: None,
            },
        };
        tokio::spawn(setter.run(self.heads.clone(), self.stop.clone()));
    }

    async fn until_recorded(
        &self,
        what: &str,
        is_it: impl Fn(&EpochRecord) -> bool,
    ) -> EpochRecord {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let epochs = self.state.epochs(8).unwrap();
            if let Some(record) = epochs.into_iter().find(|record| is_it(record)) {
                return record;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until it has tried to decide an epoch, and set nothing for want of a file.
    pub(super) async fn until_abstained(&self, epoch: BlockNumber) {
        let record =
            self.until_recorded("the first try", |record| record.epoch_block == epoch).await;
        assert_eq!(record.state, EpochState::Abstained, "{record:?}");
        assert_eq!(record.reason, "abstain: 1 files that count are missing");
        assert!(self.last_update().await < epoch);
    }

    /// Waits until it has set an epoch's weights; returns the heaviest slot.
    pub(super) async fn until_set(&self, epoch: BlockNumber) -> Uid {
        let is_set =
            |record: &EpochRecord| record.epoch_block == epoch && record.state == EpochState::Set;
        let uid = self.until_recorded("the weights", is_set).await.uid;
        assert!(self.last_update().await > epoch);
        uid.unwrap()
    }

    /// The epochs from `from` on whose weights it has set, with their heaviest slots.
    pub(super) fn set_epochs(&self, from: BlockNumber) -> BTreeMap<BlockNumber, Uid> {
        let epochs = self.state.epochs(16).unwrap().into_iter();
        let set = epochs
            .filter(|record| record.epoch_block >= from && record.state == EpochState::Set)
            .filter_map(|record| Some((record.epoch_block, record.uid?)));
        set.collect()
    }

    /// The block of its last weights.
    async fn last_update(&self) -> BlockNumber {
        let metagraph = self.chain.metagraph(self.chain.head().await.unwrap()).await.unwrap();
        metagraph.neuron(&self.signer.hotkey()).unwrap().last_update
    }
}

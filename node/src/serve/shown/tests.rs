//! What validators say, and show, of a producer that passes its friend's bad video: their real
//! judges score it, and their real mesh counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use leoma_chain::{Head, Metagraph};
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{FileView, Mesh, MeshConfig, Timing};
use leoma_protocol::messages::{DisputeReason, TaskList};
use leoma_protocol::verdict::verify;
use leoma_protocol::{
    BlockNumber, ConsensusSchedule, Digest, FileId, Hotkey, HotkeySigner, TaskId,
};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{Bucket, EndpointPolicy, PeerBuckets, SourceBucket};
use leoma_web::testing::MemorySource;
use leoma_web::view::OwnFaults;
use leoma_web::{Audience, Site, SiteSettings, Start};
use prometheus_client::registry::Registry;
use sp_core::{Pair as _, sr25519};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::snapshot::Inputs;
use super::verdict::{Texts, shown};
use crate::metrics::Metrics;
use crate::rescoring::fixture::{INTERVAL, World, hotkey, network, params, signer};
use crate::state::State;
use crate::verdicts::{Exchange, Library, Plausible, Rescorer, Waiting};

/// Both tasks are open for attestations at this head.
const HEAD: u64 = 10_000;
const FAIR: TaskId = TaskId(97);
const FALSE: TaskId = TaskId(98);
/// Time of a block. A check waits for the next one, and has half of some thousands.
const BLOCK_TIME: Duration = Duration::from_millis(300);
/// Far longer than the scores of eight small videos take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The three validators of the list; the first one produces.
fn listed() -> Vec<Hotkey> {
    (1..=3).map(|number| signer(number).hotkey()).collect()
}

fn history() -> AllowlistHistory {
    AllowlistHistory::since_genesis(Allowlist::new(INTERVAL, listed()).unwrap())
}

fn file_of(task_id: TaskId) -> FileId {
    FileId { task_id, producer: listed()[0] }
}

/// A chain that makes blocks.
fn heads() -> watch::Receiver<Head> {
    let head =
        |block: u64| Head { number: BlockNumber(block), hash: Digest::of(&block.to_be_bytes()) };
    let (heads, followed) = watch::channel(head(HEAD));
    tokio::spawn(async move {
        for block in HEAD + 1.. {
            tokio::time::sleep(BLOCK_TIME).await;
            if heads.send(head(block)).is_err() {
                return;
            }
        }
    });
    followed
}

fn mesh_config(
    signer: &HotkeySigner,
    consensus: &Arc<ConsensusSchedule>,
    bootnode: Option<Multiaddr>,
) -> MeshConfig {
    let lists = vec![TaskList { from: TaskId(0), interval: INTERVAL, validators: listed() }];
    let (key, consensus) = (Keypair::generate_ed25519(), Arc::clone(consensus));
    let mut config = MeshConfig::new(key, network(), consensus, lists, signer.clone());
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
    config.bootnodes = bootnode.into_iter().collect();
    config.head = BlockNumber(HEAD);
    config.timing = Timing {
        tick: Duration::from_millis(50),
        beacon_interval: Duration::from_millis(500),
        beacon_gap: Duration::from_millis(100),
        link_grace: Duration::from_secs(5),
        redial_first: Duration::from_millis(200),
        redial_most: Duration::from_secs(2),
        catchup_pause: Duration::from_millis(500),
        ..Timing::default()
    };
    config
}

/// A validator that scores others' entries again.
struct Validator {
    hotkey: Hotkey,
    agreement: Exchange,
    state: State,
    library: Library,
}

impl Validator {
    /// `bucket` is the producer's.
    async fn start(
        number: u8,
        (world, bucket): (&World, &Bucket),
        heads: &watch::Receiver<Head>,
        bootnode: Option<Multiaddr>,
    ) -> Self {
        let state = State::in_memory(network()).unwrap();
        let pair = sr25519::Pair::from_seed(&[number; 32]);
        let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
        let hotkey = signer.hotkey();
        let consensus = Arc::new(ConsensusSchedule::from(params()));
        let (_, allowlists) = watch::channel(Arc::new(history()));
        let library = Library::open(state.clone(), Arc::clone(&consensus), allowlists).unwrap();
        let (mesh, events) = Mesh::spawn(mesh_config(&signer, &consensus, bootnode)).unwrap();
        let metrics = Metrics::register(&mut Registry::default());
        let buckets = Arc::new(PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap());
        let _ = buckets.insert(listed()[0], bucket.clone()).unwrap();
        let waiting = Waiting {
            buckets: Arc::clone(&buckets),
            subnet: SourceBucket::new(Bucket::in_memory("source")),
            heads: heads.clone(),
        };
        let (idle, own_answers) = watch::channel(0);
        // A sampler that is gone is idle.
        drop(idle);
        let metrics_id = world.metrics.as_str().into();
        let judge = Rescorer::new(world.scorer.clone(), metrics_id, own_answers, waiting);
        let (library_too, state_too, heads) = (library.clone(), state.clone(), heads.clone());
        let agreement =
            Exchange::new(mesh, signer, library_too, buckets, state_too, metrics, heads)
                .rescoring(Arc::new(judge));
        agreement.resume(TaskId(0)).await.unwrap();
        tokio::spawn(agreement.clone().run(events, CancellationToken::new()));
        Self { hotkey, agreement, state, library }
    }

    async fn address(&self) -> Multiaddr {
        until("a listen address", || async {
            let listening = self.agreement.mesh().status().await.unwrap().listening;
            let tcp = listening.into_iter().find(|address| address.as_str().contains("/tcp/"));
            tcp.map(|address| address.as_str().parse().unwrap())
        })
        .await
    }

    /// What the mesh knows of the producer's file of a task.
    async fn view(&self, task: TaskId) -> Option<FileView> {
        let files = self.agreement.mesh().status().await.unwrap().files;
        files.into_iter().find(|view| view.file == file_of(task))
    }

    /// The page of a task, as this validator serves it.
    async fn page(&self, task: TaskId) -> String {
        let mesh = self.agreement.mesh().status().await.unwrap();
        let id = file_of(task);
        let file = self.state.file(id, None).unwrap().unwrap();
        let verified = verify(&file.bytes, &self.library.expected(id).unwrap()).unwrap();
        let verdict = Arc::new(shown(&verified, &[], &mut Texts::default()));
        let verdicts = BTreeMap::from([((id, verified.digest), verdict)]);
        let (params, history, nobody) = (params(), history(), BTreeSet::new());
        let metagraph = Metagraph {
            block: BlockNumber(HEAD),
            owner: hotkey(9),
            min_weights: 1,
            max_weight: u16::MAX,
            serving_rate_limit: 0,
            neurons: Vec::new(),
            commitments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            plain: BTreeMap::new(),
        };
        let inputs = Inputs {
            own: Some(self.hotkey),
            params: &params,
            head: BlockNumber(HEAD),
            head_seen_at: 0,
            block_ms: None,
            network: None,
            mechanism: None,
            has_clips: true,
            metagraph: &metagraph,
            history: &history,
            miners: None,
            mesh: Some(&mesh),
            reports: &[],
            reporters: &nobody,
            verdicts: &verdicts,
            epochs: Vec::new(),
            own_faults: OwnFaults::default(),
        };
        fetched(MemorySource::new(inputs.snapshot(network())), &format!("/ui/tasks/{task}")).await
    }
}

/// What a validator's HTTP server answers.
async fn fetched(source: MemorySource, path: &str) -> String {
    let (start, progress) = Start::new("test");
    start.finish(source);
    let stop = CancellationToken::new();
    let site = Site::new(progress, SiteSettings::default(), stop.clone());
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    let listener = leoma_web::bind(any_port, "LEOMA_HTTP_LISTEN").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(leoma_web::serve(listener, site, Audience::Operator));
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let page = answer.text().await.unwrap();
    stop.cancel();
    page
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut poll: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = poll().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A producer and two honest validators that all may sign.
async fn three(world: &World, bucket: &Bucket) -> (Validator, [Validator; 2]) {
    let heads = heads();
    let producer = Validator::start(1, (world, bucket), &heads, None).await;
    let bootnode = producer.address().await;
    let honest = [
        Validator::start(2, (world, bucket), &heads, Some(bootnode.clone())).await,
        Validator::start(3, (world, bucket), &heads, Some(bootnode)).await,
    ];
    for validator in [&producer, &honest[0], &honest[1]] {
        validator.agreement.until_may_sign().await;
    }
    (producer, honest)
}

/// An honest file is scored again, certified, and shown so.
async fn assert_certified(validator: &Validator, digest: Digest) {
    until("the honest file's certificate", || async {
        let view = validator.view(FAIR).await?;
        (view.certified == Some(digest)).then_some(())
    })
    .await;
    let signed = validator.agreement.signed().await.unwrap();
    // The other two may have certified it before this one is done.
    let passed = signed.passed.iter().find(|file| file.task_id == FAIR);
    let was_scored = passed.is_none_or(|file| file.plausibility.plausible == Plausible::Checked);
    assert!(was_scored, "{passed:?}");
    let page = validator.page(FAIR).await;
    assert!(page.contains("Certified.") && !page.contains(" refused it: "), "{page}");
}

/// A false file is refused by both honest validators, for the friend's entry, and shown so.
async fn assert_refused(validator: &Validator, (producer, digest): (Hotkey, Digest)) {
    let view = until("both honest validators' disputes", || async {
        validator.view(FALSE).await.filter(|view| view.refused.len() == 2)
    })
    .await;
    assert_eq!(view.certified, None);
    // Nobody but the producer itself says that the file is right.
    assert_eq!(view.attesters, [(digest, vec![producer])]);
    let of_the_friend = |(_, reason): &(Hotkey, DisputeReason)| match reason {
        DisputeReason::Plausible { miner, claimed, found } => {
            *miner == hotkey(11) && claimed.passed && !found.passed
        }
        // Whoever comes second may have heard the first one's dispute.
        reason => *reason == DisputeReason::Evidence,
    };
    assert!(view.refused.iter().all(of_the_friend), "{view:?}");
    let page = validator.page(FALSE).await;
    assert!(page.contains("Not certified."), "{page}");
    assert_eq!(page.matches(" refused it: ").count(), 2, "{page}");
    let accusation = format!(" refused it: plausible: {}", hotkey(11));
    assert!(page.contains(&accusation), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_passes_its_friends_bad_video_is_refused_on_every_honest_page() {
    let Some(world) = World::new().await else { return };
    let bucket = Bucket::in_memory("producer");
    let (producer, honest) = three(&world, &bucket).await;
    let good = world.entry(10, &world.good).await;
    let said = [(good.clone(), &world.good), (world.entry(11, &world.bad).await, &world.bad)];
    let fair = world.publish_in(&bucket, FAIR, &world.metrics, &said).await;
    producer.agreement.announce(&fair.signed).await;
    for validator in &honest {
        assert_certified(validator, fair.signed.digest).await;
    }
    // The same two videos; the bad one is said to be as good as the other.
    let said = [(good, &world.good), (world.friends_entry(11).await, &world.bad)];
    let lie = world.publish_in(&bucket, FALSE, &world.metrics, &said).await;
    producer.agreement.announce(&lie.signed).await;
    for validator in &honest {
        assert_refused(validator, (producer.hotkey, lie.signed.digest)).await;
    }
}

//! Validators that listen before they sign, over real sockets; the metrics that Prometheus reads
//! meanwhile; and what an audit finds about what they signed.

mod judged;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use leoma::metrics::{MeshMetrics, Metrics};
use leoma::state::State;
use leoma::verdicts::{Exchange, Library, Rescoring};
use leoma_chain::Head;
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{Mesh, MeshConfig, Timing, Voice};
use leoma_protocol::messages::TaskList;
use leoma_protocol::verdict::{SignedVerdict, VerdictDraft, VerdictEntry};
use leoma_protocol::{
    BlockNumber, ConsensusParams, ConsensusSchedule, Digest, FileId, Hotkey, HotkeySigner, Netuid,
    Network, NotSafe, Safe, SigningGuard, SigningSlot, SlotKind, TaskId, Witness,
};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{EndpointPolicy, PeerBuckets};
use prometheus_client::registry::Registry;
use sp_core::{Pair as _, sr25519};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const HEAD: BlockNumber = BlockNumber(10_000);
const INTERVAL: u64 = 100;
/// Far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two beacons.
const QUICK_BEACONS: Duration = Duration::from_millis(500);

fn network() -> Network {
    Network { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) }
}

fn pair(number: u8) -> sr25519::Pair {
    sr25519::Pair::from_seed(&[number; 32])
}

fn hotkey(number: u8) -> Hotkey {
    pair(number).public().into()
}

/// One machine of a validator: its own state and mesh identity.
struct Machine {
    agreement: Exchange,
    signer: HotkeySigner,
    state: State,
    params_digest: Digest,
    registry: Registry,
    mesh_metrics: MeshMetrics,
    heads: watch::Sender<Head>,
    stop: CancellationToken,
}

/// Parameters under which every validator has a turn at every task, and fifty tasks are open for
/// attestations at a time.
fn params() -> ConsensusParams {
    ConsensusParams { failover_grace: Some(1), settle_margin: 50, ..ConsensusParams::default() }
}

impl Machine {
    async fn start(number: u8, bootnode: Option<Multiaddr>) -> Self {
        Self::start_with(number, bootnode, QUICK_BEACONS).await
    }

    /// One that listens for two of its own beacons' intervals before it speaks.
    async fn start_with(
        number: u8,
        bootnode: Option<Multiaddr>,
        beacon_interval: Duration,
    ) -> Self {
        Self::start_under(params(), number, bootnode, beacon_interval).await
    }

    async fn start_under(
        params: ConsensusParams,
        number: u8,
        bootnode: Option<Multiaddr>,
        beacon_interval: Duration,
    ) -> Self {
        Self::start_scoring(params, number, bootnode, beacon_interval, None).await
    }

    async fn start_scoring(
        params: ConsensusParams,
        number: u8,
        bootnode: Option<Multiaddr>,
        beacon_interval: Duration,
        rescoring: Option<Arc<dyn Rescoring>>,
    ) -> Self {
        let params_digest = params.digest();
        let state = State::in_memory(network()).unwrap();
        let signer = HotkeySigner::new(pair(number), Arc::new(state.clone()));
        let consensus = Arc::new(ConsensusSchedule::from(params));
        let validators: Vec<Hotkey> = (1..=3).map(hotkey).collect();
        let list = Allowlist::new(INTERVAL, validators.clone()).unwrap();
        let (_, allowlists) = watch::channel(Arc::new(AllowlistHistory::since_genesis(list)));
        let library = Library::open(state.clone(), Arc::clone(&consensus), allowlists).unwrap();
        let mut config = MeshConfig::new(
            Keypair::generate_ed25519(),
            network(),
            consensus,
            vec![TaskList { from: TaskId(0), interval: INTERVAL, validators }],
            signer.clone(),
        );
        config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
        config.bootnodes = bootnode.into_iter().collect();
        config.head = HEAD;
        config.timing = Timing {
            tick: Duration::from_millis(50),
            beacon_interval,
            beacon_gap: Duration::from_millis(100),
            link_grace: Duration::from_secs(5),
            redial_first: Duration::from_millis(200),
            redial_most: Duration::from_secs(2),
            catchup_pause: Duration::from_millis(500),
            ..Timing::default()
        };
        let mut registry = Registry::default();
        let (metrics, mesh_metrics) =
            (Metrics::register(&mut registry), MeshMetrics::register(&mut registry));
        let (mesh, events) = Mesh::spawn_counted(config, &mut registry).unwrap();
        let buckets = Arc::new(PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap());
        let (heads, followed) = watch::channel(Head { number: HEAD, hash: Digest::default() });
        let agreement =
            Exchange::new(mesh, signer.clone(), library, buckets, state.clone(), metrics, followed);
        let agreement = match rescoring {
            Some(rescoring) => agreement.rescoring(rescoring),
            None => agreement,
        };
        agreement.resume(TaskId(0)).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(agreement.clone().run(events, stop.clone()));
        Self { agreement, signer, state, params_digest, registry, mesh_metrics, heads, stop }
    }

    async fn address(&self) -> Multiaddr {
        until("a listen address", || async {
            let status = self.agreement.mesh().status().await.unwrap();
            let tcp =
                status.listening.into_iter().find(|address| address.as_str().contains("/tcp/"));
            tcp.map(|address| address.as_str().parse().unwrap())
        })
        .await
    }

    async fn first_word(&self) -> Voice {
        until("an end of the listening", || async {
            let voice = self.agreement.voice();
            let is_over = voice == Voice::Doubled || self.agreement.may_sign();
            is_over.then_some(voice)
        })
        .await
    }

    async fn produce(&self, task: u64) -> SignedVerdict {
        self.produce_with(task, Vec::new()).await
    }

    async fn produce_with(&self, task: u64, entries: Vec<VerdictEntry>) -> SignedVerdict {
        let draft = VerdictDraft {
            network: network(),
            task_id: TaskId(task),
            params: self.params_digest,
            judge: "test".into(),
            block: BlockNumber(task * INTERVAL + INTERVAL / 2),
            metadata_sha256: None,
            entries,
        };
        let signed = self.signer.sign_verdict_file(draft).unwrap();
        self.agreement.announce(&signed).await;
        signed
    }

    /// Who attested to a file, as far as this machine has heard.
    async fn attesters(&self, id: FileId) -> Vec<Hotkey> {
        let status = self.agreement.mesh().status().await.unwrap();
        let file = status.files.into_iter().find(|view| view.file == id);
        file.into_iter()
            .flat_map(|view| view.attesters)
            .flat_map(|(_, attesters)| attesters)
            .collect()
    }

    fn holds(&self, id: FileId) -> bool {
        self.state.file(id, None).unwrap().is_some()
    }

    /// Whether this machine has signed an attestation to a file.
    fn has_attested(&self, id: FileId) -> bool {
        let kind = SlotKind::Attestation;
        let slot = SigningSlot {
            kind,
            netuid: network().netuid,
            task_id: id.task_id,
            subject: id.producer,
        };
        match self.state.admit(slot, Digest::of(b"another")) {
            Err(NotSafe::Conflict { .. }) => true,
            Ok(Safe::New | Safe::Same) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The names and values that a scrape would show now.
    async fn scrape(&self) -> BTreeMap<String, f64> {
        self.mesh_metrics.update(&self.agreement.mesh().status().await.unwrap());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let parsed = samples.map(|line| {
            let (name, value) =
                line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("not a number: {line}")))
        });
        parsed.collect()
    }
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut poll: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = poll().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_takes_files_in_and_signs_nothing() {
    let first = Machine::start(1, None).await;
    let bootnode = first.address().await;
    let other = Machine::start(2, Some(bootnode.clone())).await;
    assert_eq!((first.first_word().await, other.first_word().await), (Voice::Alone, Voice::Alone));
    let early = other.produce(98).await;
    until("the first machine's word", || async {
        other.attesters(early.id).await.contains(&hotkey(1)).then_some(())
    })
    .await;
    assert!(first.has_attested(early.id));

    // It listens for a dozen of the first one's beacons: a busy machine must not look like silence.
    let second = Machine::start_with(1, Some(other.address().await), 6 * QUICK_BEACONS).await;
    assert_eq!(second.first_word().await, Voice::Doubled);
    until("the first machine to hear of it", || async {
        (!first.agreement.may_sign()).then_some(())
    })
    .await;
    let late = other.produce(99).await;
    // It works: it fetched both files from peers and verified them. It only signs nothing.
    for id in [early.id, late.id] {
        until("a file at the second machine", || async { second.holds(id).then_some(()) }).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!second.has_attested(early.id) && !second.has_attested(late.id));
    let numbers = second.scrape().await;
    assert_eq!((numbers["leoma_mesh_doubled"], numbers["leoma_mesh_may_sign"]), (1.0, 0.0));
    for machine in [first, other, second] {
        machine.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_taken_in_while_listening_is_attested_to_afterwards() {
    let producer = Machine::start(1, None).await;
    assert_eq!(producer.first_word().await, Voice::Alone);
    let file = producer.produce(99).await;
    // It learns of the file by catch-up or gossip in its first moments, while it may not speak yet.
    let listener = Machine::start_with(2, Some(producer.address().await), 6 * QUICK_BEACONS).await;
    assert_eq!(listener.agreement.voice(), Voice::Listening);
    until("its word", || async {
        producer.attesters(file.id).await.contains(&hotkey(2)).then_some(())
    })
    .await;
    assert_eq!(listener.agreement.voice(), Voice::Alone);
}

/// Replays a snapshot; returns its report, what it prints, and whether it found no fault.
fn audit(
    folder: &std::path::Path,
    snapshot: &serde_json::Value,
) -> (serde_json::Value, String, bool) {
    let path = folder.join("epoch.json");
    std::fs::write(&path, snapshot.to_string()).unwrap();
    let run = |json: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_leoma"));
        command.arg("audit").arg("--snapshot").arg(&path).current_dir(folder);
        let output = command.args(json.then_some("--json")).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    };
    let ((report, held), (shown, _)) = (run(true), run(false));
    let report = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    (report, shown, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_validators_signed_is_exported_and_an_audit_counts_it_anew() {
    // An audit knows the parameters of production only.
    let start = |number, bootnode| {
        Machine::start_under(ConsensusParams::default(), number, bootnode, QUICK_BEACONS)
    };
    let first = start(1, None).await;
    let bootnode = first.address().await;
    let machines =
        [&first, &start(2, Some(bootnode.clone())).await, &start(3, Some(bootnode)).await];
    for machine in machines {
        assert_eq!(machine.first_word().await, Voice::Alone);
    }
    // Whose turn it is follows from the list: the first scheduled producer of the task makes its
    // file. Attestations to earlier tasks are late at this head.
    let list = Allowlist::new(INTERVAL, (1..=3).map(hotkey)).unwrap();
    let listed = list.validators().to_vec();
    let task = HEAD.0 / INTERVAL - 1;
    let producer = listed[usize::try_from(task).unwrap() % listed.len()];
    let is_producer = |machine: &&&Machine| machine.signer.hotkey() == producer;
    let file = machines.iter().find(is_producer).unwrap().produce(task).await;
    until("everybody's word", || async {
        (first.attesters(file.id).await.len() == 3).then_some(())
    })
    .await;
    let signed = serde_json::to_value(first.agreement.signed().await.unwrap()).unwrap();

    // The chain at a boundary at which the task has settled: all three witness its file, and weight
    // is burned, as there is no miner. One of them set something else.
    let folder = tempfile::tempdir().unwrap();
    let consensus = ConsensusSchedule::production();
    let epoch_block = (1..).map(|n| n * 180).find(|block| *block >= (task + 2) * INTERVAL).unwrap();
    let witness = Witness::new(BlockNumber(epoch_block), [(TaskId(task), vec![true, false])]);
    let bytes = hex::encode(witness.encode().concat());
    let owner = hotkey(9);
    let weights = |hotkey: Hotkey, uid: u16| serde_json::json!({ "hotkey": hotkey, "uid": 1, "found": "weights", "weights": [[uid, 65535]] });
    let snapshot = serde_json::json!({
        "schema": "leoma.epoch/1", "network": network(), "epoch_block": epoch_block,
        "block_hash": Digest::of(b"boundary"), "params": consensus.digest_at(BlockNumber(epoch_block)),
        "allowlists": [{ "committed_at": 0, "list": list.canonical_json() }],
        "owner": owner, "neurons": [{ "uid": 0, "hotkey": owner, "commit_block": null }],
        "witnesses": listed.iter().map(|hotkey| serde_json::json!({
            "hotkey": hotkey, "committed_at": epoch_block - 1, "bytes": bytes,
        })).collect::<Vec<_>>(),
        "attestations": signed["attestations"],
        "files": [{
            "task_id": task, "producer": producer, "text": String::from_utf8(file.bytes.clone()).unwrap(),
        }],
        "set": [weights(listed[0], 0), weights(listed[1], 5)],
    });
    let (report, shown, held) = audit(folder.path(), &snapshot);
    let row = &report["tasks"][0];
    assert_eq!((&row["task_id"], &row["witnesses"]), (&task.into(), &3.into()), "{report:#}");
    assert_eq!(
        (&row["producer"], &row["digest"]),
        (&producer.to_string().into(), &file.digest.to_string().into())
    );
    assert_eq!(report["decision"]["reason"], "no miner is eligible");
    assert_eq!(
        (&report["set"][0]["verdict"], &report["set"][1]["verdict"]),
        (&"same".into(), &"other".into())
    );
    assert!(!held && shown.contains("SET SOMETHING ELSE: 5=65535"), "{shown}");
    assert_eq!(report["refused"], serde_json::json!([]));
    // The same bytes give the same report.
    assert_eq!(audit(folder.path(), &snapshot).0, report);

    // One forged signature: that attestation does not count, the reason is reported, and two of
    // three still certify.
    let mut forged = snapshot.clone();
    let signatures = forged["attestations"][0]["signatures"].as_array_mut().unwrap();
    signatures[0] = signatures[1].clone();
    let (report, shown, _) = audit(folder.path(), &forged);
    assert_eq!(report["tasks"][0]["digest"], file.digest.to_string());
    assert!(report["refused"][0]["reason"].as_str().unwrap().contains("by 5"), "{report:#}");
    assert!(shown.contains("refused: attestations to task"), "{shown}");

    // Without signatures nothing is certified, so the file that counts is missing.
    let mut bare = snapshot.clone();
    bare["attestations"][0].as_object_mut().unwrap().remove("signatures");
    let (report, shown, held) = audit(folder.path(), &bare);
    assert_eq!(report["missing"][0]["task_id"], task);
    assert!(!held && shown.contains("files that count are missing"), "{shown}");
    assert_eq!(report["set"][1]["verdict"], "unseen");

    // Witnesses that came too late do not count.
    let mut late = snapshot;
    for row in late["witnesses"].as_array_mut().unwrap() {
        row["committed_at"] = epoch_block.into();
    }
    let (report, _, _) = audit(folder.path(), &late);
    assert_eq!(report["decision"]["state"], "abstain", "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_the_mesh_in_units_and_bounded_labels() {
    let first = Machine::start(1, None).await;
    let other = Machine::start(2, Some(first.address().await)).await;
    assert_eq!((first.first_word().await, other.first_word().await), (Voice::Alone, Voice::Alone));
    let file = other.produce(99).await;
    until("a word on the file", || async {
        first.attesters(file.id).await.contains(&hotkey(1)).then_some(())
    })
    .await;
    let peer = hotkey(2);
    let round_trip = format!("leoma_mesh_peer_round_trip_seconds{{hotkey=\"{peer}\"}}");
    // Pings come every few seconds, and the other's own word on its file comes in its next beacon.
    let numbers = until("a ping and a certificate", || async {
        let numbers = first.scrape().await;
        let is_pinged = numbers.contains_key(&round_trip);
        let is_mutual = numbers["leoma_mesh_peers_mutual"] == 1.0;
        let is_certified = numbers["leoma_mesh_certificates"] == 1.0;
        (is_pinged && is_mutual && is_certified).then_some(numbers)
    })
    .await;
    assert!(numbers[&round_trip] > 0.0 && numbers[&round_trip] < 10.0, "seconds, not milliseconds");
    assert_eq!(numbers["leoma_mesh_peers_connected"], 1.0);
    assert_eq!(numbers[&format!("leoma_mesh_peer_score{{hotkey=\"{peer}\"}}")], 0.0);
    assert_eq!(numbers["leoma_mesh_may_sign"], 1.0);
    // Two of three are a quorum.
    assert_eq!((numbers["leoma_mesh_files"], numbers["leoma_mesh_certificates"]), (1.0, 1.0));
    assert!(
        numbers["leoma_mesh_gossip_messages_total{topic=\"beacon\",outcome=\"accepted\"}"] >= 1.0
    );
    assert_eq!(
        numbers["leoma_mesh_gossip_messages_total{topic=\"verdict\",outcome=\"accepted\"}"],
        1.0
    );
    assert_eq!(numbers["leoma_verdict_fetches_total{source=\"mesh\",outcome=\"found\"}"], 1.0);
    assert!(numbers["leoma_mesh_dials_total{outcome=\"begun\"}"] >= 0.0);
    for name in ["link_resets", "bans", "undelivered_messages", "dropped_events"] {
        assert!(numbers.contains_key(&format!("leoma_mesh_{name}_total")), "{name}: {numbers:?}");
    }
    let bytes: f64 = numbers
        .iter()
        .filter(|(name, _)| name.starts_with("libp2p_bandwidth_bytes"))
        .map(|(_, n)| n)
        .sum();
    assert!(bytes > 1000.0, "{numbers:?}");
    // A refused stranger is counted by our own word for the reason, whatever it calls itself.
    let stranger = Machine::start(9, Some(first.address().await)).await;
    until("the refusal", || async {
        let refused = "leoma_mesh_hellos_refused_total{by=\"us\",reason=\"not_on_allowlist\"}";
        first.scrape().await.contains_key(refused).then_some(())
    })
    .await;
    let by_hotkey = first
        .scrape()
        .await
        .keys()
        .filter(|name| name.contains(&stranger.signer.hotkey().to_string()))
        .count();
    assert_eq!(by_hotkey, 0);
}

//! An epoch that cannot be decided at its boundary is decided as soon as enough can be read, while
//! it is the newest.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use leoma::config::{Config, Sources};
use leoma::metrics::Metrics;
use leoma::state::{EpochRecord, EpochState, State};
use leoma::verdicts::{Exchange, Library};
use leoma::weights::{WeightSetter, Weights};
use leoma_chain::ChainClient;
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::metrics::Registry;
use leoma_protocol::mesh::{Mesh, MeshConfig, Timing};
use leoma_protocol::{BlockNumber, ConsensusParams, HotkeySigner, Netuid, TaskId, Uid};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::{EndpointPolicy, PeerBuckets};
use leoma_testnet::chain::{self, ChainConfig, GenesisConfig, NeuronGenesis, SubnetGenesis};
use sp_core::{Pair as _, sr25519};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const NETUID: u16 = 7;
/// An epoch of 180 blocks takes 36 s: enough for two more tries after a first one that fails.
const BLOCK_TIME: Duration = Duration::from_millis(200);
const INTERVAL: u64 = 20;
const EPOCH: BlockNumber = BlockNumber(180);
/// Far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(150);
const VALIDATORS: [&str; 3] = ["first", "second", "third"];

fn pair(name: &str) -> sr25519::Pair {
    sr25519::Pair::from_string(&format!("//{name}"), None).unwrap()
}

fn genesis() -> GenesisConfig {
    let account = |name: &str| pair(name).public().0.into();
    let neuron = |name: &str, stake: u64| NeuronGenesis {
        hotkey: account(name),
        coldkey: account("coldkey"),
        stake,
        validator_permit: stake > 0,
    };
    let validators = VALIDATORS.map(|name| neuron(name, 50));
    let subnet = SubnetGenesis::new(
        NETUID,
        account("coldkey"),
        account("owner"),
        360,
        [neuron("owner", 0)].into_iter().chain(validators).collect(),
    );
    GenesisConfig { name: "test".to_owned(), subnets: vec![subnet], ..GenesisConfig::default() }
}

/// A validator's part in the agreement, and its state. It produces nothing and knows nobody's
/// bucket.
async fn validator(
    name: &str,
    chain: &ChainClient,
    bootnode: Option<Multiaddr>,
) -> (Exchange, State, Library) {
    let state = State::in_memory(chain.network()).unwrap();
    let signer = HotkeySigner::new(pair(name), Arc::new(state.clone()));
    let params = ConsensusParams::default();
    let library = Library::open(state.clone(), Arc::new(params.clone())).unwrap();
    let mut config = MeshConfig::new(
        Keypair::generate_ed25519(),
        chain.network(),
        params,
        INTERVAL,
        signer.clone(),
    );
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
    config.bootnodes = bootnode.into_iter().collect();
    config.allowlist = VALIDATORS.map(|name| pair(name).public().into()).to_vec();
    config.timing = Timing {
        tick: Duration::from_millis(50),
        beacon_interval: Duration::from_millis(500),
        redial_first: Duration::from_millis(200),
        redial_most: Duration::from_secs(1),
        ..Timing::default()
    };
    let (mesh, events) = Mesh::spawn(config).unwrap();
    let metrics = Metrics::register(&mut Registry::default());
    let buckets = Arc::new(PeerBuckets::new(Vec::new(), EndpointPolicy::Public).unwrap());
    let agreement = Exchange::new(mesh, signer, library.clone(), buckets, state.clone(), metrics);
    agreement.resume(TaskId(0)).await.unwrap();
    tokio::spawn(agreement.clone().run(events, CancellationToken::new()));
    (agreement, state, library)
}

async fn until_recorded(
    state: &State,
    what: &str,
    is_it: impl Fn(&EpochRecord) -> bool,
) -> EpochRecord {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(record) = state.epochs(8).unwrap().into_iter().find(|record| is_it(record)) {
            return record;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The block of the first validator's last weights.
async fn last_update(chain: &ChainClient) -> BlockNumber {
    let metagraph = chain.metagraph(chain.head().await.unwrap()).await.unwrap();
    metagraph.neuron(&pair("first").public().into()).unwrap().last_update
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_without_enough_to_read_is_decided_once_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        ChainConfig { block_time: BLOCK_TIME, ..ChainConfig::new(folder.path(), genesis()) };
    let node = chain::spawn(config).await.unwrap();
    let client = ChainClient::connect(&node.ws_url, Netuid(NETUID)).await.unwrap();
    let (agreement, state, library) = validator("first", &client, None).await;
    let hotkeys = VALIDATORS.map(|name| pair(name).public().into());
    let history =
        Arc::new(AllowlistHistory::since_genesis(Allowlist::new(INTERVAL, hotkeys).unwrap()));
    let (_keep, allowlists) = watch::channel(history);
    let stop = CancellationToken::new();
    let heads = client.follow_heads(stop.clone()).await.unwrap();
    let signer = HotkeySigner::new(pair("first"), Arc::new(state.clone()));
    let metrics = Metrics::register(&mut Registry::default());
    let config = Config::load(&Sources::default()).unwrap();
    let weights = Weights {
        chain: client.clone(),
        signer,
        state: state.clone(),
        beacon: config.chain.beacon,
        metrics,
    };
    let setter = WeightSetter {
        weights,
        params: Arc::new(ConsensusParams::default()),
        library,
        agreement: agreement.clone(),
        allowlists,
    };
    tokio::spawn(setter.run(heads, stop.clone()));

    // Nobody else can be reached, and no earlier winner is known: no weights.
    let record =
        until_recorded(&state, "the first try", |record| record.epoch_block == EPOCH).await;
    assert!(record.reason.starts_with("unknown") && record.uid.is_none(), "{record:?}");
    assert_eq!(record.state, EpochState::Decided, "it is not done with");
    // The last weights are those of the chain's beginning, when there was no task to read about
    // yet.
    assert!(last_update(&client).await < EPOCH);

    // A second one comes: two of three are enough. Nobody is eligible, so the weight is burned.
    let listening = agreement.mesh().status().await.unwrap().listening;
    let bootnode = listening.iter().find(|address| address.as_str().contains("/tcp/")).unwrap();
    let _second = validator("second", &client, Some(bootnode.as_str().parse().unwrap())).await;
    let record = until_recorded(&state, "the weights", |record| {
        record.epoch_block >= EPOCH && record.state == EpochState::Set
    })
    .await;
    assert_eq!((record.epoch_block, record.uid), (EPOCH, Some(Uid(0))), "{record:?}");
    assert!(last_update(&client).await > EPOCH);
    assert_eq!(
        client.weights(client.head().await.unwrap(), Uid(1)).await.unwrap(),
        [(Uid(0), u16::MAX)]
    );
    stop.cancel();
}

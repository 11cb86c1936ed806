//! Validators that find each other by the chain's axon entries alone.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use leoma::subnet::Axons;
use leoma_chain::{Axon, ChainClient, Metagraph};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{Mesh, MeshConfig, MeshEvent, MeshHandle};
use leoma_protocol::messages::TaskList;
use leoma_protocol::{BlockNumber, ConsensusSchedule, Hotkey, HotkeySigner, MemoryGuard, Netuid};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_storage::EndpointPolicy;
use leoma_testnet::chain::{self, ChainConfig, GenesisConfig, NeuronGenesis, SubnetGenesis};
use sp_core::{Pair as _, sr25519};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const NETUID: u16 = 7;
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// Blocks between two announcements.
const SERVING_RATE_LIMIT: u64 = 20;
/// Far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn signer(name: &str) -> HotkeySigner {
    let pair = sr25519::Pair::from_string(&format!("//{name}"), None).unwrap();
    HotkeySigner::new(pair, Arc::new(MemoryGuard::default()))
}

fn genesis() -> GenesisConfig {
    let account = |name: &str| (*signer(name).hotkey().as_bytes()).into();
    let neuron = |name: &str, stake: u64| NeuronGenesis {
        hotkey: account(name),
        coldkey: account("coldkey"),
        stake,
        validator_permit: stake > 0,
    };
    let subnet = SubnetGenesis {
        serving_rate_limit: SERVING_RATE_LIMIT,
        ..SubnetGenesis::new(
            NETUID,
            account("coldkey"),
            account("owner"),
            360,
            vec![neuron("owner", 0), neuron("first", 50), neuron("second", 40)],
        )
    };
    GenesisConfig { name: "test".to_owned(), subnets: vec![subnet], ..GenesisConfig::default() }
}

/// A validator's mesh without bootnodes, and what it says.
fn mesh(name: &str, port: u16, chain: &ChainClient) -> (MeshHandle, mpsc::Receiver<MeshEvent>) {
    let keypair = Keypair::generate_ed25519();
    let validators = vec![signer("first").hotkey(), signer("second").hotkey()];
    let lists = vec![TaskList { from: 0.into(), interval: 100, validators }];
    let consensus = Arc::new(ConsensusSchedule::production());
    let mut config = MeshConfig::new(keypair, chain.network(), consensus, lists, signer(name));
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), port).to_vec();
    Mesh::spawn(config).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn read(chain: &ChainClient) -> Arc<Metagraph> {
    Arc::new(chain.metagraph(chain.head().await.unwrap()).await.unwrap())
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

async fn until_up(events: &mut mpsc::Receiver<MeshEvent>) -> Hotkey {
    let up = async {
        loop {
            if let Some(MeshEvent::PeerUp { hotkey, .. }) = events.recv().await {
                return hotkey;
            }
        }
    };
    tokio::time::timeout(PATIENCE, up).await.expect("a peer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_without_bootnodes_finds_its_peer_by_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        ChainConfig { block_time: BLOCK_TIME, ..ChainConfig::new(folder.path(), genesis()) };
    let node = chain::spawn(config).await.unwrap();
    let client = ChainClient::connect(&node.ws_url, Netuid(NETUID)).await.unwrap();
    let validators = ["first", "second"].map(|name| signer(name).hotkey());
    let allowlist =
        Arc::new(AllowlistHistory::since_genesis(Allowlist::new(100, validators).unwrap()));
    let (_keep, allowlists) = watch::channel(allowlist);
    let stop = CancellationToken::new();

    let port = free_port();
    let (first, _first_events) = mesh("first", port, &client);
    let own = Axon { ip: Ipv4Addr::LOCALHOST.into(), port };
    let keeper = |name: &str, mesh: &MeshHandle, own: Option<Axon>| Axons {
        chain: client.clone(),
        signer: signer(name),
        mesh: mesh.clone(),
        policy: EndpointPolicy::Loopback,
        own,
    };
    let (metagraph_sender, metagraphs) = watch::channel(read(&client).await);
    let running = tokio::spawn(keeper("first", &first, Some(own)).run(
        metagraphs.clone(),
        allowlists.clone(),
        stop.clone(),
    ));
    let entry = |metagraph: &Metagraph| {
        let neuron = metagraph.neuron(&signer("first").hotkey()).unwrap();
        neuron.axon.map(|axon| (axon, neuron.axon_block))
    };
    let (axon, announced_at) =
        until("the announcement", || async { entry(&*read(&client).await) }).await;
    assert_eq!(axon, own);

    // Nobody told the second one of the first: it has the chain alone.
    let (second, mut second_events) = mesh("second", 0, &client);
    metagraph_sender.send_replace(read(&client).await);
    tokio::spawn(keeper("second", &second, None).run(
        metagraphs.clone(),
        allowlists.clone(),
        stop.clone(),
    ));
    assert_eq!(until_up(&mut second_events).await, signer("first").hotkey());

    // What is on the chain already is not announced again, however long it runs.
    until("blocks beyond the rate limit", || async {
        let metagraph = read(&client).await;
        let passed = metagraph.block > BlockNumber(announced_at.0 + SERVING_RATE_LIMIT + 5);
        metagraph_sender.send_replace(Arc::clone(&metagraph));
        passed.then_some(())
    })
    .await;
    assert_eq!(entry(&*read(&client).await), Some((own, announced_at)));
    assert!(!running.is_finished());

    // It moves: the chain is told, and whoever finds the new place no longer dials the old one.
    let moved = Axon { port: free_port(), ..own };
    stop.cancel();
    running.await.unwrap();
    let again = CancellationToken::new();
    tokio::spawn(keeper("first", &first, Some(moved)).run(metagraphs, allowlists, again.clone()));
    until("the second announcement", || async {
        entry(&*read(&client).await).filter(|(axon, at)| *axon == moved && *at > announced_at)
    })
    .await;
    again.cancel();
}

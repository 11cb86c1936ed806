//! Validators behind home routers (NAT), in network namespaces with the kernel's own address
//! translation.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{Mesh, MeshConfig, MeshHandle, MeshStatus, PeerStatus};
use leoma_protocol::messages::TaskList;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network as Subnet, TaskId,
};
use leoma_testnet::netns::{Home, Namespace, Network};
use sp_core::{Pair as _, sr25519};
use tokio::runtime::{Builder, Runtime};

const PORT: u16 = 4001;
/// Far longer than anything takes on an idle machine: a full one must not fail a test.
const PATIENCE: Duration = Duration::from_secs(90);
/// For what does not arrive. Between two hosts of one machine a packet takes microseconds.
const SILENCE: Duration = Duration::from_millis(500);

fn signer(number: u8) -> HotkeySigner {
    HotkeySigner::new(sr25519::Pair::from_seed(&[number; 32]), Arc::new(MemoryGuard::default()))
}

fn config(number: u8) -> MeshConfig {
    let subnet = Subnet { genesis: Digest::of(b"a test chain"), netuid: Netuid(99) };
    let validators = (1..=3).map(|number| signer(number).hotkey()).collect();
    let lists = vec![TaskList { from: TaskId(0), interval: 100, validators }];
    // Every validator has a turn at every task.
    let params = ConsensusParams { failover_grace: Some(1), ..ConsensusParams::default() };
    let (keypair, consensus) = (Keypair::generate_ed25519(), Arc::new(params.into()));
    let mut config = MeshConfig::new(keypair, subnet, consensus, lists, signer(number));
    config.listen = MeshConfig::listen_on(Ipv4Addr::UNSPECIFIED.into(), PORT).to_vec();
    config.head = BlockNumber(10_000);
    // On a full machine three attempts may all come too late.
    config.timing.punch_pause = Duration::from_secs(5);
    config
}

/// A validator's mesh on a runtime whose threads, and so all of its sockets, are in one namespace.
struct Validator {
    handle: MeshHandle,
    hotkey: Hotkey,
    runtime: Runtime,
}

impl Validator {
    fn start(namespace: &Namespace, config: MeshConfig) -> Self {
        let hotkey = config.signer.hotkey();
        let (runtime, handle) = namespace
            .inside(|| {
                // Its only worker takes this thread's namespace over.
                let runtime =
                    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
                let spawned = runtime.block_on(async {
                    let (handle, mut events) = Mesh::spawn(config).unwrap();
                    tokio::spawn(async move { while events.recv().await.is_some() {} });
                    handle
                });
                (runtime, spawned)
            })
            .unwrap();
        Self { handle, hotkey, runtime }
    }

    fn status(&self) -> MeshStatus {
        self.runtime.block_on(self.handle.status()).unwrap()
    }

    fn peer(&self, other: &Self) -> Option<PeerStatus> {
        self.status().peers.into_iter().find(|peer| peer.view.hotkey == Some(other.hotkey))
    }

    /// Whether the two hear each other, and if so, whether only through a relay.
    fn relayed(&self, other: &Self) -> Option<bool> {
        self.peer(other).filter(|peer| peer.view.mutual).map(|peer| peer.relayed)
    }
}

fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = poll() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A network with a public host (the first) and two homes, or nothing where the machine cannot have
/// one.
fn two_homes() -> Option<(Network, [Home; 2])> {
    let made = Network::new(3).and_then(|network| {
        let homes = [Home::behind(&network, 1)?, Home::behind(&network, 2)?];
        Ok((network, homes))
    });
    match made {
        Ok(made) => Some(made),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn connects(from: &Namespace, to: impl Into<SocketAddr>, patience: Duration) -> bool {
    let to = to.into();
    from.inside(|| TcpStream::connect_timeout(&to, patience).is_ok()).unwrap()
}

#[test]
fn a_home_is_reached_by_nobody_and_reaches_everybody() {
    let Some((network, [one, other])) = two_homes() else { return };
    let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    let public = network.namespace(0).unwrap();
    let _listeners = [public, network.namespace(1).unwrap(), one.namespace(), other.namespace()]
        .map(|place| place.inside(listen));
    let address = |host: usize| (network.address(host).unwrap(), PORT);
    for home in [&one, &other] {
        assert!(connects(home.namespace(), address(0), PATIENCE));
        assert!(
            !connects(public, (home.address(), PORT), SILENCE),
            "a home's address is known outside"
        );
    }
    // Neither the router nor the host behind it can be reached.
    for host in [1, 2] {
        assert!(!connects(public, address(host), SILENCE));
    }
    assert!(!connects(one.namespace(), address(2), SILENCE));
}

#[test]
fn two_validators_behind_routers_meet_through_a_relay_and_find_a_direct_way() {
    let Some((mut network, homes)) = two_homes() else { return };
    // At first there is no way from home to home but through the relay.
    network.partition(&[vec![1], vec![2]]).unwrap();
    let mut public = config(1);
    public.relay.serve = true;
    let peer = public.keypair.public().to_peer_id();
    let address: Multiaddr =
        format!("/ip4/{}/tcp/{PORT}/p2p/{peer}", network.address(0).unwrap()).parse().unwrap();
    let relay = Validator::start(network.namespace(0).unwrap(), public);
    let [one, other] = [(2, &homes[0]), (3, &homes[1])].map(|(number, home)| {
        let mut hidden = config(number);
        hidden.relay.via = vec![address.clone()];
        Validator::start(home.namespace(), hidden)
    });
    for (from, to) in [(&one, &relay), (&other, &relay), (&relay, &one), (&relay, &other)] {
        until("a link to the relay", || from.relayed(to).filter(|relayed| !relayed));
    }
    for (from, to) in [(&one, &other), (&other, &one)] {
        until("a link through the relay", || from.relayed(to).filter(|relayed| *relayed));
    }
    network.heal().unwrap();
    for (from, to) in [(&one, &other), (&other, &one)] {
        until("a direct link from home to home", || from.relayed(to).filter(|relayed| !relayed));
    }
    // The relay's help is over: what they have is theirs, at the routers' addresses.
    for (from, to, host) in [(&one, &other, 2), (&other, &one, 1)] {
        let link = from.peer(to).unwrap();
        let remote = link.view.address;
        let router = format!("/ip4/{}/", network.address(host).unwrap());
        assert!(remote.as_str().starts_with(&router), "{remote:?}");
    }
}

//! The network between namespaces: who reaches whom while it is cut, delayed or lossy, and
//! afterwards.
//!
//! What validators make of it is in `subnets/whole_subnet/chaos.rs`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use leoma_testnet::netns::{Impairment, Network, Place, forward};

const PORT: u16 = 5000;
/// For what arrives: longer than a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what does not arrive. Between two hosts of one machine a packet takes microseconds.
const SILENCE: Duration = Duration::from_millis(300);

/// A network, or nothing where the machine cannot have one.
fn network(hosts: usize) -> Option<Network> {
    match Network::new(hosts) {
        Ok(network) => Some(network),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// One datagram socket on each host.
struct Sockets(Vec<UdpSocket>);

impl Sockets {
    fn open(network: &Network) -> Self {
        let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        Self(
            (0..network.hosts())
                .map(|host| network.namespace(host).unwrap().inside(bind).unwrap())
                .collect(),
        )
    }

    /// Whether a datagram gets from one host to another, and from which address it seems to come.
    fn send(
        &self,
        network: &Network,
        from: usize,
        to: usize,
        expected: bool,
    ) -> Option<SocketAddr> {
        let receiver = &self.0[to];
        receiver.set_read_timeout(Some(if expected { PATIENCE } else { SILENCE })).unwrap();
        self.0[from].send_to(b"hello", (network.address(to).unwrap(), PORT)).unwrap();
        let mut bytes = [0; 16];
        match receiver.recv_from(&mut bytes) {
            Ok((5, sender)) => Some(sender),
            Ok(other) => panic!("{other:?} instead of a greeting"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn assert_reach(&self, network: &Network, from: usize, to: usize, expected: bool) {
        assert_eq!(
            self.send(network, from, to, expected).is_some(),
            expected,
            "from {from} to {to}"
        );
    }
}

#[test]
fn a_partition_separates_its_groups_until_it_heals() {
    let Some(mut network) = network(4) else { return };
    let sockets = Sockets::open(&network);
    let all =
        || (0..4).flat_map(|from| (0..4).map(move |to| (from, to))).filter(|(from, to)| from != to);
    all().for_each(|(from, to)| sockets.assert_reach(&network, from, to, true));
    network.partition(&[vec![0, 1], vec![2]]).unwrap();
    // The last host is in no group.
    let cut = |from: usize, to: usize| from.max(to) < 3 && (from == 2 || to == 2);
    all().for_each(|(from, to)| sockets.assert_reach(&network, from, to, !cut(from, to)));
    network.heal().unwrap();
    all().for_each(|(from, to)| sockets.assert_reach(&network, from, to, true));
}

#[test]
fn one_direction_can_be_lost_alone() {
    let Some(mut network) = network(2) else { return };
    let sockets = Sockets::open(&network);
    network.cut(0, 1).unwrap();
    sockets.assert_reach(&network, 0, 1, false);
    sockets.assert_reach(&network, 1, 0, true);
    network.heal().unwrap();
    sockets.assert_reach(&network, 0, 1, true);
}

#[test]
fn a_changed_address_takes_over_at_once() {
    let Some(mut network) = network(2) else { return };
    let sockets = Sockets::open(&network);
    let before = network.address(0).unwrap();
    let after = network.change_address(0).unwrap();
    assert_ne!(before, after);
    assert_eq!(network.address(0).unwrap(), after);
    assert_eq!(sockets.send(&network, 0, 1, true).unwrap().ip(), after);
    sockets.assert_reach(&network, 1, 0, true);
    sockets.0[1].send_to(b"hello", (before, PORT)).unwrap();
    sockets.0[0].set_read_timeout(Some(SILENCE)).unwrap();
    assert!(sockets.0[0].recv_from(&mut [0; 16]).is_err(), "the old address still works");
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_arrive_late_or_not_at_all_and_in_time_again() {
    let Some(mut network) = network(2) else { return };
    let delay = Duration::from_millis(300);
    if let Err(error) = network.impair(Impairment { delay, loss: 0 }) {
        eprintln!("skipped: {error}");
        return;
    }
    let sockets = Sockets::open(&network);
    let sent = Instant::now();
    sockets.assert_reach(&network, 0, 1, true);
    assert!(sent.elapsed() >= delay, "after {:?}", sent.elapsed());
    network.impair(Impairment { delay: Duration::ZERO, loss: 100 }).unwrap();
    sockets.assert_reach(&network, 0, 1, false);
    let impaired = network.impaired();
    assert!(impaired.delayed > 0 && impaired.lost > 0, "{impaired:?}");
    network.heal().unwrap();
    sockets.assert_reach(&network, 0, 1, true);
    assert_eq!(network.impaired(), impaired, "a healed network still goes through the relay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_carries_connections_into_a_namespace_and_back_until_it_is_closed() {
    let Some(network) = network(1) else { return };
    let place = Place::Inside(network.namespace(0).unwrap().clone());
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = echo.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in echo.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                std::io::copy(&mut stream.try_clone().unwrap(), &mut stream)
            });
        }
    });
    // The same address inside, where nothing else listens.
    let forwarder = forward(&place, target, Place::Here, target).unwrap();
    let client = network.namespace(0).unwrap().clone();
    let finished = tokio::task::spawn_blocking(move || {
        let connect = || {
            let stream = client.inside(|| TcpStream::connect(target).unwrap()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        };
        let mut stream = connect();
        stream.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        forwarder.set_open(false);
        let mut late = connect();
        for stream in [&mut stream, &mut late] {
            let _ = stream.write_all(b"hello");
            stream.set_read_timeout(Some(SILENCE)).unwrap();
            assert!(
                stream.read_exact(&mut bytes).is_err(),
                "something came through a closed forwarder"
            );
        }
        forwarder.set_open(true);
        let mut stream = connect();
        stream.write_all(b"again").unwrap();
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"again");
    });
    finished.await.unwrap();
}

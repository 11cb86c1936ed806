//! Connections: a bounded number, each with a bounded life.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use leoma_protocol::synapse::{MAX_HEADER_BYTES, MAX_HEADERS};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Axon;

/// How long a connection is kept at most. A caller that reads its answer byte by byte holds its
/// places no longer.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// How long a request under way may take when its connection's life is over or the axon stops.
const LAST_REQUEST: Duration = Duration::from_secs(10);
/// How long nothing is accepted after an error such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

impl Axon {
    /// Serves until `stop`. Requests under way then have ten seconds.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let addresses = Addresses::new(self.limits.connections_of_one);
        let header_time = self.limits.header_time;
        let axon = Arc::new(self);
        let answer = move |request: Request| Arc::clone(&axon).respond(request);
        let router = Router::new().fallback(answer);
        let connections = TaskTracker::new();
        loop {
            // Without a free place no connection is accepted: it waits in the system's queue.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            let Some(address) = addresses.enter(peer.ip()) else { continue };
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                connection(stream, router, header_time, stop).await;
                drop((place, address));
            });
        }
        connections.close();
        let _ = timeout(LAST_REQUEST, connections.wait()).await;
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    header_time: Duration,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        // One request for each connection: a caller that sends the next one just when an idle
        // connection is closed would lose it.
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_headers(MAX_HEADERS)
        .max_buf_size(2 * MAX_HEADER_BYTES);
    let service = TowerToHyperService::new(router);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = served.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(CONNECTION_LIFE) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(LAST_REQUEST, served).await;
}

/// Connections by address.
#[derive(Debug)]
struct Addresses {
    of_one: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn new(of_one: usize) -> Arc<Self> {
        Arc::new(Self { of_one, taken: Mutex::default() })
    }

    fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Address> {
        let network = network_of(ip);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.entry(network).or_insert(0);
        if *number >= self.of_one && !network.is_loopback() {
            return None;
        }
        *number += 1;
        Some(Address { addresses: Arc::clone(self), network })
    }
}

/// IPv6 addresses are counted by their /64 network, as one holder has all of it.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let [a, b, c, d, ..] = ip.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        ip => ip,
    }
}

#[derive(Debug)]
struct Address {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut taken = self.addresses.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.network) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(taken.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_few_connections_and_loopback_any() {
        let addresses = Addresses::new(2);
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, last]);
        let taken: Vec<_> = (0..9).filter_map(|n| addresses.enter(v6(n))).collect();
        assert_eq!(taken.len(), 2);
        assert!(addresses.enter(IpAddr::from([192, 0, 2, 1])).is_some());
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(network_of(mapped), IpAddr::from([192, 0, 2, 7]));
        let own: Vec<_> =
            (0..9).filter_map(|_| addresses.enter(IpAddr::from([127, 0, 0, 1]))).collect();
        assert_eq!(own.len(), 9);
        drop((taken, own));
        assert!(addresses.taken.lock().unwrap().is_empty());
    }
}

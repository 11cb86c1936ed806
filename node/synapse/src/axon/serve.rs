//! Connections: a bounded number, each with a bounded life.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use leoma_protocol::AddressLimit;
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
        let addresses = AddressLimit::new(self.limits.connections, self.limits.connections_of_one);
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
            let Some(permit) = addresses.enter(peer.ip()) else { continue };
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                connection(stream, router, header_time, stop).await;
                // In this order: whoever takes the place next needs a permit too.
                drop((permit, place));
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

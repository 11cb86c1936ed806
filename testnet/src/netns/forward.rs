//! Connections from one namespace into another: the chain, the storage and the services stay on the
//! machine's loopback, and answer on the same loopback addresses inside of every namespace.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Namespace, NetworkError};

/// Connections through one forwarder at a time: a validator has some ten to its bucket, its chain
/// and its services.
const MAX_CONNECTIONS: usize = 256;
/// Both ends are on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Pause after a failed accept, for example when the process has no free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a socket lives.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the namespace of this process.
    Here,
    /// In this namespace.
    Inside(Arc<Namespace>),
}

impl Place {
    fn run<T: Send>(&self, work: impl FnOnce() -> std::io::Result<T> + Send) -> std::io::Result<T> {
        match self {
            Self::Here => work(),
            Self::Inside(namespace) => namespace.inside(work).map_err(std::io::Error::other)?,
        }
    }
}

/// A running forwarder. Dropping it ends it with all connections.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    open: watch::Sender<bool>,
    held: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Forwarder {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were held up so far because it was closed.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// When closed, it accepts connections and lets nothing through, like a path on which all
    /// packets are lost; its connections break when it is opened again.
    pub fn set_open(&self, open: bool) {
        self.open.send_if_modified(|current| std::mem::replace(current, open) != open);
    }
}

/// Listens at `address` in one place and connects each connection with `target` in another, on the
/// current tokio runtime.
///
/// # Errors
/// [`NetworkError::Listen`].
pub fn forward(
    listen: &Place,
    address: SocketAddr,
    connect: Place,
    target: SocketAddr,
) -> Result<Forwarder, NetworkError> {
    let failed = |source| NetworkError::Listen { address, source };
    let listener = listen.run(|| TcpListener::bind(address)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (open, gate) = watch::channel(true);
    let stop = CancellationToken::new();
    let held = Arc::new(AtomicU64::new(0));
    let gate = Gate { open: gate, held: Arc::clone(&held) };
    let accepting = accept(listener, connect, target, gate, stop.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
    Ok(Forwarder { address, open, held, _stop: stop.drop_guard() })
}

#[derive(Clone, Debug)]
struct Gate {
    open: watch::Receiver<bool>,
    held: Arc<AtomicU64>,
}

async fn accept(
    listener: tokio::net::TcpListener,
    connect: Place,
    target: SocketAddr,
    gate: Gate,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (connect, gate) = (connect.clone(), gate.clone());
        let carrying = async move {
            // A connection that fails is the client's to notice.
            carry_while_open(carry(stream, connect, target), gate).await;
            drop(slot);
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(carrying));
    }
}

/// While the gate is closed nothing moves. Then the connection breaks: what was under way is lost,
/// and whoever waits for it learns so.
async fn carry_while_open(carrying: impl Future<Output = std::io::Result<()>>, mut gate: Gate) {
    let mut carrying = std::pin::pin!(carrying);
    let closed = async { gate.open.wait_for(|open| !open).await.map(|_| ()) };
    tokio::select! {
        biased;
        _ = closed => {}
        _ = &mut carrying => return,
    }
    gate.held.fetch_add(1, Ordering::Relaxed);
    let _opened = gate.open.wait_for(|open| *open).await.is_ok();
}

async fn carry(
    mut stream: tokio::net::TcpStream,
    connect: Place,
    target: SocketAddr,
) -> std::io::Result<()> {
    let connected = tokio::task::spawn_blocking(move || {
        let stream = connect.run(|| TcpStream::connect_timeout(&target, CONNECT_LIMIT))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    });
    let mut other =
        tokio::net::TcpStream::from_std(connected.await.map_err(std::io::Error::other)??)?;
    stream.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut stream, &mut other).await.map(|_| ())
}

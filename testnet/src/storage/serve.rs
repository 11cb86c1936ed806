//! Starts and stops the server: connections, faults around every request, and the folder it lives
//! in.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::access::KeyRing;
use super::faults::{Faults, afterwards, instead};
use super::guarded::GuardedFs;
use super::keys::{self, BucketKeys, KeysError};

/// Most connections at a time: 64 validators with 8 each.
const MAX_CONNECTIONS: usize = 512;
/// A client that does not finish its request's head in this time is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long requests in flight may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Where the buckets lie in the server's folder.
const BUCKETS: &str = "buckets";
/// Held while a server uses the folder.
const LOCK: &str = "lock";

/// What a server starts with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's folder, made if absent; buckets are kept in it from one run to the next.
    pub dir: PathBuf,
    /// Its buckets and their keys. A bucket's folder is made if absent.
    pub keys: Vec<BucketKeys>,
    /// Its port on loopback; 0 takes a free one.
    pub port: u16,
    /// Whether faults can be set over HTTP too, on a second port.
    pub admin: bool,
}

impl Config {
    /// A server in `dir` on a free port, without the second one.
    pub fn new(dir: PathBuf, keys: Vec<BucketKeys>) -> Self {
        Self { dir, keys, port: 0, admin: false }
    }
}

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ServeError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The folder.
    #[error("folder {path}: {source}")]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        source: std::io::Error,
    },
    /// The folder is in use.
    #[error("folder {path} is used by another server")]
    InUse { path: PathBuf },
    /// The store over it.
    #[error("folder {path}: {reason}")]
    Store { path: PathBuf, reason: String },
    /// The port.
    #[error("port {port} on 127.0.0.1: {source}")]
    Port { port: u16, source: std::io::Error },
}

/// A running server. It stops when this is dropped; [`stop`](Self::stop) also waits for requests in
/// flight.
#[derive(Debug)]
pub struct Handle {
    endpoint: String,
    admin: Option<String>,
    faults: Faults,
    cancel: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    _lock: File,
}

impl Handle {
    /// Its address, `http://127.0.0.1:…`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The address where faults are set over HTTP, if it was asked for.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Takes no more connections, lets requests in flight finish for a few seconds, and ends.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Starts a server on loopback.
///
/// # Errors
/// [`ServeError`] names what is in the way.
pub async fn spawn(config: Config) -> Result<Handle, ServeError> {
    keys::check(&config.keys)?;
    let (lock, store) = open_folder(&config)?;
    let ring = KeyRing::new(&config.keys);
    let mut builder = S3ServiceBuilder::new(store);
    builder.set_auth(ring.clone());
    builder.set_access(ring);
    let faults = Faults::default();
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::new(Front { service: builder.build(), faults: faults.clone() }));
    let (listener, endpoint) = listen(config.port).await?;
    let cancel = CancellationToken::new();
    let mut tasks = vec![tokio::spawn(accept(listener, router, cancel.clone()))];
    let mut admin = None;
    if config.admin {
        let (listener, address) = listen(0).await?;
        tasks.push(tokio::spawn(accept(
            listener,
            super::admin::router(faults.clone()),
            cancel.clone(),
        )));
        admin = Some(address);
    }
    Ok(Handle { endpoint, admin, faults, cancel, tasks, _lock: lock })
}

fn open_folder(config: &Config) -> Result<(File, GuardedFs), ServeError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::Folder { path, source }
    };
    let root = config.dir.join(BUCKETS);
    std::fs::create_dir_all(&root).map_err(at(&root))?;
    let path = config.dir.join(LOCK);
    let lock = File::create(&path).map_err(at(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(ServeError::InUse { path: config.dir.clone() });
        }
        Err(std::fs::TryLockError::Error(source)) => return Err(at(&path)(source)),
    }
    for entry in &config.keys {
        let bucket = root.join(&entry.bucket);
        std::fs::create_dir_all(&bucket).map_err(at(&bucket))?;
    }
    let store = GuardedFs::new(&root)
        .map_err(|error| ServeError::Store { path: root, reason: format!("{error:?}") })?;
    Ok((lock, store))
}

async fn listen(port: u16) -> Result<(TcpListener, String), ServeError> {
    let refuse = |source| ServeError::Port { port, source };
    let listener =
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    Ok((listener, format!("http://{address}")))
}

/// What stands before the store.
struct Front {
    service: S3Service,
    faults: Faults,
}

async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    let fault = front.faults.take(request.method().as_str(), request.uri().path());
    if let Some(fault) = &fault
        && let Some(response) = instead(fault).await
    {
        return response.map(axum::body::Body::new);
    }
    let response = match front.service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(?error, "cannot answer a request");
            let mut response = Response::new(axum::body::Body::empty());
            *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
    };
    let response = match &fault {
        Some(fault) => afterwards(fault, response).await,
        None => response,
    };
    response.map(axum::body::Body::new)
}

/// Serves connections until cancelled; at most [`MAX_CONNECTIONS`], the next ones wait in the
/// kernel's queue.
async fn accept(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(router.clone());
                let connection = graceful
                    .watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
                let cancel = cancel.clone();
                tokio::spawn(async move {
                    let cut_off = async {
                        cancel.cancelled().await;
                        tokio::time::sleep(STOP_TIMEOUT).await;
                    };
                    tokio::select! {
                        result = connection => if let Err(error) = result {
                            tracing::debug!(%error, "a connection ended");
                        },
                        () = cut_off => {}
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: a pause lets connections close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await;
}

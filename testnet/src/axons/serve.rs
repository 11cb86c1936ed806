//! The axons of a local subnet's miners: strict ones, one that never ends, and one that never begins.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use futures::future::BoxFuture;
use futures::stream;
use leoma_chain::{Axon as Announced, Call, ChainClient, ChainError, SubmitError};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard, Netuid};
use leoma_synapse::{Axon, AxonLimits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::answers::{CLASS, Stage};
use super::dancer::Dancer;
use crate::launch::accounts::Account;

/// What an endless reply consists of.
const PIECE: &[u8] = &[b' '; 64 << 10];

/// Why the axons stopped or could not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum AxonsError {
    /// A listener could not be opened.
    #[error("axons: cannot listen for {name}: {source}")]
    Listen { name: String, source: std::io::Error },
    /// A file could not be read or written.
    #[error("axons: {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The configuration cannot be parsed.
    #[error("axons: {path}: {source}")]
    Config { path: PathBuf, source: serde_json::Error },
    /// The chain cannot be reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// An address could not be announced.
    #[error("axons: announcing {name}: {source}")]
    Announce { name: String, source: SubmitError },
    /// A listener ended.
    #[error("axons: a listener ended: {0}")]
    Ended(String),
}

fn signer(account: &Account) -> HotkeySigner {
    HotkeySigner::new(account.pair(), Arc::new(MemoryGuard::default()))
}

/// Serves one miner on a free port of 127.0.0.1, for these validators. Returns its port, and what
/// runs until its listener ends.
pub(super) async fn serve(
    stage: Stage,
    account: &Account,
    served: Arc<Vec<Hotkey>>,
) -> Result<(u16, BoxFuture<'static, ()>), AxonsError> {
    let failed = |source| AxonsError::Listen { name: stage.slug.clone(), source };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listener = listener.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let is_served = move |caller: &Hotkey| match served.contains(caller) {
        true => Ok(()),
        false => Err("not a validator of this subnet"),
    };
    let (dancer, slug) = (stage.dancer, stage.slug.clone());
    let axon = Axon::new(signer(account), AxonLimits::default(), is_served).route(CLASS, stage);
    let serving = async move {
        tracing::info!(slug, port, "listening");
        let other = match dancer {
            Dancer::Endless => Router::new().fallback(never_ends),
            Dancer::Silent => Router::new().fallback(std::future::pending::<()>),
            _ => return axon.serve(listener, CancellationToken::new()).await,
        };
        if let Err(error) = axum::serve(listener, other).await {
            tracing::error!(slug, %error, "a listener ended");
        }
    };
    Ok((port, Box::pin(serving)))
}

/// A reply with status 200 that goes on for as long as anybody reads it.
async fn never_ends() -> Body {
    let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(PIECE)));
    Body::from_stream(pieces)
}

/// Announces a miner's address on the chain. A client sends one transaction at a time, so each
/// miner has its own.
pub(super) async fn announce(
    chain: &str,
    netuid: Netuid,
    account: &Account,
    port: u16,
) -> Result<(), AxonsError> {
    let client = ChainClient::connect(chain, netuid).await?;
    let call = Call::ServeAxon(Announced { ip: Ipv4Addr::LOCALHOST.into(), port });
    let announced = client.submit(&signer(account), &call).await;
    let failed = |source| AxonsError::Announce { name: account.wallet.clone(), source };
    announced.map(drop).map_err(failed)
}

//! The axons of a local subnet's miners: strict ones, and some that are none: they never end, never
//! begin, or send whoever asks on to somebody else.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Redirect;
use futures::future::BoxFuture;
use futures::stream;
use leoma_chain::{Axon as Announced, Call, ChainClient, ChainError, SubmitError};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard, Netuid};
use leoma_synapse::{Axon, AxonLimits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::answers::{CLASS, Stage};
use super::dancer::Dancer;
use crate::forecasters::{CHALLENGE, Forecaster, Forecasting};
use crate::launch::accounts::Account;
use crate::market::Market;
use crate::services::market_feed;

/// Where questions are sent on to, in the hope that somebody there answers them.
const ELSEWHERE: &str = "http://127.0.0.1:1/Challenge";
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

/// What a miner answers with.
#[derive(Debug)]
pub(super) enum Act {
    /// The motion of a skeleton.
    Motion(Stage),
    /// A forecast of a price.
    Oracle(Forecasting),
}

impl Act {
    /// What answers in an axon's place, for one that no axon would be.
    fn instead(&self) -> Option<Router> {
        match self {
            Self::Motion(Stage { dancer: Dancer::Endless, .. })
            | Self::Oracle(Forecasting { forecaster: Forecaster::Unending, .. }) => {
                Some(Router::new().fallback(never_ends))
            }
            Self::Oracle(Forecasting { forecaster: Forecaster::Redirect, .. }) => {
                Some(Router::new().fallback(sends_on))
            }
            Self::Motion(Stage { dancer: Dancer::Silent, .. })
            | Self::Oracle(Forecasting { forecaster: Forecaster::Mute, .. }) => {
                Some(Router::new().fallback(std::future::pending::<()>))
            }
            Self::Motion(_) | Self::Oracle(_) => None,
        }
    }
}

/// A listener on a free port of 127.0.0.1, and its port.
async fn listen(name: &str) -> Result<(TcpListener, u16), AxonsError> {
    let failed = |source| AxonsError::Listen { name: name.to_owned(), source };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listener = listener.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

/// Serves a market's feed. Returns its address, and what runs until its listener ends.
pub(super) async fn serve_feed(
    market: Market,
) -> Result<(String, BoxFuture<'static, ()>), AxonsError> {
    let (listener, port) = listen("the market").await?;
    let serving = async move {
        tracing::info!(port, "the market's feed is listening");
        if let Err(error) = axum::serve(listener, market_feed(market)).await {
            tracing::error!(%error, "the market's feed ended");
        }
    };
    Ok((format!("http://{}:{port}", Ipv4Addr::LOCALHOST), Box::pin(serving)))
}

/// Serves one miner on a free port of 127.0.0.1, for these validators. Returns its port, and what
/// runs until its listener ends.
pub(super) async fn serve(
    act: Act,
    slug: &str,
    account: &Account,
    served: Arc<Vec<Hotkey>>,
) -> Result<(u16, BoxFuture<'static, ()>), AxonsError> {
    let (listener, port) = listen(slug).await?;
    let is_served = move |caller: &Hotkey| match served.contains(caller) {
        true => Ok(()),
        false => Err("not a validator of this subnet"),
    };
    let (slug, instead) = (slug.to_owned(), act.instead());
    let axon = Axon::new(signer(account), AxonLimits::default(), is_served);
    let axon = match act {
        Act::Motion(stage) => axon.route(CLASS, stage),
        Act::Oracle(forecasting) => axon.route(CHALLENGE, forecasting),
    };
    let serving = async move {
        tracing::info!(slug, port, "listening");
        let Some(other) = instead else {
            return axon.serve(listener, CancellationToken::new()).await;
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

/// A reply that names another place for the question, which was read.
async fn sends_on(_question: Bytes) -> Redirect {
    Redirect::temporary(ELSEWHERE)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use leoma_protocol::python_json::Value;
    use leoma_protocol::synapse::{Fields, Question, Target};
    use leoma_synapse::Dendrite;

    use super::*;
    use crate::seed::Seed;

    #[tokio::test]
    async fn what_is_no_axon_fails_for_the_reason_that_is_expected() {
        let seed = Seed::new("1");
        let validator = signer(&Account::draw(&seed, "validator-1"));
        let client = reqwest::Client::builder();
        let dendrite = Dendrite::new(client, validator, None, |_| true).unwrap();
        let names = ["repo_id", "model", "decryption_key", "data", "prediction"];
        let mut fields: Fields = names.map(|name| (name, Value::Null)).into();
        fields.insert("timestamp", "2025-01-10T09:35:00-05:00".into());
        let question = Question::new(&CHALLENGE, &fields, Duration::from_secs(2)).unwrap();
        let account = Account::draw(&seed, "miner-1");
        for forecaster in [Forecaster::Mute, Forecaster::Unending, Forecaster::Redirect] {
            let market = Market::new(seed.clone());
            let act = Act::Oracle(Forecasting { forecaster, market, step: 20 });
            let (port, serving) = serve(act, "miner-1", &account, Arc::default()).await.unwrap();
            tokio::spawn(serving);
            let ip = Ipv4Addr::LOCALHOST.into();
            let target = Target { ip, port, hotkey: account.hotkey };
            let outcome = dendrite.ask(&question, &target, 16 << 10).await.outcome;
            let expected = forecaster.expected().unwrap();
            assert_eq!(outcome.failure(), Some(expected.status), "{forecaster}");
            assert!(outcome.to_string().contains(expected.reason), "{forecaster}: {outcome}");
        }
    }
}

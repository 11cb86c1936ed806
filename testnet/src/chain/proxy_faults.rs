//! What is wrong with a faulty endpoint, and why its connections end.

use std::time::Duration;
use tokio::sync::watch;

/// Whether anything comes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Passage {
    #[default]
    Open,
    Silent,
    Refused,
}

/// What is wrong with the endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) passage: Passage,
    /// Connections made before the newest of these are closed.
    pub(super) generation: u64,
    pub(super) lie: bool,
    pub(super) lag: u32,
    pub(super) delay: Duration,
}

/// Why a proxied connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Socket(#[from] tokio_tungstenite::tungstenite::Error),
    #[error("asking the chain: {0}")]
    Chain(#[from] subxt::rpcs::Error),
    #[error("the chain sent a malformed answer")]
    Nonsense,
    #[error("the proxy is stopping")]
    Stopping,
}

impl From<watch::error::RecvError> for ConnectionError {
    fn from(_: watch::error::RecvError) -> Self {
        Self::Stopping
    }
}

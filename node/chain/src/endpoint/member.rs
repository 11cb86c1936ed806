//! One of the chain's nodes: its connection, its newest head, its failures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use leoma_protocol::{BlockNumber, Digest};
use tokio::time::Instant;

use super::source::Chain;
use crate::error::{ChainError, Result};
use crate::head::Head;

/// Pause after a node's first failure; doubled with each further one.
pub(crate) const FIRST_REST: Duration = Duration::from_secs(1);
/// Longest pause.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a node that contradicted the others is left out; a restart tries it again.
const BANNED_FOR: Duration = Duration::from_secs(3600);
/// Makes a connection to one node, again each time it is lost.
pub type Connector = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Chain>>> + Send + Sync>;

/// One of the nodes.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) connect: Connector,
    pub(crate) state: Mutex<MemberState>,
}

/// Its state.
#[derive(Default)]
pub(crate) struct MemberState {
    pub(crate) chain: Option<Arc<dyn Chain>>,
    pub(crate) head: Option<Head>,
    failures: u32,
    pub(crate) rests_until: Option<Instant>,
    banned_until: Option<Instant>,
    pub(crate) last_error: String,
}

/// The status of a node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EndpointStatus {
    /// Its address, without keys.
    pub url: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Its newest final block, where heads are followed.
    pub head: Option<BlockNumber>,
    /// Blocks behind the newest head of all.
    pub lag: Option<u64>,
    /// Whether it was dropped for contradicting the others.
    pub dropped: bool,
    /// Its last error; empty if it has answered since.
    pub last_error: String,
}

impl Member {
    pub(crate) fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chain(&self) -> Option<Arc<dyn Chain>> {
        self.state().chain.clone()
    }

    /// Its newest head, unless it is banned.
    pub(crate) fn head(&self) -> Option<Head> {
        if self.is_banned() { None } else { self.state().head }
    }

    pub(crate) fn is_banned(&self) -> bool {
        self.state().banned_until.is_some_and(|until| until > Instant::now())
    }

    /// Leaves it out for a while.
    pub(crate) fn ban(&self, reason: String) {
        let mut state = self.state();
        state.banned_until = Some(Instant::now() + BANNED_FOR);
        state.last_error = reason;
    }

    /// The connection, made if there is none. A node of another chain is an error. The caller counts
    /// the failure.
    pub(crate) async fn open(&self, expected: Option<Digest>) -> Result<Arc<dyn Chain>> {
        if let Some(chain) = self.chain() {
            return Ok(chain);
        }
        let chain = (self.connect)().await?;
        if let Some(expected) = expected.filter(|expected| *expected != chain.genesis()) {
            return Err(ChainError::OtherChain {
                url: self.name.clone(),
                found: chain.genesis(),
                expected,
            });
        }
        self.state().chain = Some(Arc::clone(&chain));
        Ok(chain)
    }

    pub(crate) fn answered(&self) {
        let mut state = self.state();
        (state.failures, state.rests_until) = (0, None);
        state.last_error.clear();
    }

    /// Gives up the connection, which may be open and dead, and the head that it reported.
    pub(crate) fn lost(&self, error: &ChainError) {
        {
            let mut state = self.state();
            (state.chain, state.head) = (None, None);
        }
        self.failed(error);
    }

    pub(crate) fn failed(&self, error: &ChainError) {
        let mut state = self.state();
        state.last_error = error.to_string();
        // These are answers of a healthy node.
        if matches!(
            error,
            ChainError::Pruned { .. } | ChainError::NotReached { .. } | ChainError::NoSubnet { .. }
        ) {
            return;
        }
        let rest = FIRST_REST.saturating_mul(1 << state.failures.min(6)).min(LONGEST_REST);
        state.failures = state.failures.saturating_add(1);
        state.rests_until = Some(Instant::now() + rest);
    }
}

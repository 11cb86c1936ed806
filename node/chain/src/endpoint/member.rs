//! One of the nodes that the chain is read from: its connection, its newest head, its failures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use leoma_protocol::{BlockNumber, Digest};
use tokio::time::Instant;

use super::source::Chain;
use crate::error::ChainError;
use crate::head::Head;

/// Rest of a node after its first failure; doubled with each further one, up to the longest.
pub(crate) const FIRST_REST: Duration = Duration::from_secs(1);
/// Longest rest.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a node that lied is left out: its operator may repair it, and a restart asks anew.
const BANNED_FOR: Duration = Duration::from_secs(3600);
/// Makes a connection to one node, again each time it is lost.
pub type Connector =
    Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Chain>, ChainError>> + Send + Sync>;

/// One of the nodes.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) connect: Connector,
    pub(crate) state: Mutex<MemberState>,
}

/// What is known of it.
#[derive(Default)]
pub(crate) struct MemberState {
    pub(crate) chain: Option<Arc<dyn Chain>>,
    pub(crate) head: Option<Head>,
    failures: u32,
    pub(crate) rests_until: Option<Instant>,
    banned_until: Option<Instant>,
    pub(crate) last_error: String,
}

/// What is known of a node.
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
    /// Whether it was dropped for naming another hash than the others.
    pub dropped: bool,
    /// What it failed with last, empty for nothing since it last answered.
    pub last_error: String,
}

impl Member {
    pub(crate) fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chain(&self) -> Option<Arc<dyn Chain>> {
        self.state().chain.clone()
    }

    /// Its newest head, as far as what it says counts.
    pub(crate) fn head(&self) -> Option<Head> {
        if self.is_banned() { None } else { self.state().head }
    }

    pub(crate) fn is_banned(&self) -> bool {
        self.state().banned_until.is_some_and(|until| until > Instant::now())
    }

    /// Leaves it out for a while, for what it said.
    pub(crate) fn ban(&self, reason: String) {
        let mut state = self.state();
        state.banned_until = Some(Instant::now() + BANNED_FOR);
        state.last_error = reason;
    }

    /// Connects where there is no connection; a node of another chain is an error. Whoever asked
    /// counts the failure.
    pub(crate) async fn open(
        &self,
        expected: Option<Digest>,
    ) -> Result<Arc<dyn Chain>, ChainError> {
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

    /// The connection is given up: an old one can be open and dead. What it said last says nothing
    /// about the head any more.
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
        // That the state is gone, the block to come or the subnet unknown is an answer.
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

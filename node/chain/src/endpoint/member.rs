//! One of the chain's nodes: its connection, its newest head, its failures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use leoma_protocol::{BlockNumber, Digest};
use tokio::time::Instant;

use super::source::Chain;
use crate::error::{ChainError, Result};
use crate::head::Head;

/// Pause after a node's first failure, and between two dials of it; doubled with each further one.
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
    /// Held while the node is dialled, so that all who need it wait for one dial.
    dialling: tokio::sync::Mutex<()>,
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
    dials: Dials,
}

/// The attempts to connect since the node last worked.
#[derive(Default)]
struct Dials {
    /// All of them, since the beginning.
    count: u64,
    /// Those since it last showed new blocks.
    in_a_row: u32,
    next_at: Option<Instant>,
    error: Option<ChainError>,
}

impl Dials {
    /// Delays the next attempt.
    fn rest(&mut self) {
        let jitter = rand::random_range(0.5..1.0);
        self.next_at = Some(Instant::now() + rest_after(self.in_a_row).mul_f64(jitter));
    }
}

/// The pause after this many failures before the last one.
fn rest_after(failures: u32) -> Duration {
    FIRST_REST.saturating_mul(1 << failures.min(6)).min(LONGEST_REST)
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
    pub(crate) fn new(name: String, connect: Connector) -> Self {
        Self { name, connect, state: Mutex::default(), dialling: tokio::sync::Mutex::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it is open.
    pub(crate) fn chain(&self) -> Option<Arc<dyn Chain>> {
        self.state().chain.clone().filter(|chain| chain.is_connected())
    }

    /// Its newest head, unless it is banned.
    pub(crate) fn head(&self) -> Option<Head> {
        if self.is_banned() { None } else { self.state().head }
    }

    pub(crate) fn is_banned(&self) -> bool {
        self.state().banned_until.is_some_and(|until| until > Instant::now())
    }

    /// Leaves this node out for a while.
    pub(crate) fn ban(&self, reason: String) {
        let mut state = self.state();
        state.banned_until = Some(Instant::now() + BANNED_FOR);
        state.last_error = reason;
    }

    /// The connection, made if there is none. One dial serves all who ask meanwhile, and it waits
    /// for the pause that earlier failed dials require. A node of another chain is an error. The
    /// caller counts the failure.
    pub(crate) async fn open(&self, expected: Option<Digest>) -> Result<Arc<dyn Chain>> {
        if let Some(chain) = self.chain() {
            return Ok(chain);
        }
        let dials_before = self.state().dials.count;
        let _one_at_a_time = self.dialling.lock().await;
        if let Some(chain) = self.chain() {
            return Ok(chain);
        }
        let next_at = {
            let dials = &self.state().dials;
            if dials.count != dials_before
                && let Some(error) = &dials.error
            {
                return Err(error.clone());
            }
            dials.next_at
        };
        if let Some(next_at) = next_at {
            tokio::time::sleep_until(next_at).await;
        }
        // Counted before the outcome is known: the caller may stop waiting for it.
        self.begin_dial();
        let dialled = self.dial(expected).await;
        let mut state = self.state();
        state.dials.error = dialled.as_ref().err().cloned();
        match &dialled {
            Ok(chain) => state.chain = Some(Arc::clone(chain)),
            Err(_) => state.dials.rest(),
        }
        dialled
    }

    fn begin_dial(&self) {
        let dials = &mut self.state().dials;
        dials.count += 1;
        dials.rest();
        dials.in_a_row = dials.in_a_row.saturating_add(1);
    }

    async fn dial(&self, expected: Option<Digest>) -> Result<Arc<dyn Chain>> {
        let chain = (self.connect)().await?;
        match expected.filter(|expected| *expected != chain.genesis()) {
            None => Ok(chain),
            Some(expected) => Err(ChainError::OtherChain {
                url: self.name.clone(),
                found: chain.genesis(),
                expected,
            }),
        }
    }

    /// The node shows new blocks, so a connection that is lost from now on is made again at once.
    pub(crate) fn works(&self) {
        let dials = &mut self.state().dials;
        (dials.in_a_row, dials.next_at) = (0, None);
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
        state.rests_until = Some(Instant::now() + rest_after(state.failures));
        state.failures = state.failures.saturating_add(1);
    }
}

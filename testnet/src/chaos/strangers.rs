//! Strangers who attack the mesh, on a thread of their own, from a host of their own where there is
//! one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use leoma_protocol::{BlockNumber, Hotkey, Network};
use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::fault::Attack;
use super::stranger::live;
use crate::netns::Namespace;

/// Identities of a crowd at a time. The machine that attacks is the one that defends.
const CROWD: usize = 24;
/// Identities of any other attack at a time.
const FEW: usize = 2;
/// Pause between the life of one identity and of the next in its place.
const REBIRTH: Duration = Duration::from_millis(250);

/// What strangers attack.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The validators.
    pub(super) addresses: Vec<Multiaddr>,
    /// Whom they are.
    pub(super) hotkeys: Vec<Hotkey>,
    /// Chain and subnet.
    pub(super) network: Network,
    /// The chain's head.
    pub(super) head: BlockNumber,
}

/// What strangers did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerCounts {
    /// Identities that lived.
    pub identities: u64,
    /// Connections that a validator accepted.
    pub connections: u64,
    /// Connections that a validator closed, or refused.
    pub closed: u64,
    /// Messages and requests sent.
    pub sent: u64,
    /// Answers to them. Refusals are answers.
    pub answers: u64,
}

impl std::ops::AddAssign for StrangerCounts {
    fn add_assign(&mut self, other: Self) {
        self.identities += other.identities;
        self.connections += other.connections;
        self.closed += other.closed;
        self.sent += other.sent;
        self.answers += other.answers;
    }
}

/// The same, while they do it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) identities: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) answers: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    fn counts(&self) -> StrangerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StrangerCounts {
            identities: read(&self.identities),
            connections: read(&self.connections),
            closed: read(&self.closed),
            sent: read(&self.sent),
            answers: read(&self.answers),
        }
    }
}

/// A running attack. Dropping it ends it and waits for its end.
#[derive(Debug)]
pub(super) struct Strangers {
    stop: CancellationToken,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

impl Strangers {
    /// Starts an attack, from a namespace if one is given.
    pub(super) fn start(
        attack: Attack,
        target: Target,
        namespace: Option<Arc<Namespace>>,
    ) -> Result<Self, std::io::Error> {
        // One thread makes every socket, so that all of them belong to its namespace.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, tally) = (CancellationToken::new(), Arc::new(Tally::default()));
        let (stopped, counted) = (stop.clone(), Arc::clone(&tally));
        let attacking = move || {
            if let Some(error) = namespace.and_then(|namespace| namespace.enter().err()) {
                return tracing::error!(%error, "strangers stay away");
            }
            let count = if attack == Attack::Crowd { CROWD } else { FEW };
            let lives = (0..count).map(|_| live_again_and_again(attack, &target, &counted));
            runtime.block_on(stopped.run_until_cancelled(futures::future::join_all(lives)));
            // What hangs in a system call is not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("strangers".into()).spawn(attacking)?;
        Ok(Self { stop, tally, thread: Some(thread) })
    }

    pub(super) fn counts(&self) -> StrangerCounts {
        self.tally.counts()
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It panicked: its counts say how far it got.
            let _ = thread.join();
        }
    }
}

async fn live_again_and_again(attack: Attack, target: &Target, tally: &Tally) {
    loop {
        Tally::add(&tally.identities, 1);
        if let Err(error) = live(attack, target, tally).await {
            tracing::debug!(%error, ?attack, "a stranger did not live");
        }
        tokio::time::sleep(REBIRTH).await;
    }
}

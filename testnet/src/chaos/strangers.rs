//! Strangers that attack the mesh, on a thread of their own, and from a host of their own if there
//! is one.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::fault::Attack;
use super::stranger::{Target, live};
use super::tally::{StrangerCounts, Tally};
use crate::netns::Namespace;

/// Identities of a crowd at a time. The machine that attacks is the one that defends.
const CROWD: usize = 24;
/// Identities of any other attack at a time.
const FEW: usize = 2;
/// Pause between the life of one identity and of the next in its place.
const REBIRTH: Duration = Duration::from_millis(250);

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
                return tracing::error!(%error, "cannot enter the namespace of the strangers");
            }
            let count = if attack == Attack::Crowd { CROWD } else { FEW };
            let lives = (0..count).map(|_| live_again_and_again(attack, &target, &counted));
            runtime.block_on(stopped.run_until_cancelled(futures::future::join_all(lives)));
            // Tasks that hang in a system call are not awaited.
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
            tracing::debug!(%error, ?attack, "a stranger could not start");
        }
        tokio::time::sleep(REBIRTH).await;
    }
}

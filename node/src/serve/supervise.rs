//! The last stage: the loops are watched, and all end when one does.

use std::time::Duration;

use leoma_protocol::mesh::MeshHandle;
use leoma_scoring::worker::ScorerPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Time that loops have to finish after a stop: an upload or a weight transaction may be running.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The loops of a running validator.
#[derive(Debug)]
pub(super) struct Supervisor {
    loops: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: CancellationToken,
}

impl Supervisor {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { loops: JoinSet::new(), stop }
    }

    /// The token that stops the loops.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a loop that runs until the validator stops.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.loops.spawn(async move { (name, work.await) });
    }

    /// Waits for the stop, or for a loop to end by itself, then ends all loops, the mesh and the
    /// scorer.
    ///
    /// # Errors
    /// The error of a loop that ended before the stop.
    pub(super) async fn run(
        mut self,
        mesh: MeshHandle,
        scorer: Option<ScorerPool>,
    ) -> anyhow::Result<()> {
        let result = self.first_end().await;
        self.stop.cancel();
        tracing::info!("stopping");
        let all = async { while self.loops.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!(seconds = STOP_WITHIN.as_secs(), "some loops did not end in time");
            self.loops.abort_all();
        }
        mesh.shutdown().await;
        if let Some(scorer) = scorer {
            scorer.close().await;
        }
        result
    }

    async fn first_end(&mut self) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            ended = self.loops.join_next() => ended,
        };
        match ended {
            None => Ok(()),
            Some(Ok((name, Ok(())))) if self.stop.is_cancelled() => {
                tracing::debug!(name, "ended");
                Ok(())
            }
            Some(Ok((name, Ok(())))) => Err(anyhow::anyhow!("the {name} ended unexpectedly")),
            Some(Ok((name, Err(error)))) => Err(error.context(format!("the {name} failed"))),
            Some(Err(panic)) => Err(anyhow::anyhow!("a loop panicked: {panic}")),
        }
    }
}

//! The third stage: the loops of a running validator.

use std::sync::Arc;
use std::time::Instant;

use leoma_protocol::mesh::MeshHandle;
use leoma_storage::OwnBucket;
use leoma_web::Start;
use tokio::sync::watch;

use crate::config::Config;
use crate::miners::{ChutesClient, HuggingFaceClient, MinerTable, MinerValidator};
use crate::outbound;
use crate::sampler::{Judging, Sampler};
use crate::subnet::{Axons, axon_of};
use crate::verdicts::Exchange;
use crate::weights::{WeightSetter, Weights};

use super::mesh::Joined;
use super::open::Opened;
use super::parts::Parts;
use super::status::StatusSource;
use super::supervise::Supervisor;

/// Starts the loops of `parts` and ends the start: HTTP shows the validator from then on.
///
/// # Errors
/// When the HTTP client for outside services cannot be set up.
pub(super) fn spawn(
    config: &Config,
    parts: Parts,
    mut opened: Opened,
    joined: Joined,
    start: Start,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let Joined { mesh, events, exchange } = joined;
    let (judging, own) = (opened.judging.take(), opened.buckets.own.take());
    let mut loops = Loops { config, opened: &opened, mesh: &mesh, exchange: &exchange, supervisor };
    let head_moved = loops.follow_heads();
    loops.follow_allowlists();
    let (exchanging, stop) = (exchange.clone(), loops.supervisor.stop());
    loops.supervisor.spawn("agreement", async move {
        exchanging.run(events, stop).await;
        Ok(())
    });
    loops.keep_addresses();
    let mut miners = None;
    if let (Some(judging), Some(own)) = (judging, own) {
        let (table, chutes) = loops.validate_miners()?;
        loops.sample(judging, own, chutes, table.clone());
        miners = Some(table);
    }
    if parts.weights {
        loops.set_weights();
    }
    tracing::info!(hotkey = %opened.hotkey, http = %config.machine.http_listen, "validator started");
    start.finish(StatusSource { opened, exchange, head_moved, miners });
    Ok(())
}

/// What the loops are built from.
struct Loops<'a> {
    config: &'a Config,
    opened: &'a Opened,
    mesh: &'a MeshHandle,
    exchange: &'a Exchange,
    supervisor: &'a mut Supervisor,
}

impl Loops<'_> {
    /// Passes each new head to the mesh and the metrics; returns when the head changed last.
    fn follow_heads(&mut self) -> watch::Receiver<Instant> {
        let (moved, receiver) = watch::channel(Instant::now());
        let (mut heads, mesh) = (self.opened.heads.clone(), self.mesh.clone());
        let (metrics, stop) = (self.opened.telemetry.metrics.clone(), self.supervisor.stop());
        self.supervisor.spawn("heads", async move {
            loop {
                let head = heads.borrow_and_update().number;
                metrics.head_block.set(i64::try_from(head.0).unwrap_or(i64::MAX));
                moved.send_replace(Instant::now());
                let _stopping = mesh.set_head(head).await;
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = heads.changed() => if changed.is_err() { return Ok(()) },
                }
            }
        });
        receiver
    }

    /// Passes each new allowlist to the mesh and the peers' buckets.
    fn follow_allowlists(&mut self) {
        let (mut allowlists, mesh) = (self.opened.subnet.allowlists.clone(), self.mesh.clone());
        let (buckets, stop) = (Arc::clone(&self.opened.buckets.peers), self.supervisor.stop());
        self.supervisor.spawn("allowlist", async move {
            loop {
                let history = Arc::clone(&allowlists.borrow_and_update());
                for entry in history.entries() {
                    let (from, list) = (entry.from_task, &entry.allowlist);
                    let _stopping = mesh.set_interval_from(from, list.interval()).await;
                    let _stopping = mesh.set_allowlist_from(from, list.validators().to_vec()).await;
                }
                if let Some(entry) = history.entries().last() {
                    buckets.retain(|hotkey| entry.allowlist.contains(hotkey));
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = allowlists.changed() => if changed.is_err() { return Ok(()) },
                }
            }
        });
    }

    /// Keeps the mesh's addresses in step with the chain's.
    fn keep_addresses(&mut self) {
        let axons = Axons {
            chain: self.opened.chain.clone(),
            signer: self.opened.signer.clone(),
            mesh: self.mesh.clone(),
            policy: self.opened.buckets.policy,
            own: axon_of(&self.config.mesh.external),
        };
        let subnet = self.opened.subnet.clone();
        let stop = self.supervisor.stop();
        self.supervisor.spawn("address keeper", async move {
            axons.run(subnet.metagraph, subnet.allowlists, stop).await;
            Ok(())
        });
    }

    /// Keeps checking the miners; returns their table, and the client for asking them.
    fn validate_miners(
        &mut self,
    ) -> anyhow::Result<(watch::Receiver<Arc<MinerTable>>, ChutesClient)> {
        let services = &self.config.services;
        let client = outbound::client()?;
        let chutes = ChutesClient::new(client.clone(), services);
        let hugging_face = HuggingFaceClient::new(client, services);
        let validator = MinerValidator::new(chutes.clone(), hugging_face, services);
        let (sender, table) = watch::channel(Arc::new(MinerTable::default()));
        let every = self.config.sampling.validation_interval;
        let metagraph = self.opened.subnet.metagraph.clone();
        let (metrics, stop) = (self.opened.telemetry.metrics.clone(), self.supervisor.stop());
        self.supervisor.spawn("miner validation", async move {
            validator.run(metagraph, every, metrics, sender, stop).await;
            Ok(())
        });
        Ok((table, chutes))
    }

    fn sample(
        &mut self,
        judging: Judging,
        own: OwnBucket,
        chutes: ChutesClient,
        miners: watch::Receiver<Arc<MinerTable>>,
    ) {
        let opened = self.opened;
        let sampler = Sampler {
            chain: opened.chain.clone(),
            signer: opened.signer.clone(),
            params: Arc::clone(&opened.params),
            config: self.config.sampling.clone(),
            source: opened.buckets.source.clone(),
            own,
            chutes,
            miners,
            allowlists: opened.subnet.allowlists.clone(),
            judging,
            library: opened.library.clone(),
            agreement: self.exchange.clone(),
            state: opened.state.clone(),
            spool: self.config.machine.state_dir.join("tasks"),
            metrics: opened.telemetry.metrics.clone(),
        };
        let (heads, stop) = (opened.heads.clone(), self.supervisor.stop());
        self.supervisor.spawn("sampler", async move {
            sampler.run(heads, stop).await;
            Ok(())
        });
    }

    fn set_weights(&mut self) {
        let opened = self.opened;
        let weights = Weights {
            chain: opened.chain.clone(),
            signer: opened.signer.clone(),
            state: opened.state.clone(),
            beacon: self.config.chain.beacon.clone(),
            metrics: opened.telemetry.metrics.clone(),
        };
        let setter = WeightSetter {
            params: Arc::clone(&opened.params),
            library: opened.library.clone(),
            agreement: self.exchange.clone(),
            weights,
            allowlists: opened.subnet.allowlists.clone(),
        };
        let (heads, stop) = (opened.heads.clone(), self.supervisor.stop());
        self.supervisor.spawn("weight setter", async move { Ok(setter.run(heads, stop).await?) });
    }
}

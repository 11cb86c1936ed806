//! The third stage: the loops of a running validator.

use std::sync::Arc;
use std::time::Instant;

use leoma_protocol::mesh::MeshHandle;
use leoma_rotation::PolicyRecord;
use leoma_storage::OwnBucket;
use leoma_web::Start;
use tokio::sync::{Notify, watch};

use crate::alarms::Alarms;
use crate::config::Config;
use crate::mechanism::Turns;
use crate::reporting::Reporter;
use crate::sampler::{Publisher, Sampler};
use crate::subnet::{AllowlistsAt, Axons, axon_of};
use crate::verdicts::Exchange;
use crate::weights::{HeldFiles, Others, Spans, WeightSetter, Weights, Witnesses};

use super::mesh::Joined;
use super::open::Opened;
use super::parts::Parts;
use super::shown::{self, Shown};
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
    let board = opened.board.clone();
    let shown_bucket = own.clone();
    let bucket = own.as_ref().map(|own| own.bucket().name().to_owned());
    let alarms = Alarms::default();
    let mut loops = Loops {
        config,
        opened: &opened,
        mesh: &mesh,
        exchange: &exchange,
        alarms: &alarms,
        supervisor,
    };
    let head_moved = loops.follow_heads(parts.weights);
    loops.follow_allowlists();
    let (exchanging, stop) = (exchange.clone(), loops.supervisor.stop());
    loops.supervisor.spawn("agreement", async move {
        exchanging.run(events, stop).await;
        Ok(())
    });
    loops.keep_addresses();
    let numbers = loops.follow_numbers();
    let mut miners = None;
    if let Some(own) = own.filter(|_| parts.sampler) {
        let (mechanism, table) = loops.open_plug(judging)?;
        loops.sample(mechanism, own);
        miners = Some(table);
    }
    if parts.weights {
        loops.witness();
        loops.set_weights();
        loops.look_at_others();
    }
    tracing::info!(hotkey = %opened.hotkey, http = %config.machine.http_listen, "validator started");
    let sets_weights = parts.weights;
    let shown = Arc::new(Shown::new(shown::Parts {
        hotkey: Some(opened.hotkey),
        consensus: Arc::clone(&opened.consensus),
        state: opened.state.clone(),
        library: opened.library.clone(),
        exchange: Some(exchange.clone()),
        chain: opened.chain.clone(),
        heads: opened.heads.clone(),
        head_moved: head_moved.clone(),
        numbers,
        subnet: opened.subnet.clone(),
        miners: miners.clone(),
        own: shown_bucket,
        peers: Arc::clone(&opened.buckets.peers),
        board: Arc::new(board),
        mechanism: config.mechanism.given.clone(),
        plug: config.mechanism.plug(),
        record: config.mechanism.paying(),
        sets_weights,
        scorer: opened.scorer.clone(),
    }));
    report(config, &opened, bucket.clone(), &shown, supervisor)?;
    let settings = config.shown.clone();
    start.finish(StatusSource {
        opened,
        exchange,
        head_moved,
        miners,
        sets_weights,
        alarms,
        shown,
        mechanism: config.mechanism.given.clone(),
        policy: config.mechanism.record.as_ref().map(PolicyRecord::digest),
        settings,
        bucket,
        state_dir: config.machine.state_dir.clone(),
        agreement: tokio::sync::Mutex::default(),
    });
    Ok(())
}

/// Tells the API at `API_URL`, where there is one, what we find out.
fn report(
    config: &Config,
    opened: &Opened,
    bucket: Option<String>,
    shown: &Arc<Shown>,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let Some(api) = &config.api.report_to else { return Ok(()) };
    let reporter = Reporter::new(
        api,
        opened.signer.clone(),
        bucket,
        Arc::<Shown>::clone(shown),
        opened.state.clone(),
        opened.telemetry.metrics.clone(),
    )?;
    let stop = supervisor.stop();
    supervisor.spawn("reports to the API", async move {
        reporter.run(stop).await;
        Ok(())
    });
    Ok(())
}

/// What the loops are built from.
pub(super) struct Loops<'a> {
    pub(super) config: &'a Config,
    pub(super) opened: &'a Opened,
    mesh: &'a MeshHandle,
    pub(super) exchange: &'a Exchange,
    pub(super) alarms: &'a Alarms,
    pub(super) supervisor: &'a mut Supervisor,
}

impl Loops<'_> {
    /// Passes each new head to the mesh and the metrics; returns when the head changed last.
    fn follow_heads(&mut self, sets_weights: bool) -> watch::Receiver<Instant> {
        let (moved, receiver) = watch::channel(Instant::now());
        let (mut heads, mesh) = (self.opened.heads.clone(), self.mesh.clone());
        let (metrics, stop) = (self.opened.telemetry.metrics.clone(), self.supervisor.stop());
        let consensus = Arc::clone(&self.opened.consensus);
        let first_epoch = consensus.epoch_block(heads.borrow().number);
        self.supervisor.spawn("heads", async move {
            loop {
                let head = heads.borrow_and_update().number;
                metrics.head_block.set(i64::try_from(head.0).unwrap_or(i64::MAX));
                if sets_weights {
                    metrics.count_epochs(&consensus, first_epoch, head);
                }
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

    /// Passes each new head's number to readers that follow it.
    fn follow_numbers(&mut self) -> watch::Receiver<u64> {
        let mut heads = self.opened.heads.clone();
        let (sender, receiver) = watch::channel(heads.borrow().number.0);
        let stop = self.supervisor.stop();
        self.supervisor.spawn("live updates", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = heads.changed() => if changed.is_err() { return Ok(()) },
                }
                sender.send_replace(heads.borrow_and_update().number.0);
            }
        });
        receiver
    }

    /// Passes each new allowlist to the mesh, the peers' buckets and the metrics.
    fn follow_allowlists(&mut self) {
        let (mut allowlists, mesh) = (self.opened.subnet.allowlists.clone(), self.mesh.clone());
        let (buckets, stop) = (Arc::clone(&self.opened.buckets.peers), self.supervisor.stop());
        let (metrics, own) = (self.opened.telemetry.metrics.clone(), self.opened.hotkey);
        self.supervisor.spawn("allowlist", async move {
            loop {
                let history = Arc::clone(&allowlists.borrow_and_update());
                let _stopping = mesh.set_allowlists(history.task_lists()).await;
                if let Some(entry) = history.entries().last() {
                    buckets.retain(|hotkey| entry.allowlist.contains(hotkey));
                    let peers = entry.allowlist.validators().iter().filter(|one| **one != own);
                    metrics.listed_peers.set(i64::try_from(peers.count()).unwrap_or(i64::MAX));
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = allowlists.changed() => if changed.is_err() { return Ok(()) },
                }
            }
        });
    }

    /// Keeps the mesh's addresses in step with the chain's. A hotkey has one address there for all
    /// mechanisms of a subnet; it is mechanism 0's.
    fn keep_addresses(&mut self) {
        if self.config.mechanism.mecid() != 0 {
            tracing::info!(
                "the chain's addresses are mechanism 0's: peers are found by LEOMA_BOOTNODES"
            );
            return;
        }
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

    fn sample(&mut self, mechanism: Box<dyn Turns>, own: OwnBucket) {
        let opened = self.opened;
        let (spool, signed) =
            (self.config.machine.state_dir.join("tasks"), Arc::<Notify>::default());
        let publisher = Publisher {
            own,
            agreement: self.exchange.clone(),
            state: opened.state.clone(),
            spool: spool.clone(),
            signed: Arc::clone(&signed),
            alarms: self.alarms.clone(),
        };
        let sampler = Sampler {
            chain: opened.chain.clone(),
            signer: opened.signer.clone(),
            consensus: Arc::clone(&opened.consensus),
            allowlists: opened.subnet.allowlists.clone(),
            library: opened.library.clone(),
            agreement: self.exchange.clone(),
            state: opened.state.clone(),
            spool,
            signed,
            alarms: self.alarms.clone(),
            metrics: opened.telemetry.metrics.clone(),
        };
        let (heads, stop) = (opened.heads.clone(), self.supervisor.stop());
        self.supervisor.spawn("sampler", async move {
            sampler.run(mechanism, heads, stop).await;
            Ok(())
        });
        let stop = self.supervisor.stop();
        self.supervisor.spawn("publisher", async move {
            publisher.run(stop).await;
            Ok(())
        });
    }

    /// Tells the chain before each boundary what we hold.
    fn witness(&mut self) {
        let opened = self.opened;
        let witnesses = Witnesses {
            chain: opened.chain.clone(),
            signer: opened.signer.clone(),
            spans: self.spans(),
            held: Arc::new(HeldFiles {
                library: opened.library.clone(),
                agreement: self.exchange.clone(),
            }),
            state: opened.state.clone(),
            metrics: opened.telemetry.metrics.clone(),
        };
        let (heads, stop) = (opened.heads.clone(), self.supervisor.stop());
        self.supervisor.spawn("witness", async move { Ok(witnesses.run(heads, stop).await?) });
    }

    /// When witnesses are due.
    fn spans(&self) -> Spans {
        Spans {
            consensus: Arc::clone(&self.opened.consensus),
            allowlists: self.opened.subnet.allowlists.clone(),
        }
    }

    fn set_weights(&mut self) {
        let opened = self.opened;
        let weights = Weights {
            chain: opened.chain.clone(),
            signer: opened.signer.clone(),
            state: opened.state.clone(),
            beacon: self.config.chain.beacon.clone(),
            spans: self.spans(),
            metrics: opened.telemetry.metrics.clone(),
        };
        let setter = WeightSetter {
            consensus: Arc::clone(&opened.consensus),
            record: self.config.mechanism.paying(),
            library: opened.library.clone(),
            agreement: self.exchange.clone(),
            weights,
            allowlists: opened.subnet.allowlists.clone(),
            allowlists_at: AllowlistsAt {
                source: opened.buckets.source.clone(),
                network: opened.chain.network(),
                known_of: Some(opened.subnet.allowlists_of.clone()),
            },
        };
        let (heads, stop) = (opened.heads.clone(), self.supervisor.stop());
        self.supervisor.spawn("weight setter", async move { Ok(setter.run(heads, stop).await?) });
    }

    /// Reads what every validator has on chain, for the pages.
    fn look_at_others(&mut self) {
        let opened = self.opened;
        let others = Others {
            chain: opened.chain.clone(),
            consensus: Arc::clone(&opened.consensus),
            state: opened.state.clone(),
            allowlists: opened.subnet.allowlists.clone(),
            hotkey: opened.hotkey,
        };
        let (heads, stop) = (opened.heads.clone(), self.supervisor.stop());
        self.supervisor.spawn("weights of others", async move {
            others.run(heads, stop).await;
            Ok(())
        });
    }
}

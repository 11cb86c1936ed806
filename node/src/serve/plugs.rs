//! The mechanism that a process serves: its miners, and what makes its tasks.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::config::Plug;
use crate::mechanism::Turns;
use crate::mechanism::asked;
use crate::mechanism::motion::{Motion, MotionParts};
use crate::mechanism::oracle::{Desk, MarketClient, Oracle, Rules};
use crate::mechanism::video::{Judging, Video, VideoParts};
use crate::miners::{ChutesClient, HuggingFaceClient, MinerTable, MinerValidator};
use crate::outbound::Reach;
use crate::subnet::Subnet;

use super::loops::Loops;

/// The newest table of miners.
type Tables = watch::Receiver<Arc<MinerTable>>;

impl Loops<'_> {
    /// Opens the mechanism, and starts what finds its miners.
    ///
    /// # Errors
    /// When an HTTP client cannot be set up.
    pub(super) fn open_plug(
        &mut self,
        judging: Option<Judging>,
    ) -> anyhow::Result<(Box<dyn Turns>, Tables)> {
        match self.config.mechanism.plug() {
            Plug::Video => {
                let judging = judging.context("video is sampled without a scorer")?;
                let (miners, chutes) = self.validate_miners()?;
                let video = Video::new(VideoParts {
                    config: self.config.sampling.clone(),
                    source: self.opened.buckets.source.clone(),
                    chutes,
                    miners: miners.clone(),
                    judging,
                    metrics: self.opened.telemetry.metrics.clone(),
                });
                Ok((Box::new(video), miners))
            }
            Plug::Motion => {
                let reach = Reach::new(self.config.services.local_network);
                let miners = self.admit_axons();
                let motion = Motion::new(MotionParts {
                    config: self.config.sampling.clone(),
                    source: self.opened.buckets.source.clone(),
                    dendrite: asked::dendrite(reach, self.opened.signer.clone())?,
                    admission: self.opened.admission(self.config),
                });
                Ok((Box::new(motion), miners))
            }
            Plug::Oracle => self.open_oracle(),
        }
    }

    fn open_oracle(&mut self) -> anyhow::Result<(Box<dyn Turns>, Tables)> {
        let reach = Reach::new(self.config.services.local_network);
        let record = self.config.mechanism.record.as_ref();
        let record = record.context("the oracle is served without a record")?;
        let rules = Rules::of(record).map_err(anyhow::Error::msg)?;
        let market = MarketClient::new(reach, &self.config.oracle)?;
        let dendrite = asked::dendrite(reach, self.opened.signer.clone())?;
        let miners = self.admit_axons();
        let at_a_time = self.config.sampling.concurrent_miners;
        let desk = Desk { rules, market, dendrite, at_a_time };
        let (hours, chain) = (self.config.oracle.hours, self.opened.chain.clone());
        let admission = self.opened.admission(self.config);
        Ok((Box::new(Oracle { hours, chain, admission, desk }), miners))
    }

    /// Keeps checking the miners; returns their table, and the client for asking them.
    fn validate_miners(&mut self) -> anyhow::Result<(Tables, ChutesClient)> {
        let services = &self.config.services;
        let reach = Reach::new(services.local_network);
        let chutes = ChutesClient::new(reach, services)?;
        let hugging_face = HuggingFaceClient::new(reach, services)?;
        let alarms = self.alarms.clone();
        let validator = MinerValidator::new(chutes.clone(), hugging_face, services, alarms);
        let (sender, checked) = watch::channel(Arc::new(MinerTable::default()));
        let every = self.config.sampling.validation_interval;
        let metagraph = self.opened.subnet.metagraph.clone();
        let (metrics, stop) = (self.opened.telemetry.metrics.clone(), self.supervisor.stop());
        self.supervisor.spawn("miner validation", async move {
            validator.run(metagraph, every, metrics, sender, stop).await;
            Ok(())
        });
        Ok((self.apply_blacklist(checked), chutes))
    }

    /// Keeps reading which axons may be asked, for pages and reports; returns their table.
    fn admit_axons(&mut self) -> Tables {
        let (sender, read) = watch::channel(Arc::new(MinerTable::default()));
        let reach = Reach::new(self.config.services.local_network);
        let every = self.config.sampling.validation_interval;
        let Subnet { metagraph, allowlists, .. } = self.opened.subnet.clone();
        let (metrics, stop) = (self.opened.telemetry.metrics.clone(), self.supervisor.stop());
        self.supervisor.spawn("axon admission", async move {
            asked::admit((reach, every), metagraph, allowlists, metrics, sender, stop).await;
            Ok(())
        });
        self.apply_blacklist(read)
    }

    /// Takes blacklisted miners out of each table, and reports it.
    fn apply_blacklist(&mut self, checked: Tables) -> Tables {
        let (applied, table) = watch::channel(Arc::new(MinerTable::default()));
        let (blacklist, stop) = (self.opened.blacklist(), self.supervisor.stop());
        self.supervisor.spawn("blacklist", async move {
            blacklist.run(checked, applied, stop).await;
            Ok(())
        });
        self.report_miners(table.clone());
        table
    }

    /// Tells the other validators of each check of the miners, and remembers it for our checks of
    /// their files.
    fn report_miners(&mut self, mut tables: Tables) {
        let (exchange, stop) = (self.exchange.clone(), self.supervisor.stop());
        self.supervisor.spawn("miner reports", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = tables.changed() => if changed.is_err() { return Ok(()) },
                }
                let table = Arc::clone(&tables.borrow_and_update());
                exchange.miners_checked(&table).await;
            }
        });
    }
}

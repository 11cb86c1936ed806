//! The first stage: opening everything that a validator works with, so that every fault shows before
//! work begins.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use leoma_chain::{ChainClient, ChainSettings, Head, without_keys};
use leoma_protocol::{ConsensusParams, Hotkey, HotkeySigner};
use leoma_rotation::AllowlistHistory;
use leoma_scoring::worker::ScorerPool;
use leoma_storage::{EndpointPolicy, OwnBucket, PeerBuckets, SourceBucket};
use leoma_wallet::load_hotkey;
use leoma_web::Start;
use prometheus_client::registry::Registry;
use sp_core::{Pair as _, sr25519};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::{MeshMetrics, Metrics, register_scoring};
use crate::sampler::Judging;
use crate::state::{SentTransactions, State};
use crate::subnet::{Subnet, SubnetReader};
use crate::verdicts::Library;

use super::parts::Parts;

/// How often the log repeats that there is no allowlist yet.
const WAIT_NOTE_EVERY: Duration = Duration::from_secs(30);

/// What Prometheus reads.
#[derive(Debug)]
pub(super) struct Telemetry {
    pub(super) registry: Registry,
    pub(super) metrics: Metrics,
    pub(super) mesh: MeshMetrics,
}

/// The buckets that a validator reads and writes.
#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) source: SourceBucket,
    /// `None` when this process publishes nothing.
    pub(super) own: Option<OwnBucket>,
    pub(super) peers: Arc<PeerBuckets>,
    pub(super) policy: EndpointPolicy,
}

/// What a validator works with before it joins the mesh.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) hotkey: Hotkey,
    pub(super) signer: HotkeySigner,
    pub(super) params: Arc<ConsensusParams>,
    /// `None` when this process does not sample.
    pub(super) judging: Option<Judging>,
    pub(super) scorer: Option<ScorerPool>,
    /// The devices that score video; empty when this process does not sample.
    pub(super) device: String,
    pub(super) chain: ChainClient,
    pub(super) state: State,
    pub(super) library: Library,
    pub(super) buckets: Buckets,
    pub(super) telemetry: Telemetry,
    pub(super) heads: watch::Receiver<Head>,
    pub(super) subnet: Subnet,
    /// The allowlists at the start; never empty.
    pub(super) history: Arc<AllowlistHistory>,
}

impl Opened {
    /// Opens everything.
    ///
    /// # Errors
    /// The first thing that cannot be used, or that `stop` came first.
    pub(super) async fn open(
        config: &Config,
        parts: Parts,
        start: &Start,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let pair = read_hotkey(config, stop).await?;
        let hotkey = pair.public().into();
        // The first of the slow steps: without a device or ffmpeg nothing can be sampled.
        let judging = if parts.sampler {
            start.step("preparing the scoring device");
            Some(Judging::open(config).await?)
        } else {
            None
        };
        let buckets = Buckets::of(config, parts, hotkey)?;
        start.step("connecting to the chain");
        let (chain, state) = open_chain(config, hotkey).await?;
        let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
        if let Some(own) = &buckets.own {
            start.step("checking the own bucket");
            own.prove_create_once().await.context("R2_OWN_BUCKET cannot be used")?;
        }
        let telemetry = Telemetry::new(judging.as_ref());
        start.step("reading the subnet");
        let heads = chain.follow_heads(stop.clone()).await?;
        let (reader, history) =
            SubnetReader::new(chain.clone(), buckets.source.clone(), state.clone())?;
        let subnet = reader.start(history, heads.clone(), stop.clone()).await?;
        if subnet.metagraph.borrow().uid(&hotkey).is_none() {
            tracing::warn!(%hotkey, netuid = %config.netuid, "this hotkey is not registered on the subnet: register it with `leoma register`");
        }
        start.step("reading the verdict files");
        let params = Arc::new(ConsensusParams::default());
        let library = Library::open(state.clone(), Arc::clone(&params))?;
        start.step("waiting for the subnet owner's allowlist");
        let history = first_allowlist(&subnet, stop).await?;
        Ok(Self {
            hotkey,
            signer,
            params,
            scorer: judging.as_ref().map(|judging| judging.scorer().clone()),
            device: judging.as_ref().map_or_else(String::new, Judging::device),
            judging,
            chain,
            state,
            library,
            buckets,
            telemetry,
            heads,
            subnet,
            history,
        })
    }
}

async fn read_hotkey(config: &Config, stop: &CancellationToken) -> anyhow::Result<sr25519::Pair> {
    tokio::select! {
        biased;
        () = stop.cancelled() => bail!("stopped before the hotkey was read"),
        pair = load_hotkey(&config.wallet) => Ok(pair?),
    }
}

async fn open_chain(config: &Config, hotkey: Hotkey) -> anyhow::Result<(ChainClient, State)> {
    let log = Arc::new(SentTransactions::default());
    let ChainSettings { urls, genesis, .. } = &config.chain;
    let shown: Vec<String> = urls.iter().map(|url| without_keys(url)).collect();
    tracing::info!(endpoints = shown.join(", "), netuid = %config.netuid, "connecting to the chain");
    let chain = ChainClient::connect_all(urls, config.netuid, *genesis, log.clone()).await?;
    let state = State::open(&config.machine.state_dir, chain.network(), hotkey)?;
    log.keep_in(state.clone());
    Ok((chain, state))
}

impl Buckets {
    fn of(config: &Config, parts: Parts, hotkey: Hotkey) -> anyhow::Result<Self> {
        let own_config = if parts.sampler {
            Some(config.buckets.need_own()?)
        } else {
            config.buckets.own.as_ref()
        };
        let source = SourceBucket::new(config.buckets.need_source()?.open()?);
        let own =
            own_config.map(|own| anyhow::Ok(OwnBucket::new(own.open()?, hotkey))).transpose()?;
        for refused in &config.buckets.peers.refused {
            tracing::warn!(%refused, "ignoring an entry of PEER_VALIDATORS");
        }
        let policy = own_config
            .map_or(EndpointPolicy::Public, |own| EndpointPolicy::for_peers_of(&own.endpoint));
        let peers = Arc::new(PeerBuckets::new(config.buckets.peers.peers.clone(), policy)?);
        Ok(Self { source, own, peers, policy })
    }
}

impl Telemetry {
    fn new(judging: Option<&Judging>) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let mesh = MeshMetrics::register(&mut registry);
        if let Some(judging) = judging {
            let scorer = judging.scorer().clone();
            register_scoring(&mut registry, move || scorer.counts());
        }
        Self { registry, metrics, mesh }
    }
}

/// Waits for the first allowlist: without one there are neither peers nor tasks.
async fn first_allowlist(
    subnet: &Subnet,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<AllowlistHistory>> {
    let mut allowlists = subnet.allowlists.clone();
    loop {
        let history = Arc::clone(&allowlists.borrow_and_update());
        if !history.entries().is_empty() {
            return Ok(history);
        }
        tokio::select! {
            () = stop.cancelled() => bail!("stopped before the subnet owner published an allowlist"),
            changed = allowlists.changed() => changed.context("the subnet reader ended")?,
            () = tokio::time::sleep(WAIT_NOTE_EVERY) => tracing::info!("waiting for the subnet owner's allowlist"),
        }
    }
}

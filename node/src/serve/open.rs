//! The first stage: opening everything that a validator works with, so that every fault shows before
//! work begins.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use leoma_chain::{ChainClient, ChainError, ChainSettings, Head, without_keys};
use leoma_protocol::{ConsensusSchedule, Hotkey, HotkeySigner};
use leoma_rotation::AllowlistHistory;
use leoma_scoring::worker::ScorerPool;
use leoma_storage::{EndpointPolicy, OwnBucket, PeerBuckets, SourceBucket};
use leoma_wallet::load_hotkey;
use leoma_web::Start;
use prometheus_client::registry::Registry;
use sp_core::{Pair as _, sr25519};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::board::StoredBoard;
use crate::config::{Config, Plug};
use crate::mechanism::asked::Admission;
use crate::mechanism::video::Judging;
use crate::metrics::{MeshMetrics, Metrics, register_scoring};
use crate::miners::Blacklist;
use crate::outbound::Reach;
use crate::state::{SentTransactions, State};
use crate::subnet::{Subnet, SubnetReader};
use crate::verdicts::Library;

use super::parts::Parts;

/// How often the log repeats that there is no allowlist yet.
const WAIT_NOTE_EVERY: Duration = Duration::from_secs(30);

/// Pauses between attempts to reach the chain and the own bucket at the start.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
    /// The consensus constants by block.
    pub(super) consensus: Arc<ConsensusSchedule>,
    /// `None` when this process does not sample video.
    pub(super) judging: Option<Judging>,
    pub(super) scorer: Option<ScorerPool>,
    /// The devices that score video; empty when this process does not sample any.
    pub(super) device: String,
    pub(super) chain: ChainClient,
    pub(super) state: State,
    /// What administrators and validators post; the blacklist is on it.
    pub(super) board: StoredBoard,
    pub(super) library: Library,
    pub(super) buckets: Buckets,
    pub(super) telemetry: Telemetry,
    pub(super) heads: watch::Receiver<Head>,
    pub(super) subnet: Subnet,
    /// The allowlists at the start; never empty.
    pub(super) history: Arc<AllowlistHistory>,
}

/// What to say of settings that only `leoma api` uses: a `.env` of June 2026 has both.
fn of_api_alone(shown: &[[String; 3]]) -> Vec<String> {
    let given = shown.iter().filter(|[name, _, source]| {
        matches!(name.as_str(), "API_HOST" | "API_PORT") && source != "default"
    });
    let note = |[name, _, source]: &[String; 3]| {
        format!(
            "{name} is not used here, because it is for `leoma api` alone: LEOMA_API_LISTEN is the \
             setting with which a validator shows pages and API to everybody ({source})"
        )
    };
    given.map(note).collect()
}

impl Opened {
    /// Miners that this operator does not ask.
    pub(super) fn blacklist(&self) -> Blacklist {
        Blacklist { board: Arc::new(self.board.clone()) }
    }

    /// Who the miners of a task are that are asked through their axons.
    pub(super) fn admission(&self, config: &Config) -> Admission {
        Admission {
            chain: Arc::new(self.chain.clone()),
            allowlists: self.subnet.allowlists.clone(),
            blacklist: self.blacklist(),
            reach: Reach::new(config.services.local_network),
        }
    }

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
        for note in config.notes.iter().chain(&of_api_alone(&config.shown)) {
            tracing::warn!(note, "a name in the configuration is not used");
        }
        let pair = read_hotkey(config, stop).await?;
        let hotkey = pair.public().into();
        // The first of the slow steps: without a device or ffmpeg no video can be sampled.
        let judging = if parts.sampler && config.mechanism.plug() == Plug::Video {
            start.step("preparing the scoring device");
            Some(Judging::open(config).await?)
        } else {
            None
        };
        let buckets = Buckets::of(config, parts, hotkey)?;
        start.step("connecting to the chain");
        let (chain, state) = open_chain(config, hotkey, stop).await?;
        if parts.rehearses {
            chain.rehearse();
        }
        let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
        if let Some(own) = &buckets.own {
            start.step("checking the own bucket");
            prove(own, start, stop).await?;
        }
        let telemetry = Telemetry::new(judging.as_ref());
        start.step("reading the subnet");
        let heads = persist(stop, FIRST_PAUSE, || chain.follow_heads(stop.clone())).await?;
        let first =
            persist(stop, FIRST_PAUSE, || async { chain.metagraph(chain.head().await?).await })
                .await?;
        let (reader, history) =
            SubnetReader::new(chain.clone(), buckets.source.clone(), state.clone())?;
        let subnet = reader.start(first, history, heads.clone(), stop.clone());
        if subnet.metagraph.borrow().uid(&hotkey).is_none() {
            tracing::warn!(%hotkey, netuid = %config.netuid, "this hotkey is not registered on the subnet: register it with `leoma register`");
        }
        start.step("waiting for the subnet owner's allowlist");
        let history = first_allowlist(&subnet, stop).await?;
        start.step("reading the verdict files");
        let consensus = Arc::new(config.mechanism.consensus());
        let (schedule, allowlists) = (Arc::clone(&consensus), subnet.allowlists.clone());
        let open = move |state: &State| Library::open(state.clone(), schedule, allowlists);
        let library = state.on_disk(open).await?;
        let board = StoredBoard::open(&config.machine.state_dir)?;
        Ok(Self {
            hotkey,
            signer,
            consensus,
            scorer: judging.as_ref().map(|judging| judging.scorer().clone()),
            device: judging.as_ref().map_or_else(String::new, Judging::device),
            judging,
            chain,
            state,
            board,
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

/// Asks the chain until it answers or `stop`: at the start a node may be down, or refuse an address
/// that asked too often. What another try cannot change is an error.
async fn persist<T, A: Future<Output = Result<T, ChainError>>>(
    stop: &CancellationToken,
    mut pause: Duration,
    ask: impl Fn() -> A,
) -> anyhow::Result<T> {
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => bail!("stopped before the chain answered"),
            answer = ask() => match answer {
                Ok(answer) => return Ok(answer),
                Err(error @ (ChainError::OtherChain { .. } | ChainError::NoSubnet { .. })) => {
                    return Err(error.into());
                }
                Err(error) => error,
            },
        };
        tracing::warn!(%error, seconds = pause.as_secs(), "the chain does not answer, will retry");
        tokio::select! {
            () = stop.cancelled() => bail!("stopped before the chain answered"),
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Makes sure that the own bucket keeps what is written once, and waits while it is down: what was
/// signed before lies in it, so nothing is signed without it.
async fn prove(own: &OwnBucket, start: &Start, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match own.prove_create_once().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(error).context("R2_OWN_BUCKET cannot be used"),
        };
        start.step("waiting for the own bucket, which does not answer");
        tracing::warn!(%error, seconds = pause.as_secs(), "the own bucket does not answer, will retry");
        tokio::select! {
            () = stop.cancelled() => bail!("stopped before the own bucket answered"),
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

async fn open_chain(
    config: &Config,
    hotkey: Hotkey,
    stop: &CancellationToken,
) -> anyhow::Result<(ChainClient, State)> {
    let log = Arc::new(SentTransactions::default());
    let ChainSettings { urls, genesis, .. } = &config.chain;
    let shown: Vec<String> = urls.iter().map(|url| without_keys(url)).collect();
    tracing::info!(endpoints = shown.join(", "), netuid = %config.netuid, mechanism = config.mechanism.given, mecid = config.mechanism.mecid(), "connecting to the chain");
    let connect = || ChainClient::connect_all(urls, config.index(), *genesis, log.clone());
    let chain = persist(stop, FIRST_PAUSE, connect).await?;
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
        let policy = EndpointPolicy::for_peers(config.services.local_network);
        let peers = Arc::new(PeerBuckets::new(config.buckets.peers.peers.clone(), policy)?);
        Ok(Self { source, own, peers, policy })
    }
}

impl Telemetry {
    fn new(judging: Option<&Judging>) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.show_fetches();
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use leoma_protocol::Netuid;

    use super::*;

    #[test]
    fn a_listener_of_june_is_named_with_the_setting_to_use() {
        let rows = [
            ["API_HOST", "0.0.0.0", ".env"],
            ["API_PORT", "8000", "default"],
            ["API_URL", "https://a.example", ".env"],
        ];
        let notes = of_api_alone(&rows.map(|row| row.map(str::to_owned)));
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("API_HOST is not used here, because"), "{notes:?}");
        assert!(notes[0].contains("LEOMA_API_LISTEN"), "{notes:?}");
    }

    /// The result of asking the chain, and how often it was asked.
    async fn asked(answers: &[Result<u32, ChainError>]) -> (anyhow::Result<u32>, usize) {
        let tries = Cell::new(0);
        let ask = || {
            let answer = answers[tries.get()].clone();
            tries.set(tries.get() + 1);
            async { answer }
        };
        (persist(&CancellationToken::new(), Duration::ZERO, ask).await, tries.get())
    }

    #[tokio::test]
    async fn a_chain_that_refuses_at_the_start_is_waited_for() {
        let refused = || ChainError::Connect {
            url: "ws://a.example".to_owned(),
            reason: "429 Too Many Requests".to_owned(),
        };
        let (answer, tries) = asked(&[Err(refused()), Err(refused()), Ok(7)]).await;
        assert_eq!((answer.unwrap(), tries), (7, 3));
        // Waiting changes nothing about these.
        let wrong = ChainError::NoSubnet { netuid: Netuid(98) };
        let (answer, tries) = asked(&[Err(wrong), Ok(7)]).await;
        assert!(answer.unwrap_err().to_string().contains("NETUID") && tries == 1);
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped = persist(&stop, Duration::ZERO, std::future::pending::<Result<(), _>>);
        assert!(stopped.await.unwrap_err().to_string().contains("stopped"));
    }
}

//! A running validator: everything it needs, opened in an order in which every fault is found
//! before work begins, then the loops, watched, and stopped in an orderly way.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use leoma_chain::{ChainClient, ChainSettings, Head, without_keys};
use leoma_protocol::mesh::{Mesh, MeshConfig, MeshEvent, MeshHandle, Relay, Restored};
use leoma_protocol::{ConsensusParams, HotkeySigner, Network};
use leoma_rotation::{AllowlistHistory, WindowRange};
use leoma_scoring::worker::ScorerPool;
use leoma_storage::{EndpointPolicy, Grant, OwnBucket, PeerBuckets, SourceBucket};
use leoma_wallet::{create_private, load_hotkey};
use leoma_web::Phase;
use prometheus_client::registry::Registry;
use sp_core::Pair as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::{MeshMetrics, Metrics, register_scoring};
use crate::miners::{ChutesClient, HuggingFaceClient, MinerTable, MinerValidator};
use crate::outbound;
use crate::sampler::{Judging, Sampler};
use crate::state::{SentTransactions, State};
use crate::subnet::{Axons, Subnet, SubnetReader, axon_of};
use crate::verdicts::{Agreement, Library, restore};
use crate::weights::{WeightSetter, Weights};

use self::status::StatusSource;

mod status;

/// Which loops a process runs. The mesh, the library and the HTTP server are in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Validate miners and sample on our turn.
    pub sampler: bool,
    /// Set weights.
    pub weights: bool,
}

impl Parts {
    /// A whole validator.
    pub const ALL: Self = Self { sampler: true, weights: true };
}

/// How often it is said that there is no allowlist yet.
const WAIT_NOTE_EVERY: Duration = Duration::from_secs(30);
/// Time that loops have to end by themselves after a stop: an upload in hand, a weight transaction.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Runs a validator until `stop`.
///
/// # Errors
/// What kept it from starting, or the loop that died.
pub async fn serve(config: Config, parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let running = start(&config, parts, stop.clone()).await?;
    supervise(running, stop).await
}

type Tasks = JoinSet<(&'static str, anyhow::Result<()>)>;

struct Running {
    tasks: Tasks,
    mesh: MeshHandle,
    scorer: Option<ScorerPool>,
}

async fn start(config: &Config, parts: Parts, stop: CancellationToken) -> anyhow::Result<Running> {
    let pair = tokio::select! {
        biased;
        () = stop.cancelled() => bail!("stopped before the hotkey was read"),
        pair = load_hotkey(&config.wallet) => pair?,
    };
    let hotkey = pair.public().into();
    let listener = leoma_web::bind(config.http_listen).await?;
    // The scorer is opened first of the slow things: without a device or ffmpeg there is nothing to
    // sample with.
    let judging = if parts.sampler { Some(Judging::open(config).await?) } else { None };
    let own_config = if parts.sampler { Some(config.need_own()?) } else { config.own.as_ref() };
    let source = SourceBucket::new(config.need_source()?.open()?);
    let log = Arc::new(SentTransactions::default());
    let ChainSettings { urls, genesis, .. } = &config.chain;
    let shown: Vec<String> = urls.iter().map(|url| without_keys(url)).collect();
    tracing::info!(endpoints = shown.join(", "), netuid = %config.netuid, "connecting to the chain");
    let chain = ChainClient::connect_all(urls, config.netuid, *genesis, log.clone()).await?;
    let state = State::open(&config.state_dir, chain.network(), hotkey)?;
    log.keep_in(state.clone());
    let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
    let params = Arc::new(ConsensusParams::default());
    let own = own_config.map(|own| anyhow::Ok(OwnBucket::new(own.open()?, hotkey))).transpose()?;
    if let Some(own) = &own {
        own.prove_create_once().await.context("R2_OWN_BUCKET cannot be used")?;
    }
    for refused in &config.peers.refused {
        tracing::warn!(%refused, "peer left out");
    }
    let policy = own_config
        .map_or(EndpointPolicy::Public, |own| EndpointPolicy::for_peers_of(&own.endpoint));
    let buckets = Arc::new(PeerBuckets::new(config.peers.peers.clone(), policy)?);

    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let mesh_metrics = MeshMetrics::register(&mut registry);
    let scorer = judging.as_ref().map(|judging| judging.scorer().clone());
    if let Some(scorer) = scorer.clone() {
        register_scoring(&mut registry, move || scorer.counts());
    }
    let heads = chain.follow_heads(stop.clone()).await?;
    let (reader, history) = SubnetReader::new(chain.clone(), source.clone(), state.clone())?;
    let subnet = reader.start(history, heads.clone(), stop.clone()).await?;
    if subnet.metagraph.borrow().uid(&hotkey).is_none() {
        tracing::warn!(%hotkey, netuid = %config.netuid, "not registered on the subnet: register with `leoma register`");
    }

    let library = Library::open(state.clone(), Arc::clone(&params))?;
    let history = first_allowlist(&subnet, &stop).await?;
    let head = *heads.borrow();
    let first = WindowRange::new(&params, &history, head.number).oldest_task();
    let restored = restore(&state, first)?;
    let (mesh, events) = start_mesh(
        config,
        &signer,
        &params,
        chain.network(),
        &history,
        head,
        restored,
        &mut registry,
    )?;
    let agreement = Agreement::new(
        mesh.clone(),
        signer.clone(),
        library.clone(),
        Arc::clone(&buckets),
        state.clone(),
        metrics.clone(),
    );
    agreement.resume(first).await?;
    if let Some(read) = &config.own_read {
        set_grant(&mesh, read).await?;
    } else if own.is_some() {
        tracing::warn!(
            "R2_OWN_READ_ACCESS_KEY is not set: peers get verdict files over the mesh only"
        );
    }

    let mut tasks = Tasks::new();
    let (head_moved_sender, head_moved) = watch::channel(Instant::now());
    spawn_followers(
        &mut tasks,
        &subnet,
        &heads,
        &mesh,
        &buckets,
        &metrics,
        head_moved_sender,
        &stop,
    );
    {
        let (agreement, stop) = (agreement.clone(), stop.clone());
        tasks.spawn(async move {
            agreement.run(events, stop).await;
            ("agreement", Ok(()))
        });
    }
    {
        let axons = Axons {
            chain: chain.clone(),
            signer: signer.clone(),
            mesh: mesh.clone(),
            policy,
            own: axon_of(&config.mesh.external),
        };
        let (metagraphs, allowlists, stop) =
            (subnet.metagraph.clone(), subnet.allowlists.clone(), stop.clone());
        tasks.spawn(async move {
            axons.run(metagraphs, allowlists, stop).await;
            ("address keeper", Ok(()))
        });
    }
    let mut miners = None;
    let device = judging.as_ref().map_or_else(String::new, |judging| judging.device());
    if let (Some(judging), Some(own)) = (judging, own) {
        let client = outbound::client()?;
        let chutes = ChutesClient::new(client.clone(), &config.services);
        let hugging_face = HuggingFaceClient::new(client, &config.services);
        let validator = MinerValidator::new(chutes.clone(), hugging_face, &config.services);
        let table = spawn_miner_validation(&mut tasks, validator, config, &subnet, &metrics, &stop);
        miners = Some(table.clone());
        let sampler = Sampler {
            chain: chain.clone(),
            signer: signer.clone(),
            params: Arc::clone(&params),
            config: config.sampling.clone(),
            source,
            own,
            chutes,
            miners: table,
            allowlists: subnet.allowlists.clone(),
            judging,
            library: library.clone(),
            agreement: agreement.clone(),
            state: state.clone(),
            spool: config.state_dir.join("tasks"),
            metrics: metrics.clone(),
        };
        let (heads, stop) = (heads.clone(), stop.clone());
        tasks.spawn(async move {
            sampler.run(heads, stop).await;
            ("sampler", Ok(()))
        });
    }
    if parts.weights {
        let weights = Weights {
            chain: chain.clone(),
            signer: signer.clone(),
            state: state.clone(),
            beacon: config.chain.beacon.clone(),
            metrics: metrics.clone(),
        };
        let setter = WeightSetter {
            chain: chain.clone(),
            signer,
            params,
            library,
            agreement: agreement.clone(),
            state: state.clone(),
            weights,
            allowlists: subnet.allowlists.clone(),
            metrics,
        };
        let (heads, stop) = (heads.clone(), stop.clone());
        tasks.spawn(
            async move { ("weight setter", setter.run(heads, stop).await.map_err(Into::into)) },
        );
    }
    let status = StatusSource {
        hotkey,
        chain,
        heads,
        head_moved,
        metagraph: subnet.metagraph,
        allowlists: subnet.allowlists,
        miners,
        agreement,
        mesh_metrics,
        state,
        device,
        scorer: scorer.clone(),
        registry,
    };
    tracing::info!(%hotkey, http = %config.http_listen, "validator started");
    let (_, phase) = watch::channel(Phase::Running(Arc::new(status)));
    tasks.spawn(async move {
        ("HTTP server", leoma_web::serve(listener, phase, stop).await.map_err(Into::into))
    });
    Ok(Running { tasks, mesh, scorer })
}

/// The mesh's identity: an ed25519 seed in `libp2p.key`, made at the first start.
fn mesh_key(folder: &Path) -> anyhow::Result<libp2p::identity::Keypair> {
    let path = folder.join("libp2p.key");
    let seed: [u8; 32] = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let mut seed = [0; 32];
            hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| {
                anyhow::anyhow!(
                    "{} is not 64 hexadecimal digits; delete it for a new identity",
                    path.display()
                )
            })?;
            seed
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed: [u8; 32] = rand::random();
            let written = create_private(&path)
                .and_then(|mut file| file.write_all(hex::encode(seed).as_bytes()));
            written.with_context(|| path.display().to_string())?;
            seed
        }
        Err(error) => bail!("{}: {error}", path.display()),
    };
    Ok(libp2p::identity::Keypair::ed25519_from_bytes(seed)?)
}

#[expect(clippy::too_many_arguments, reason = "each is one channel between two loops")]
fn spawn_followers(
    tasks: &mut Tasks,
    subnet: &Subnet,
    heads: &watch::Receiver<Head>,
    mesh: &MeshHandle,
    buckets: &Arc<PeerBuckets>,
    metrics: &Metrics,
    head_moved: watch::Sender<Instant>,
    stop: &CancellationToken,
) {
    let (mut heads, mesh_of_heads, metrics, stopped) =
        (heads.clone(), mesh.clone(), metrics.clone(), stop.clone());
    tasks.spawn(async move {
        loop {
            let head = heads.borrow_and_update().number;
            metrics.head_block.set(i64::try_from(head.0).unwrap_or(i64::MAX));
            head_moved.send_replace(Instant::now());
            let _stopping = mesh_of_heads.set_head(head).await;
            tokio::select! {
                () = stopped.cancelled() => return ("heads", Ok(())),
                changed = heads.changed() => if changed.is_err() { return ("heads", Ok(())) },
            }
        }
    });
    let (mut allowlists, mesh, buckets, stopped) =
        (subnet.allowlists.clone(), mesh.clone(), Arc::clone(buckets), stop.clone());
    tasks.spawn(async move {
        loop {
            let history = Arc::clone(&allowlists.borrow_and_update());
            for entry in history.entries() {
                let _stopping = mesh.set_interval_from(entry.from_task, entry.allowlist.interval()).await;
                let _stopping = mesh.set_allowlist_from(entry.from_task, entry.allowlist.validators().to_vec()).await;
            }
            if let Some(entry) = history.entries().last() {
                buckets.retain(|hotkey| entry.allowlist.contains(hotkey));
            }
            tokio::select! {
                () = stopped.cancelled() => return ("allowlist", Ok(())),
                changed = allowlists.changed() => if changed.is_err() { return ("allowlist", Ok(())) },
            }
        }
    });
}

fn spawn_miner_validation(
    tasks: &mut Tasks,
    mut validator: MinerValidator,
    config: &Config,
    subnet: &Subnet,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> watch::Receiver<Arc<MinerTable>> {
    let (sender, receiver) = watch::channel(Arc::new(MinerTable::default()));
    let (metagraph, every, metrics, stop) = (
        subnet.metagraph.clone(),
        config.sampling.validation_interval,
        metrics.clone(),
        stop.clone(),
    );
    tasks.spawn(async move {
        loop {
            let current = Arc::clone(&metagraph.borrow());
            let previous = Arc::clone(&sender.borrow());
            let table = tokio::select! {
                () = stop.cancelled() => return ("miner validation", Ok(())),
                table = validator.check(&current, &previous) => table,
            };
            let valid = table.valid().count();
            if table.miners != previous.miners {
                tracing::info!(valid, committed = table.miners.len(), block = %table.block, "miners checked");
                for (hotkey, miner) in
                    table.miners.iter().filter(|(hotkey, miner)| previous.miners.get(hotkey) != Some(miner))
                {
                    tracing::info!(miner = %hotkey, validity = ?miner.validity, "miner changed");
                }
            }
            metrics.valid_miners.set(i64::try_from(valid).unwrap_or(i64::MAX));
            sender.send_replace(Arc::new(table));
            tokio::select! {
                () = stop.cancelled() => return ("miner validation", Ok(())),
                () = tokio::time::sleep(every) => {}
            }
        }
    });
    receiver
}

async fn set_grant(mesh: &MeshHandle, read: &leoma_storage::BucketConfig) -> anyhow::Result<()> {
    let bytes = Grant::with_keys(read)
        .context("R2_OWN_READ_ACCESS_KEY cannot be granted to peers")?
        .encode();
    let grant = leoma_protocol::mesh::GrantBytes::new(bytes).context("the grant is too long")?;
    mesh.set_grant(grant).await?;
    Ok(())
}

/// Waits for a stop or for the first loop that ends by itself, then ends all of them.
async fn supervise(mut running: Running, stop: CancellationToken) -> anyhow::Result<()> {
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = running.tasks.join_next() => match ended {
            Some(Ok((name, Ok(())))) if stop.is_cancelled() => { tracing::debug!(name, "ended"); Ok(()) }
            Some(Ok((name, Ok(())))) => Err(anyhow::anyhow!("the {name} ended unexpectedly")),
            Some(Ok((name, Err(error)))) => Err(error.context(format!("the {name} failed"))),
            Some(Err(panic)) => Err(anyhow::anyhow!("a loop panicked: {panic}")),
            None => Ok(()),
        },
    };
    stop.cancel();
    tracing::info!("stopping");
    let all = async { while running.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
        tracing::warn!(seconds = STOP_WITHIN.as_secs(), "some loops did not end in time");
        running.tasks.abort_all();
    }
    running.mesh.shutdown().await;
    if let Some(scorer) = running.scorer {
        scorer.close().await;
    }
    outcome
}

/// Without an allowlist there are no validators to talk to and no tasks: waits for the first one.
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

#[expect(
    clippy::too_many_arguments,
    reason = "a mesh is started from everything that was opened before it"
)]
fn start_mesh(
    config: &Config,
    signer: &HotkeySigner,
    params: &ConsensusParams,
    network: Network,
    history: &AllowlistHistory,
    head: Head,
    restored: Restored,
    registry: &mut Registry,
) -> anyhow::Result<(MeshHandle, mpsc::Receiver<MeshEvent>)> {
    let newest = history.entries().last().context("no allowlist")?;
    let keypair = mesh_key(&config.state_dir)?;
    let mut mesh = MeshConfig::new(
        keypair,
        network,
        params.clone(),
        newest.allowlist.interval(),
        signer.clone(),
    );
    mesh.listen = config.mesh.listen.clone();
    mesh.external = config.mesh.external.clone();
    mesh.bootnodes = config.mesh.bootnodes.clone();
    mesh.mdns = config.mesh.mdns;
    mesh.relay = Relay { serve: config.mesh.relay_serve, via: config.mesh.relay_via.clone() };
    mesh.allowlist = newest.allowlist.validators().to_vec();
    mesh.head = head.number;
    mesh.restored = restored;
    Mesh::spawn_counted(mesh, registry)
        .context("the mesh cannot start (is the port of LEOMA_MESH_LISTEN in use?)")
}

//! A running subnet: start it, look at it, hurt it, stop it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leoma_chain::ChainClient;
use subxt::rpcs::RpcClient;

use super::agreement::Agreement;
use super::environment::Addresses;
use super::hosts::Hosts;
use super::mechanism::Mechanism;
use super::options::Options;
use super::order::Order;
use super::part::Part;
use super::plan::{NETUID, SubnetPlan, ValidatorPlan};
use super::programs::Programs;
use super::report::{MechanismReport, Report, ValidatorReport};
use super::siblings::{Sibling, connect, seen, watch};
use super::starting::{Folder, Starting, Validator, addresses, corpus_cache};
use super::status::ValidatorStatus;
use super::view::{ValidatorView, View};
use super::watch::Watch;
use super::{LaunchError, Result, publish, verdicts};
use crate::chain::{Emissions, FaultProxy};
use crate::{corpus, miners};

/// The time that a part has to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// Emissions are read within this, even on a busy machine; a view without them is better than none.
const EMISSIONS_LIMIT: Duration = Duration::from_secs(3);

/// A running subnet. Dropping it kills every part; [`Subnet::stop`] lets them end by themselves.
#[derive(Debug)]
pub struct Subnet {
    /// The plan it was started from.
    pub plan: SubnetPlan,
    // Fields are dropped in this order: readers of the chain before the chain, all parts before
    // their folder.
    watch: Watch,
    rpc: RpcClient,
    pub(crate) chain: ChainClient,
    pub(super) validators: Vec<Validator>,
    /// The further mechanisms.
    siblings: Vec<Sibling>,
    /// In front of the chain, one for each validator; none in a run whose endpoints stay whole.
    pub(super) proxies: Vec<FaultProxy>,
    infrastructure: Vec<Part>,
    pub(super) hosts: Option<Hosts>,
    /// Where the chain, the storage and the services answer.
    pub addresses: Addresses,
    pub(super) client: reqwest::Client,
    /// When the processes were started.
    pub(crate) start: Instant,
    folder: Folder,
}

impl Subnet {
    /// Starts everything, and calls `say` before each step. The validators run when this returns,
    /// ready or not.
    ///
    /// Call it on a thread that outlives the subnet: parts end with the thread that started them.
    ///
    /// # Errors
    /// [`LaunchError`] names the part or file that failed; whatever ran is stopped.
    pub async fn start(options: Options, say: impl Fn(&str)) -> Result<Self> {
        options.check()?;
        let programs = Programs::find()?;
        let plan = SubnetPlan::draw(&options);
        let folder = Folder::open(&options)?;
        let corpus = match plan.asks_axons() {
            true => None,
            false => Some(source_clips(&options, &plan, &say).await?),
        };
        let starting = Starting { options: &options, plan: &plan, programs, folder: &folder.path };
        for name in ["logs", "wallets", "owner"] {
            starting.subfolder(name)?;
        }
        plan.write_wallets(&folder.path.join("wallets"))?;
        say(&format!("folder {}", folder.path.display()));
        say("starting chain, storage and services");
        let start = Instant::now();
        let mut infrastructure = vec![starting.chain()?, starting.storage()?];
        if let Some(corpus) = &corpus {
            infrastructure.push(starting.services(corpus)?);
        }
        let mut addresses = addresses(&mut infrastructure, &folder.path).await?;
        say(&format!("chain {}, storage {}", addresses.chain, addresses.storage));
        let first = plan.mechanisms.first().copied().unwrap_or_default();
        let chain = connect(&addresses, first).await?;
        let rpc = RpcClient::from_insecure_url(&addresses.chain).await?;
        let watch = watch(&plan, first, chain.clone(), rpc.clone(), start).await?;
        let prepared = match &corpus {
            Some(corpus) => {
                say("uploading source clips, committing models, publishing the allowlist");
                prepare_video(&starting, &addresses, &chain, corpus).await
            }
            None => {
                say("announcing axons, publishing challenges or commitments, and the allowlist");
                let mut axons = starting.axons(&addresses)?;
                let prepared = prepare_axons(&starting, &addresses, &mut axons, &chain).await;
                infrastructure.push(axons);
                prepared.map(|(clips, market)| {
                    addresses.market = market;
                    clips
                })
            }
        };
        // If a part has ended, that is the cause to report.
        infrastructure.iter_mut().try_for_each(Part::check)?;
        let clips = prepared?;
        say(&format!(
            "{clips} clips, {} miners, starting {} validators",
            plan.miners.len(),
            plan.validators.len()
        ));
        let proxies = endpoint_proxies(&options, &addresses.chain).await?;
        let endpoints: Vec<String> = match &proxies[..] {
            [] => vec![addresses.chain.clone(); plan.validators.len()],
            proxies => proxies.iter().map(|proxy| proxy.url().to_owned()).collect(),
        };
        let hosts = options.namespaces.then(|| Hosts::new(&endpoints, &addresses)).transpose()?;
        let validators = starting.validators(first, &addresses, &endpoints, hosts.as_ref())?;
        let mut siblings = Vec::new();
        for &mechanism in plan.mechanisms.iter().skip(1) {
            let chain = connect(&addresses, mechanism).await?;
            let watched = self::watch(&plan, mechanism, chain, rpc.clone(), start).await?;
            let validators = starting.validators(mechanism, &addresses, &endpoints, None)?;
            siblings.push(Sibling::start(mechanism, watched, validators)?);
        }
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut subnet = Self {
            plan,
            watch,
            rpc,
            chain,
            validators,
            siblings,
            proxies,
            infrastructure,
            hosts,
            addresses,
            client,
            start,
            folder,
        };
        for index in 0..subnet.validators.len() {
            subnet.restart_validator(index)?;
        }
        Ok(subnet)
    }

    /// The folder of logs, wallets and state.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Where each validator serves its pages.
    pub fn pages(&self) -> impl Iterator<Item = &str> {
        self.validators.iter().map(|validator| validator.url.as_str())
    }

    /// The folder of a validator: its `.env` and its `state`.
    pub fn validator_folder(&self, index: usize) -> Option<&Path> {
        self.validators.get(index).map(|validator| validator.plan.folder.as_path())
    }

    /// Fails when a part has ended that was not killed on purpose.
    ///
    /// # Errors
    /// [`LaunchError::Died`] with the part's last log lines.
    pub fn check(&mut self) -> Result<()> {
        let siblings = self.siblings.iter_mut().flat_map(|sibling| &mut sibling.validators);
        let validators = self.validators.iter_mut().chain(siblings);
        let parts = validators.filter_map(|validator| validator.part.as_mut());
        self.infrastructure.iter_mut().chain(parts).try_for_each(Part::check)
    }

    /// Fails when the chain, the storage or the services have ended.
    ///
    /// # Errors
    /// [`LaunchError::Died`] with the part's last log lines.
    pub(crate) fn check_infrastructure(&mut self) -> Result<()> {
        self.infrastructure.iter_mut().try_for_each(Part::check)
    }

    /// Validators that ended by themselves since the last call, with the reason. From now on they
    /// count as killed.
    pub(crate) fn take_ended(&mut self) -> Vec<(usize, LaunchError)> {
        let mut ended = Vec::new();
        for (index, validator) in self.validators.iter_mut().enumerate() {
            if let Some(Err(error)) = validator.part.as_mut().map(Part::check) {
                validator.part = None;
                ended.push((index, error));
            }
        }
        ended
    }

    /// The newest block.
    pub fn block(&self) -> u64 {
        self.watch.block()
    }

    /// Where a validator's mesh can be dialled over TCP from this machine or, with namespaces, from
    /// a host of the network.
    pub(crate) fn mesh_address(&self, index: usize) -> Option<libp2p::Multiaddr> {
        let ip = match &self.hosts {
            Some(hosts) => hosts.network.address(index).ok()?,
            None => Ipv4Addr::LOCALHOST,
        };
        let (port, peer_id) =
            (self.validators.get(index)?.mesh_port, self.plan.validators.get(index)?.peer_id?);
        format!("/ip4/{ip}/tcp/{port}/p2p/{peer_id}").parse().ok()
    }

    /// The port of a validator's mesh.
    pub(crate) fn mesh_port(&self, index: usize) -> Option<u16> {
        self.validators.get(index).map(|validator| validator.mesh_port)
    }

    /// Looks at everything once.
    pub async fn view(&mut self) -> View {
        let client = &self.client;
        let siblings = self.siblings.iter_mut().flat_map(|sibling| &mut sibling.validators);
        let all = self.validators.iter_mut().chain(siblings);
        let running = all.filter(|validator| validator.part.is_some());
        let asked = running.map(|validator| async move {
            match ValidatorStatus::fetch(client, &validator.url).await {
                Some(status) => validator.status = status,
                None => validator.status.ready = false,
            }
        });
        futures::future::join_all(asked).await;
        let (validators, agreement) = seen(&self.plan, &self.validators, &self.watch);
        let mechanisms = self.siblings.iter().map(|sibling| sibling.view(&self.plan)).collect();
        let emissions =
            tokio::time::timeout(EMISSIONS_LIMIT, Emissions::read(&self.rpc, NETUID)).await;
        let emissions = emissions.ok().and_then(|read| {
            read.inspect_err(|error| tracing::debug!(%error, "cannot read the emissions")).ok()
        });
        View { block: self.watch.block(), validators, agreement, mechanisms, emissions }
    }

    /// Looks once a second until `done` is content with what it sees.
    ///
    /// # Errors
    /// When a part dies, or time runs out.
    pub async fn wait_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&View) -> bool,
    ) -> Result<View> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            let view = self.view().await;
            if done(&view) {
                return Ok(view);
            }
            if Instant::now() > deadline {
                return Err(LaunchError::TimeOut {
                    after: limit,
                    state: self.state(&view).await,
                    logs: self.folder.path.join("logs"),
                });
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Where the run stands, in a line: for an error.
    async fn state(&self, view: &View) -> String {
        let mut parts = vec![format!("block {}", view.block)];
        for (index, validator) in self.validators.iter().enumerate() {
            let status = validator.status;
            let obstacles = ValidatorStatus::obstacles(&self.client, &validator.url).await;
            let ready = if obstacles.is_empty() { "ready".into() } else { obstacles.join(", ") };
            parts.push(format!(
                "validator-{}: {} peers, {} tasks, {} certificates, {ready}",
                index + 1,
                status.peers,
                status.tasks_sampled,
                status.certificates
            ));
        }
        parts.join("; ")
    }

    /// Kills a validator as a power cut does.
    pub fn kill_validator(&mut self, index: usize) {
        if let Some(mut part) =
            self.validators.get_mut(index).and_then(|validator| validator.part.take())
        {
            part.kill();
        }
    }

    /// Starts a validator that does not run, with the folder, keys and ports it had.
    ///
    /// # Errors
    /// When the process does not start.
    pub fn restart_validator(&mut self, index: usize) -> Result<()> {
        if let Some(validator) =
            self.validators.get_mut(index).filter(|validator| validator.part.is_none())
        {
            validator.part = Some(Part::start(validator.plan.clone())?);
        }
        Ok(())
    }

    /// The result of the run, where agreement takes `epochs` consecutive epochs.
    pub fn report(&self, view: &View, epochs: usize) -> Report {
        let emissions = view.emissions.clone().unwrap_or_default();
        let earned = |uid| emissions.of_uid(uid).map_or(0, |neuron| neuron.emission);
        let reports = |views: &[ValidatorView]| {
            let of = |(plan, view): (&ValidatorPlan, &ValidatorView)| ValidatorReport {
                hotkey: plan.account.hotkey,
                uid: plan.uid,
                peers: view.status.peers,
                epochs: view.history.values().cloned().collect(),
                tasks_sampled: view.status.tasks_sampled,
                certificates: view.status.certificates,
                witnesses: view.status.witnesses,
                emission: earned(plan.uid),
            };
            self.plan.validators.iter().zip(views).map(of).collect()
        };
        let agreed = |agreement: &Option<Agreement>| {
            agreement.as_ref().is_some_and(|agreement| agreement.epochs.len() >= epochs)
        };
        let winner =
            |agreement: &Option<Agreement>| agreement.as_ref().map(|agreement| agreement.winner);
        let storage = self.folder.path.join("storage");
        let verdicts = |mechanism: Mechanism| {
            let places = self.plan.places(mechanism).into_iter();
            let buckets: Vec<String> = places.map(|place| place.bucket.bucket).collect();
            verdicts::of_miners(&storage, &buckets, &self.plan.miners)
        };
        let mechanisms = view.mechanisms.iter().map(|further| MechanismReport {
            mechanism: further.mechanism,
            agreed: agreed(&further.agreement),
            winner: winner(&further.agreement),
            validators: reports(&further.validators),
            miners: verdicts(further.mechanism),
        });
        let first = self.plan.mechanisms.first().copied().unwrap_or_default();
        let order = view.agreement.as_ref().and_then(|agreement| {
            let epoch_block = *agreement.epochs.last()?;
            let weights = &view.validators.first()?.history.get(&epoch_block)?.weights;
            Order::of(&self.plan.miners, epoch_block, weights)
        });
        Report {
            order,
            validators: reports(&view.validators),
            agreed: agreed(&view.agreement),
            winner: winner(&view.agreement),
            mechanisms: mechanisms.collect(),
            expected_winner: self.plan.expected_winner().map(|miner| miner.account.hotkey),
            duration_s: self.start.elapsed().as_secs_f64(),
            first_weights_s: self.watch.seen().first_agreed.map(|after| after.as_secs_f64()),
            miners: verdicts(first),
            emissions,
        }
    }

    /// Stops validators, then everything else, and kills what does not end in time. A temporary
    /// folder is removed.
    pub async fn stop(self) {
        let Self {
            watch,
            rpc,
            chain,
            mut validators,
            siblings,
            infrastructure,
            folder,
            hosts,
            proxies,
            ..
        } = self;
        let mut watches = vec![watch];
        for sibling in siblings {
            watches.push(sibling.watch);
            validators.extend(sibling.validators);
        }
        // A paused process cannot end by itself.
        validators.iter().filter_map(|validator| validator.part.as_ref()).for_each(Part::resume);
        // Readers of the chain stop first, or they would log its end as an error.
        drop((watches, rpc, chain));
        stop_all(validators.into_iter().filter_map(|validator| validator.part).collect()).await;
        drop(proxies);
        stop_all(infrastructure).await;
        drop((hosts, folder));
    }
}

/// What the owner and the miners of a video subnet do before validators start; returns the number of
/// source clips.
async fn prepare_video(
    starting: &Starting<'_>,
    addresses: &Addresses,
    chain: &ChainClient,
    corpus: &Path,
) -> Result<usize> {
    let (clips, (), ()) = tokio::try_join!(
        publish::upload_corpus(&addresses.storage, starting.plan, corpus),
        publish::commit_miners(chain, &starting.plan.miners),
        starting.publish_allowlist(addresses),
    )?;
    Ok(clips)
}

/// The same where miners are asked through their axons; returns the number of challenges, and the
/// feed of the market that is forecast.
async fn prepare_axons(
    starting: &Starting<'_>,
    addresses: &Addresses,
    axons: &mut Part,
    chain: &ChainClient,
) -> Result<(usize, String)> {
    let has_challenges = starting.plan.mechanisms.contains(&Mechanism::Motion);
    let published = async {
        starting.publish_allowlist(addresses).await?;
        if has_challenges { starting.publish_challenges(addresses).await } else { Ok(0) }
    };
    let (report, clips) = tokio::try_join!(starting.announced(axons), published)?;
    if starting.plan.mechanisms.contains(&Mechanism::Oracle) {
        // Of equal forecasts the older commitment is first. A hotkey sends one transaction at a time.
        publish::commit_miners(chain, &starting.plan.miners).await?;
    }
    Ok((clips, report.market))
}

/// An endpoint that can be hurt for each validator, if the options ask for that.
async fn endpoint_proxies(options: &Options, chain: &str) -> Result<Vec<FaultProxy>> {
    let count = if options.own_endpoints { options.validators } else { 0 };
    let mut proxies = Vec::with_capacity(count);
    for _ in 0..count {
        let started = FaultProxy::start(chain).await;
        let failed = |source| LaunchError::Spawn { part: "a chain endpoint".into(), source };
        proxies.push(started.map_err(failed)?);
    }
    Ok(proxies)
}

/// The folder of source clips: the operator's, or a made one.
async fn source_clips(options: &Options, plan: &SubnetPlan, say: impl Fn(&str)) -> Result<PathBuf> {
    let folder = match &options.corpus {
        Some(corpus) => std::fs::canonicalize(corpus)
            .map_err(|source| LaunchError::Io { path: corpus.clone(), source })?,
        None => {
            say("making source clips, and what models make of them");
            let folder = corpus::make(&plan.seed, &corpus_cache()).await?;
            let roles = plan.miners.iter().map(|miner| miner.entry.role);
            miners::prepare(&folder, roles).await?;
            folder
        }
    };
    corpus::list(&folder)?;
    Ok(folder)
}

async fn stop_all(mut parts: Vec<Part>) {
    parts.iter().for_each(Part::terminate);
    let deadline = Instant::now() + STOP_LIMIT;
    for part in &mut parts {
        part.end(deadline).await;
    }
}

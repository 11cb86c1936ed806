//! A running subnet: start it, look at it, hurt it, stop it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leoma_chain::ChainClient;
use leoma_protocol::Netuid;
use subxt::rpcs::RpcClient;

use super::agreement::{History, longest_agreement};
use super::environment::Addresses;
use super::hosts::Hosts;
use super::options::Options;
use super::part::Part;
use super::plan::{NETUID, SubnetPlan};
use super::programs::Programs;
use super::report::{Report, ValidatorReport};
use super::starting::{Folder, Starting, Validator, addresses, corpus_cache};
use super::status::ValidatorStatus;
use super::view::{ValidatorView, View};
use super::watch::{Watch, Watched};
use super::{LaunchError, Result, publish, verdicts};
use crate::chain::Emissions;
use crate::corpus;

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
        let corpus = source_clips(&options, &plan, &say).await?;
        let starting = Starting { options: &options, plan: &plan, programs, folder: &folder.path };
        for name in ["logs", "wallets", "owner"] {
            starting.subfolder(name)?;
        }
        plan.write_wallets(&folder.path.join("wallets"))?;
        say(&format!("folder {}", folder.path.display()));
        say("starting chain, storage and services");
        let start = Instant::now();
        let mut infrastructure =
            vec![starting.chain()?, starting.storage()?, starting.services(&corpus)?];
        let addresses = addresses(&mut infrastructure, &folder.path).await?;
        say(&format!("chain {}, storage {}", addresses.chain, addresses.storage));
        let chain = ChainClient::connect(&addresses.chain, Netuid(NETUID)).await?;
        let rpc = RpcClient::from_insecure_url(&addresses.chain).await?;
        let hotkeys = plan.validators.iter().map(|validator| validator.account.hotkey).collect();
        let watched =
            Watched { validators: hotkeys, owner: plan.owner.hotkey, weights: plan.weights, start };
        let watch = Watch::start(chain.clone(), rpc.clone(), watched).await?;
        say("uploading source clips, committing models, publishing the allowlist");
        let prepared = tokio::try_join!(
            publish::upload_corpus(&addresses.storage, &plan, &corpus),
            publish::commit_miners(&chain, &plan.miners),
            starting.publish_allowlist(&addresses),
        );
        // If a part has ended, that is the cause to report.
        infrastructure.iter_mut().try_for_each(Part::check)?;
        let (clips, (), ()) = prepared?;
        say(&format!(
            "{clips} clips, {} miners, starting {} validators",
            plan.miners.len(),
            plan.validators.len()
        ));
        let hosts = options
            .namespaces
            .then(|| Hosts::new(plan.validators.len(), &addresses))
            .transpose()?;
        let validators = starting.validators(&addresses, hosts.as_ref())?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut subnet = Self {
            plan,
            watch,
            rpc,
            chain,
            validators,
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

    /// The folder of a validator: its `.env` and its `state`.
    pub fn validator_folder(&self, index: usize) -> Option<&Path> {
        self.validators.get(index).map(|validator| validator.plan.folder.as_path())
    }

    /// Fails when a part has ended that was not killed on purpose.
    ///
    /// # Errors
    /// [`LaunchError::Died`] with the part's last log lines.
    pub fn check(&mut self) -> Result<()> {
        let validators = self.validators.iter_mut().filter_map(|validator| validator.part.as_mut());
        self.infrastructure.iter_mut().chain(validators).try_for_each(Part::check)
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

    /// Looks at everything once.
    pub async fn view(&mut self) -> View {
        let client = &self.client;
        let running = self.validators.iter_mut().filter(|validator| validator.part.is_some());
        let asked = running.map(|validator| async move {
            match ValidatorStatus::fetch(client, &validator.url).await {
                Some(status) => validator.status = status,
                None => validator.status.ready = false,
            }
        });
        futures::future::join_all(asked).await;
        let seen = self.watch.seen();
        let views: Vec<ValidatorView> = self
            .plan
            .validators
            .iter()
            .zip(&self.validators)
            .map(|(plan, validator)| {
                let hotkey = plan.account.hotkey;
                let history = seen.histories.get(&hotkey).cloned().unwrap_or_default();
                ValidatorView {
                    hotkey,
                    running: validator.part.is_some(),
                    status: validator.status,
                    history,
                }
            })
            .collect();
        let histories: Vec<&History> = views.iter().map(|view| &view.history).collect();
        let agreement = longest_agreement(&histories, &self.plan.owner.hotkey);
        let emissions =
            tokio::time::timeout(EMISSIONS_LIMIT, Emissions::read(&self.rpc, NETUID)).await;
        let emissions = emissions.ok().and_then(|read| {
            read.inspect_err(|error| tracing::debug!(%error, "cannot read the emissions")).ok()
        });
        View { block: self.watch.block(), validators: views, agreement, emissions }
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
                    logs: self.folder.path.join("logs"),
                });
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
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
        let validators =
            self.plan.validators.iter().zip(&view.validators).map(|(plan, view)| ValidatorReport {
                hotkey: plan.account.hotkey,
                uid: plan.uid,
                peers: view.status.peers,
                epochs: view.history.values().cloned().collect(),
                tasks_sampled: view.status.tasks_sampled,
                emission: earned(plan.uid),
            });
        Report {
            validators: validators.collect(),
            agreed: view
                .agreement
                .as_ref()
                .is_some_and(|agreement| agreement.epochs.len() >= epochs),
            winner: view.agreement.as_ref().map(|agreement| agreement.winner),
            expected_winner: self.plan.expected_winner().map(|miner| miner.account.hotkey),
            duration_s: self.start.elapsed().as_secs_f64(),
            first_weights_s: self.watch.seen().first_agreed.map(|after| after.as_secs_f64()),
            miners: verdicts::of_miners(&self.folder.path.join("storage"), &self.plan.miners),
            emissions,
        }
    }

    /// Stops validators, then everything else, and kills what does not end in time. A temporary
    /// folder is removed.
    pub async fn stop(self) {
        let Self { watch, rpc, chain, validators, infrastructure, folder, hosts, .. } = self;
        // A paused process cannot end by itself.
        validators.iter().filter_map(|validator| validator.part.as_ref()).for_each(Part::resume);
        // Readers of the chain stop first, or they would log its end as an error.
        drop((watch, rpc, chain));
        stop_all(validators.into_iter().filter_map(|validator| validator.part).collect()).await;
        stop_all(infrastructure).await;
        drop((hosts, folder));
    }
}

/// The folder of source clips: the operator's, or a made one.
async fn source_clips(options: &Options, plan: &SubnetPlan, say: impl Fn(&str)) -> Result<PathBuf> {
    let folder = match &options.corpus {
        Some(corpus) => std::fs::canonicalize(corpus)
            .map_err(|source| LaunchError::Io { path: corpus.clone(), source })?,
        None => {
            say("making source clips");
            corpus::make(&plan.seed, &corpus_cache()).await?
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

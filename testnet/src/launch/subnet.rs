//! A running subnet: start it, look at it, hurt it, stop it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leoma::chain::ChainClient;
use leoma_protocol::{Hotkey, Netuid};
use serde::de::DeserializeOwned;

use super::LaunchError;
use super::accounts::{make_private_folder, write_private};
use super::agreement::{Agreement, History, longest_agreement};
use super::environment::{
    self, Addresses, CHUTES_KEY_PURPOSE, Environment, GEMINI_KEY_PURPOSE, Ports, ValidatorSettings,
};
use super::part::{Part, PartPlan};
use super::plan::{NETUID, SubnetPlan};
use super::programs::Programs;
use super::publish;
use super::report::{Report, ValidatorReport};
use super::status::ValidatorStatus;
use super::watch::Watch;
use crate::corpus;
use crate::services::{ServicesConfig, ServicesReport};
use crate::storage::{BucketKeys, write_keys};

/// The chain, the storage and the services are up within this, on a busy machine too.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a part that starts is looked at.
const START_POLL: Duration = Duration::from_millis(50);
/// What a part has to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// Videos encoded at the same time: the machine also scores.
const ENCODERS: usize = 2;
/// Most validators and miners: beyond it one machine shows nothing but its own slowness.
const MAX_NEURONS: usize = 64;

/// What a subnet shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Validators.
    pub validators: usize,
    /// Miners.
    pub miners: usize,
    /// Milliseconds of a block.
    pub block_time: u64,
    /// Blocks of a task.
    pub interval: u64,
    /// Where keys, clips and roles come from.
    pub seed: String,
    /// Own source clips instead of made ones.
    pub corpus: Option<PathBuf>,
    /// Folder for everything; without it a temporary one.
    pub folder: Option<PathBuf>,
    /// Whether a temporary folder stays.
    pub keep: bool,
    /// Where validators score: `auto`, `cuda` or `cpu`.
    pub device: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validators: 4,
            miners: 6,
            block_time: 500,
            interval: 40,
            seed: "1".into(),
            corpus: None,
            folder: None,
            keep: false,
            device: "auto".into(),
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), LaunchError> {
        if self.validators == 0 || self.miners == 0 {
            return Err(LaunchError::Options("a subnet needs at least one validator and one miner"));
        }
        if self.validators > MAX_NEURONS || self.miners > MAX_NEURONS {
            return Err(LaunchError::Options("at most 64 validators and 64 miners run on one machine"));
        }
        if self.interval == 0 || self.block_time == 0 {
            return Err(LaunchError::Options("interval and block time must be at least 1"));
        }
        Ok(())
    }
}

/// A validator that runs, or was killed.
#[derive(Debug)]
struct Validator {
    part: Option<Part>,
    plan: PartPlan,
    url: String,
    status: ValidatorStatus,
}

/// What can be seen of a validator at a moment.
#[derive(Clone, Debug)]
pub struct ValidatorView {
    /// Who.
    pub hotkey: Hotkey,
    /// Whether its process runs.
    pub running: bool,
    /// What it said last.
    pub status: ValidatorStatus,
    /// What it set so far.
    pub history: History,
}

/// What can be seen of a subnet at a moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The newest block.
    pub block: u64,
    /// In the order of their uids.
    pub validators: Vec<ValidatorView>,
    /// The longest agreement so far.
    pub agreement: Option<Agreement>,
}

/// A running subnet. Dropping it kills every part; [`Subnet::stop`] lets them end by themselves.
#[derive(Debug)]
pub struct Subnet {
    plan: SubnetPlan,
    // Fields are dropped in this order: who reads the chain before the chain, all parts before their folder.
    watch: Watch,
    chain: ChainClient,
    validators: Vec<Validator>,
    infrastructure: Vec<Part>,
    addresses: Addresses,
    client: reqwest::Client,
    start: Instant,
    folder: Folder,
}

/// The folder of everything, removed at the end unless it is to stay.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn open(options: &Options) -> Result<Self, LaunchError> {
        if let Some(path) = &options.folder {
            make_private_folder(path)?;
            let failed = |source| LaunchError::Io { path: path.clone(), source };
            if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
                return Err(LaunchError::Options("the folder for the subnet must be empty"));
            }
            let path = std::fs::canonicalize(path).map_err(failed)?;
            return Ok(Self { path, _temporary: None });
        }
        let made = tempfile::Builder::new().prefix("leoma-testnet-").tempdir();
        let made = made.map_err(|source| LaunchError::Io { path: std::env::temp_dir(), source })?;
        let path = made.path().to_owned();
        if options.keep {
            let path = made.keep();
            return Ok(Self { path, _temporary: None });
        }
        Ok(Self { path, _temporary: Some(made) })
    }
}

/// The cache for made corpora: the user's, or the temporary folder.
fn corpus_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("leoma")
}

struct Starting<'a> {
    options: &'a Options,
    plan: &'a SubnetPlan,
    programs: Programs,
    folder: &'a Path,
}

impl Starting<'_> {
    fn subfolder(&self, name: &str) -> Result<PathBuf, LaunchError> {
        let path = self.folder.join(name);
        make_private_folder(&path)?;
        Ok(path)
    }

    fn part(&self, name: &str, program: &Path, arguments: Vec<String>, environment: Environment) -> PartPlan {
        PartPlan {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments,
            environment,
            folder: self.folder.to_owned(),
            log: self.folder.join("logs").join(format!("{name}.log")),
        }
    }

    fn testnet(&self, name: &str, arguments: &[&str]) -> Result<Part, LaunchError> {
        let arguments = std::iter::once(name).chain(arguments.iter().copied()).map(str::to_owned).collect();
        let environment = vec![("RUST_LOG".to_owned(), "info".to_owned())];
        Part::start(self.part(name, &self.programs.testnet, arguments, environment))
    }

    fn chain(&self) -> Result<Part, LaunchError> {
        let folder = self.subfolder("chain")?;
        let genesis = self.folder.join("genesis.json");
        write_private(&genesis, &format!("{:#}", self.plan.genesis()))?;
        let block_time = self.options.block_time.to_string();
        let (folder, genesis) = (folder.display().to_string(), genesis.display().to_string());
        self.testnet("chain", &["--dir", &folder, "--genesis", &genesis, "--block-time", &block_time])
    }

    fn storage(&self) -> Result<Part, LaunchError> {
        let folder = self.subfolder("storage")?;
        let keys = self.folder.join("storage-keys.json");
        let own = self.plan.validators.iter().map(|validator| &validator.bucket);
        let buckets: Vec<BucketKeys> = std::iter::once(&self.plan.source).chain(own).cloned().collect();
        write_keys(&keys, &buckets)?;
        let (folder, keys) = (folder.display().to_string(), keys.display().to_string());
        self.testnet("storage", &["--dir", &folder, "--keys", &keys])
    }

    fn services(&self, corpus: &Path) -> Result<Part, LaunchError> {
        let folder = self.subfolder("services")?;
        let config = ServicesConfig {
            chutes_keys: vec![self.plan.seed.hex(CHUTES_KEY_PURPOSE)].into(),
            gemini_keys: vec![self.plan.seed.hex(GEMINI_KEY_PURPOSE)].into(),
            miners: self.plan.miners.iter().map(|miner| miner.entry.clone()).collect(),
            corpus: corpus.to_owned(),
            work: folder.clone(),
            encoders: ENCODERS,
        };
        let path = self.folder.join("services.json");
        let text =
            serde_json::to_string(&config).map_err(|source| LaunchError::Report { path: path.clone(), source })?;
        write_private(&path, &text)?;
        let report = folder.join("endpoint.json");
        self.testnet("services", &["--config", &path.display().to_string(), "--report", &report.display().to_string()])
    }

    /// Publishes the allowlist with the owner's own command.
    async fn publish_allowlist(&self, addresses: &Addresses) -> Result<(), LaunchError> {
        let hotkeys: Vec<String> = self.plan.validators.iter().map(|v| v.account.hotkey.to_string()).collect();
        let interval = self.options.interval.to_string();
        let arguments = ["validator", "publish", "--interval", &interval, "--validators", &hotkeys.join(",")];
        let state = self.folder.join("owner");
        let environment = environment::of_owner(self.plan, addresses, &self.folder.join("wallets"), &state);
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut plan = self.part("owner", &self.programs.leoma, arguments, environment);
        plan.folder = state;
        let mut command = Part::start(plan)?;
        let status = command.finished(START_LIMIT).await?;
        if status.success() { Ok(()) } else { Err(command.failed("leoma validator publish")) }
    }

    fn validators(&self, addresses: &Addresses) -> Result<Vec<Validator>, LaunchError> {
        let wallets = self.folder.join("wallets");
        let ports = free_ports(self.plan.validators.len())?;
        let (Some(first), Some(first_ports)) = (self.plan.validators.first(), ports.first()) else {
            return Ok(Vec::new());
        };
        let peer_id = first.peer_id.map(|peer_id| peer_id.to_string()).unwrap_or_default();
        let bootnode = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer_id}", first_ports.mesh);
        let mut validators = Vec::new();
        for (validator, ports) in self.plan.validators.iter().zip(&ports) {
            let name = validator.account.wallet.clone();
            let folder = self.subfolder(&name)?;
            let state = self.subfolder(&format!("{name}/state"))?;
            write_private(&state.join("libp2p.key"), &validator.mesh_key)?;
            let environment = environment::of_validator(ValidatorSettings {
                plan: self.plan,
                validator,
                addresses,
                ports: *ports,
                // The first is the bootnode of all others, and needs none itself.
                bootnodes: if validators.is_empty() { "" } else { &bootnode },
                wallets: &wallets,
                state: &state,
                task_seconds: self.options.interval * self.options.block_time / 1000,
                device: &self.options.device,
            });
            write_private(&folder.join(".env"), &environment::dotenv(&environment))?;
            let mut plan = self.part(&name, &self.programs.leoma, vec!["serve".into()], Environment::new());
            plan.folder = folder;
            let url = format!("http://127.0.0.1:{}", ports.http);
            validators.push(Validator { part: None, plan, url, status: ValidatorStatus::default() });
        }
        Ok(validators)
    }
}

/// Ports that are free for TCP and UDP now. They are all held until the last one is found, so none is given twice.
fn free_ports(count: usize) -> Result<Vec<Ports>, LaunchError> {
    let failed = |source| LaunchError::Io { path: "127.0.0.1:0".into(), source };
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < count {
        let (mesh, http) = (
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?,
        );
        let mesh_port = mesh.local_addr().map_err(failed)?.port();
        let http_port = http.local_addr().map_err(failed)?.port();
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, mesh_port));
        if datagrams.is_ok() {
            ports.push(Ports { mesh: mesh_port, http: http_port });
        }
        held.push((mesh, http, datagrams));
    }
    Ok(ports)
}

/// Waits until a part has written its report, and fails at once when the part ends.
async fn report<T: DeserializeOwned>(part: &mut Part, path: &Path) -> Result<T, LaunchError> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        part.check()?;
        if let Ok(bytes) = std::fs::read(path) {
            return serde_json::from_slice(&bytes)
                .map_err(|source| LaunchError::Report { path: path.to_owned(), source });
        }
        if Instant::now() > deadline {
            return Err(part.not_ready(START_LIMIT));
        }
        tokio::time::sleep(START_POLL).await;
    }
}

#[derive(serde::Deserialize)]
struct Endpoint {
    url: String,
}

impl Subnet {
    /// Starts everything; `say` hears of each step. The validators run when this returns, ready or not.
    ///
    /// Call it on a thread that outlives the subnet: parts end with the thread that started them.
    ///
    /// # Errors
    /// [`LaunchError`] names the part or file that failed; whatever ran is stopped.
    pub async fn start(options: Options, say: impl Fn(&str)) -> Result<Self, LaunchError> {
        options.check()?;
        let programs = Programs::find()?;
        let plan = SubnetPlan::draw(&options);
        let folder = Folder::open(&options)?;
        let corpus = match &options.corpus {
            Some(corpus) => {
                std::fs::canonicalize(corpus).map_err(|source| LaunchError::Io { path: corpus.clone(), source })?
            }
            None => {
                say("making source clips");
                corpus::make(&plan.seed, &corpus_cache()).await?
            }
        };
        corpus::list(&corpus)?;
        let starting = Starting { options: &options, plan: &plan, programs, folder: &folder.path };
        for name in ["logs", "wallets", "owner"] {
            starting.subfolder(name)?;
        }
        let wallets = folder.path.join("wallets");
        let accounts = plan.validators.iter().map(|v| &v.account).chain(plan.miners.iter().map(|m| &m.account));
        for account in accounts.chain([&plan.owner]) {
            account.write_wallet(&wallets)?;
        }
        say(&format!("folder {}", folder.path.display()));
        say("starting chain, storage and services");
        let start = Instant::now();
        let mut infrastructure = vec![starting.chain()?, starting.storage()?, starting.services(&corpus)?];
        let addresses = addresses(&mut infrastructure, &folder.path).await?;
        say(&format!("chain {}, storage {}", addresses.chain, addresses.storage));
        let chain = ChainClient::connect(&addresses.chain, Netuid(NETUID)).await?;
        let hotkeys = plan.validators.iter().map(|validator| validator.account.hotkey).collect();
        let watch = Watch::start(chain.clone(), hotkeys, plan.owner.hotkey, start).await?;
        say("uploading source clips, committing models, publishing the allowlist");
        let prepared = tokio::try_join!(
            publish::upload_corpus(&addresses.storage, &plan, &corpus),
            publish::commit_miners(&chain, &plan.miners),
            starting.publish_allowlist(&addresses),
        );
        // Should a part have ended, that is the reason worth telling.
        infrastructure.iter_mut().try_for_each(Part::check)?;
        let (clips, (), ()) = prepared?;
        say(&format!("{clips} clips, {} miners, starting {} validators", plan.miners.len(), plan.validators.len()));
        let validators = starting.validators(&addresses)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut subnet = Self { plan, watch, chain, validators, infrastructure, addresses, client, start, folder };
        for index in 0..subnet.validators.len() {
            subnet.restart_validator(index)?;
        }
        Ok(subnet)
    }

    /// What it was started from.
    #[must_use]
    pub const fn plan(&self) -> &SubnetPlan {
        &self.plan
    }

    /// Where the chain, the storage and the services answer.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// A client of the chain.
    #[must_use]
    pub const fn chain(&self) -> &ChainClient {
        &self.chain
    }

    /// The folder of logs, wallets and state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Since when the processes run.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.start
    }

    /// The folder of a validator: its `.env` and its `state`.
    #[must_use]
    pub fn validator_folder(&self, index: usize) -> Option<&Path> {
        self.validators.get(index).map(|validator| validator.plan.folder.as_path())
    }

    /// Fails when a part has ended that was not killed on purpose.
    ///
    /// # Errors
    /// [`LaunchError::Died`] with the part's last log lines.
    pub fn check(&mut self) -> Result<(), LaunchError> {
        let validators = self.validators.iter_mut().filter_map(|validator| validator.part.as_mut());
        self.infrastructure.iter_mut().chain(validators).try_for_each(Part::check)
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
                ValidatorView { hotkey, running: validator.part.is_some(), status: validator.status, history }
            })
            .collect();
        let histories: Vec<&History> = views.iter().map(|view| &view.history).collect();
        let agreement = longest_agreement(&histories, &self.plan.owner.hotkey);
        View { block: self.watch.block(), validators: views, agreement }
    }

    /// Looks once a second until `done` is content with what it sees.
    ///
    /// # Errors
    /// When a part dies, or the time is over.
    pub async fn wait_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&View) -> bool,
    ) -> Result<View, LaunchError> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            let view = self.view().await;
            if done(&view) {
                return Ok(view);
            }
            if Instant::now() > deadline {
                return Err(LaunchError::TimeOut { after: limit, logs: self.folder.path.join("logs") });
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Kills a validator as a power cut does.
    pub fn kill_validator(&mut self, index: usize) {
        if let Some(mut part) = self.validators.get_mut(index).and_then(|validator| validator.part.take()) {
            part.kill();
        }
    }

    /// Starts a validator that does not run, with the folder, keys and ports it had.
    ///
    /// # Errors
    /// When the process does not start.
    pub fn restart_validator(&mut self, index: usize) -> Result<(), LaunchError> {
        if let Some(validator) = self.validators.get_mut(index).filter(|validator| validator.part.is_none()) {
            validator.part = Some(Part::start(validator.plan.clone())?);
        }
        Ok(())
    }

    /// What the run has shown, for `epochs` consecutive epochs.
    #[must_use]
    pub fn report(&self, view: &View, epochs: usize) -> Report {
        let validators = self.plan.validators.iter().zip(&view.validators).map(|(plan, view)| ValidatorReport {
            hotkey: plan.account.hotkey,
            uid: plan.uid,
            peers: view.status.peers,
            epochs: view.history.values().cloned().collect(),
            tasks_sampled: view.status.tasks_sampled,
        });
        Report {
            validators: validators.collect(),
            agreed: view.agreement.as_ref().is_some_and(|agreement| agreement.epochs.len() >= epochs),
            winner: view.agreement.as_ref().map(|agreement| agreement.winner),
            expected_winner: self.plan.expected_winner().map(|miner| miner.account.hotkey),
            duration_s: self.start.elapsed().as_secs_f64(),
            first_weights_s: self.watch.seen().first_agreed.map(|after| after.as_secs_f64()),
        }
    }

    /// Stops validators, then everything else; what does not end in time is killed. A temporary folder goes with it.
    pub async fn stop(self) {
        let Self { watch, chain, validators, infrastructure, folder, .. } = self;
        // Who reads the chain goes first, or it would complain of its end.
        drop((watch, chain));
        stop_all(validators.into_iter().filter_map(|validator| validator.part).collect()).await;
        stop_all(infrastructure).await;
        drop(folder);
    }
}

async fn stop_all(mut parts: Vec<Part>) {
    parts.iter().for_each(Part::terminate);
    let deadline = Instant::now() + STOP_LIMIT;
    for part in &mut parts {
        part.end(deadline).await;
    }
}

async fn addresses(infrastructure: &mut [Part], folder: &Path) -> Result<Addresses, LaunchError> {
    let [chain, storage, services] = infrastructure else {
        return Err(LaunchError::Options("a subnet has a chain, a storage and services"));
    };
    let path = |name: &str| folder.join(name).join("endpoint.json");
    let (chain, storage, services) = (
        report::<Endpoint>(chain, &path("chain")).await?,
        report::<Endpoint>(storage, &path("storage")).await?,
        report::<ServicesReport>(services, &path("services")).await?,
    );
    Ok(Addresses { chain: chain.url, storage: storage.url, services })
}

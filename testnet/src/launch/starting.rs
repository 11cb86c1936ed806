//! Starts a subnet's parts in the order in which they need each other: folders, files, ports and
//! processes.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leoma_rotation::record::ORACLE;
use serde::de::DeserializeOwned;

use super::accounts::{make_private_folder, write_private};
use super::environment::{
    self, Addresses, CHUTES_KEY_PURPOSE, Environment, GEMINI_KEY_PURPOSE, Ports, ValidatorSettings,
};
use super::hosts::Hosts;
use super::mechanism::Mechanism;
use super::options::Options;
use super::part::{Part, PartPlan};
use super::plan::{MinerPlan, NETUID, SubnetPlan};
use super::programs::Programs;
use super::status::ValidatorStatus;
use super::{LaunchError, Result};
use crate::axons::{AxonEntry, AxonsConfig, AxonsReport, clips};
use crate::services::{ServicesConfig, ServicesReport};
use crate::storage::{BucketKeys, write_keys};

/// The chain, the storage and the services start within this, even on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting part is checked.
const START_POLL: Duration = Duration::from_millis(50);
/// Videos encoded at the same time: the machine also scores.
const ENCODERS: usize = 2;

/// The folder of a run, removed at the end unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    pub(super) fn open(options: &Options) -> Result<Self> {
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
pub(super) fn corpus_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache =
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("leoma")
}

/// A validator that runs, or was killed.
#[derive(Debug)]
pub(super) struct Validator {
    pub(super) part: Option<Part>,
    pub(super) plan: PartPlan,
    pub(super) url: String,
    pub(super) status: ValidatorStatus,
    pub(super) mesh_port: u16,
}

/// The parts of a subnet, one after the other.
pub(super) struct Starting<'a> {
    pub(super) options: &'a Options,
    pub(super) plan: &'a SubnetPlan,
    pub(super) programs: Programs,
    pub(super) folder: &'a Path,
}

impl Starting<'_> {
    pub(super) fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        make_private_folder(&path)?;
        Ok(path)
    }

    fn part(
        &self,
        name: &str,
        program: &Path,
        arguments: Vec<String>,
        environment: Environment,
    ) -> PartPlan {
        PartPlan {
            namespace: None,
            name: name.to_owned(),
            program: program.to_owned(),
            arguments,
            environment,
            folder: self.folder.to_owned(),
            log: self.folder.join("logs").join(format!("{name}.log")),
        }
    }

    fn testnet(&self, name: &str, arguments: &[&str]) -> Result<Part> {
        let arguments =
            std::iter::once(name).chain(arguments.iter().copied()).map(str::to_owned).collect();
        let environment = vec![("RUST_LOG".to_owned(), "info".to_owned())];
        Part::start(self.part(name, &self.programs.testnet, arguments, environment))
    }

    pub(super) fn chain(&self) -> Result<Part> {
        let folder = self.subfolder("chain")?;
        let genesis = self.folder.join("genesis.json");
        write_private(&genesis, &format!("{:#}", self.plan.genesis()))?;
        let block_time = self.options.block_time.to_string();
        let (folder, genesis) = (folder.display().to_string(), genesis.display().to_string());
        self.testnet(
            "chain",
            &["--dir", &folder, "--genesis", &genesis, "--block-time", &block_time],
        )
    }

    pub(super) fn storage(&self) -> Result<Part> {
        let folder = self.subfolder("storage")?;
        let keys = self.folder.join("storage-keys.json");
        let places = self.plan.mechanisms.iter().flat_map(|mechanism| self.plan.places(*mechanism));
        let shared = [&self.plan.source, &self.plan.spare].into_iter().cloned();
        let buckets: Vec<BucketKeys> = shared.chain(places.map(|place| place.bucket)).collect();
        write_keys(&keys, &buckets)?;
        let (folder, keys) = (folder.display().to_string(), keys.display().to_string());
        self.testnet("storage", &["--dir", &folder, "--keys", &keys])
    }

    pub(super) fn services(&self, corpus: &Path) -> Result<Part> {
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
        let text = serde_json::to_string(&config)
            .map_err(|source| LaunchError::Report { path: path.clone(), source })?;
        write_private(&path, &text)?;
        let report = folder.join("endpoint.json");
        self.testnet(
            "services",
            &["--config", &path.display().to_string(), "--report", &report.display().to_string()],
        )
    }

    /// The miners' axons, which announce themselves on the chain.
    pub(super) fn axons(&self, addresses: &Addresses) -> Result<Part> {
        let folder = self.subfolder("axons")?;
        let entry = |miner: &MinerPlan| AxonEntry {
            slug: miner.entry.slug.clone(),
            played: miner.played(),
        };
        let config = AxonsConfig {
            seed: self.plan.seed.text().to_owned(),
            chain: addresses.chain.clone(),
            netuid: NETUID,
            validators: self.plan.validators.iter().map(|one| one.account.hotkey).collect(),
            miners: self.plan.miners.iter().map(entry).collect(),
            forecast_step: self.options.forecast_step,
        };
        let path = self.folder.join("axons.json");
        let text = serde_json::to_string(&config)
            .map_err(|source| LaunchError::Report { path: path.clone(), source })?;
        write_private(&path, &text)?;
        let report = folder.join("endpoint.json");
        self.testnet(
            "axons",
            &["--config", &path.display().to_string(), "--report", &report.display().to_string()],
        )
    }

    /// Writes the policy record of the oracle: that of production with steps as short as a local
    /// subnet's tasks.
    fn oracle_record(&self) -> Result<PathBuf> {
        let (step, blocks) = (self.options.forecast_step, self.options.forecast_blocks());
        let text = ORACLE
            .replace("step_s = 300", &format!("step_s = {step}"))
            .replace("deadline_blocks = 25", &format!("deadline_blocks = {blocks}"));
        let path = self.folder.join("oracle.toml");
        write_private(&path, &text)?;
        Ok(path)
    }

    /// Waits until every axon is announced.
    pub(super) async fn announced(&self, axons: &mut Part) -> Result<AxonsReport> {
        report(axons, &self.folder.join("axons").join("endpoint.json")).await
    }

    /// Publishes the challenges with the owner's own command; returns how many there are.
    pub(super) async fn publish_challenges(&self, addresses: &Addresses) -> Result<usize> {
        let folder = self.subfolder("challenges")?;
        let clips = clips(&self.plan.seed);
        for (number, clip) in clips.iter().enumerate() {
            let write = |ending: &str, bytes: &[u8]| {
                let path = folder.join(format!("clip-{number:02}.{ending}"));
                let written = std::fs::write(&path, bytes);
                written.map_err(|source| LaunchError::Io { path, source })
            };
            write("wav", &clip.wav)?;
            write("bvh", clip.reference().as_bytes())?;
        }
        let arguments = ["challenges", "publish", &folder.display().to_string()];
        self.owners(addresses, &arguments).await?;
        Ok(clips.len())
    }

    /// Publishes the allowlist with the owner's own command.
    pub(super) async fn publish_allowlist(&self, addresses: &Addresses) -> Result<()> {
        let hotkeys: Vec<String> =
            self.plan.validators.iter().map(|v| v.account.hotkey.to_string()).collect();
        let interval = self.options.interval.to_string();
        let arguments =
            ["validator", "publish", "--interval", &interval, "--validators", &hotkeys.join(",")];
        self.owners(addresses, &arguments).await
    }

    /// Runs a command of the owner, whose first two words name it.
    async fn owners(&self, addresses: &Addresses, arguments: &[&str]) -> Result<()> {
        let state = self.folder.join("owner");
        let environment =
            environment::of_owner(self.plan, addresses, &self.folder.join("wallets"), &state);
        let name = format!("leoma {}", arguments[..arguments.len().min(2)].join(" "));
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        let mut plan = self.part("owner", &self.programs.leoma, arguments, environment);
        plan.folder = state;
        let mut command = Part::start(plan)?;
        let status = command.finished(START_LIMIT).await?;
        if status.success() { Ok(()) } else { Err(command.failed(&name)) }
    }

    /// The validators' processes for a mechanism, each with the address at which it reads the
    /// chain.
    pub(super) fn validators(
        &self,
        mechanism: Mechanism,
        addresses: &Addresses,
        endpoints: &[String],
        hosts: Option<&Hosts>,
    ) -> Result<Vec<Validator>> {
        let wallets = self.folder.join("wallets");
        let count = self.plan.validators.len();
        let ports = if hosts.is_some() { vec![Hosts::PORTS; count] } else { free_ports(count)? };
        let places = self.plan.places(mechanism);
        let (Some(first), Some(first_ports)) = (places.first(), ports.first()) else {
            return Ok(Vec::new());
        };
        let peer_id = first.peer_id.map(|peer_id| peer_id.to_string()).unwrap_or_default();
        let address = hosts.map_or(Ok(Ipv4Addr::LOCALHOST), |hosts| hosts.network.address(0))?;
        let bootnode = format!("/ip4/{address}/tcp/{}/p2p/{peer_id}", first_ports.mesh);
        let record = match mechanism {
            Mechanism::Oracle => Some(self.oracle_record()?),
            _ => None,
        };
        let mut validators = Vec::new();
        let planned = self.plan.validators.iter().zip(&places).zip(&ports).zip(endpoints);
        for (index, (((validator, place), ports), endpoint)) in planned.enumerate() {
            let addresses = &Addresses { chain: endpoint.clone(), ..addresses.clone() };
            let name = &place.name;
            let folder = self.subfolder(name)?;
            let state = self.subfolder(&format!("{name}/state"))?;
            write_private(&state.join("libp2p.key"), &place.mesh_key)?;
            let environment = environment::of_validator(ValidatorSettings {
                plan: self.plan,
                validator,
                place,
                mechanism,
                record: record.as_deref(),
                addresses,
                ports: *ports,
                // The first is the bootnode of all others, and needs none itself.
                bootnodes: if validators.is_empty() { "" } else { &bootnode },
                wallets: &wallets,
                state: &state,
                attested: self.options.attested(),
                device: &self.options.device,
                task: self.options.task,
                judge: self.options.judge_of(mechanism),
            });
            write_private(&folder.join(".env"), &environment::dotenv(&environment))?;
            let mut plan =
                self.part(name, &self.programs.leoma, vec!["serve".into()], Environment::new());
            plan.folder = folder;
            plan.namespace =
                hosts.map(|hosts| hosts.network.namespace(index)).transpose()?.cloned();
            let url = match hosts {
                Some(hosts) => hosts.status_url(index)?,
                None => format!("http://127.0.0.1:{}", ports.http),
            };
            let (status, mesh_port) = (ValidatorStatus::default(), ports.mesh);
            validators.push(Validator { part: None, plan, url, status, mesh_port });
        }
        Ok(validators)
    }
}

/// Ports that are free for TCP and UDP now. They are all held until the last one is found, so none
/// is given twice.
fn free_ports(count: usize) -> Result<Vec<Ports>> {
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
            ports.push(Ports { ip: Ipv4Addr::LOCALHOST, mesh: mesh_port, http: http_port });
        }
        held.push((mesh, http, datagrams));
    }
    Ok(ports)
}

/// Waits until a part has written its report, and fails at once when the part ends.
async fn report<T: DeserializeOwned>(part: &mut Part, path: &Path) -> Result<T> {
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
    /// Where faults are ordered, if the part takes such orders.
    #[serde(default)]
    admin: Option<String>,
}

/// Waits until the chain, the storage and the services, where there are any, answer; returns their
/// addresses.
pub(super) async fn addresses(infrastructure: &mut [Part], folder: &Path) -> Result<Addresses> {
    let [chain, storage, services @ ..] = infrastructure else {
        return Err(LaunchError::Options("a subnet has a chain and a storage"));
    };
    let path = |name: &str| folder.join(name).join("endpoint.json");
    let (chain, storage) = (
        report::<Endpoint>(chain, &path("chain")).await?,
        report::<Endpoint>(storage, &path("storage")).await?,
    );
    let services = match services.first_mut() {
        Some(services) => report::<ServicesReport>(services, &path("services")).await?,
        None => ServicesReport::default(),
    };
    let storage_admin = storage.admin.unwrap_or_default();
    let market = String::new();
    Ok(Addresses { chain: chain.url, storage: storage.url, storage_admin, services, market })
}

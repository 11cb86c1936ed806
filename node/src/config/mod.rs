//! Configuration: one table of settings, read in layers, parsed once into [`Config`].

mod layers;
mod parse;
pub mod settings;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use leoma_protocol::Netuid;
use leoma_scoring::device::DeviceChoice;
use leoma_storage::{BucketConfig, Secret, StaticPeers};
use libp2p::Multiaddr;

pub use layers::{Found, Sources, Values};
pub use show::{Shown, show};

/// Why a configuration cannot be used. Never holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that has not the accepted form.
    #[error("{name} ({found_in}) is {shown}, but must be {accepted}")]
    Value {
        /// The setting.
        name: &'static str,
        /// The accepted form.
        accepted: &'static str,
        /// Where the value was found.
        found_in: String,
        /// The value, or a description where it is secret.
        shown: String,
    },
    /// A setting without which the command cannot run.
    #[error("{name} is not set: {help}; it must be {accepted}. Set it in the environment, in .env or in the file given with --config")]
    Missing {
        /// The setting.
        name: &'static str,
        /// The accepted form.
        accepted: &'static str,
        /// What it is for.
        help: &'static str,
    },
}

/// Where the hotkey is.
#[derive(Clone, Debug)]
pub struct WalletConfig {
    /// Folder of wallets.
    pub path: PathBuf,
    /// The wallet's name.
    pub wallet: String,
    /// The hotkey's name.
    pub hotkey: String,
}

/// The three services that miners and prompts depend on.
#[derive(Clone, Debug)]
pub struct ServicesConfig {
    /// Base of the Chutes API.
    pub chutes_api_url: String,
    /// Address of a miner's endpoint, with `{slug}`.
    pub chutes_generate_url: String,
    /// Key for both.
    pub chutes_api_key: Option<Secret>,
    /// Base of the Hugging Face API.
    pub hf_api_url: String,
    /// Token for it.
    pub hf_token: Option<Secret>,
    /// Base of the judge's API.
    pub gemini_api_url: String,
    /// The judge's model.
    pub gemini_model: String,
    /// Key for it.
    pub gemini_api_key: Option<Secret>,
    /// How long a chute's state is believed.
    pub chute_ttl: Duration,
    /// How long a model's hash is believed.
    pub model_hash_ttl: Duration,
}

/// Limits and sizes of sampling.
#[derive(Clone, Debug)]
pub struct SamplingConfig {
    /// How often source videos are listed anew.
    pub poll_interval: Duration,
    /// How often miners are checked.
    pub validation_interval: Duration,
    /// Miners asked at a time.
    pub concurrent_miners: usize,
    /// Time a miner has.
    pub request_timeout: Duration,
    /// Length of a clip in seconds.
    pub clip_seconds: u32,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// How far an answer's size may be off, in pixels.
    pub size_tolerance: u32,
    /// Smallest and largest source video in bytes.
    pub source_bytes: (u64, u64),
}

/// The mesh's addresses.
#[derive(Clone, Debug)]
pub struct MeshAddresses {
    /// Where to listen.
    pub listen: Vec<Multiaddr>,
    /// How peers reach us, when that differs.
    pub external: Vec<Multiaddr>,
    /// Whom to dial first.
    pub bootnodes: Vec<Multiaddr>,
    /// Whether to find peers on the local network.
    pub mdns: bool,
}

/// Everything that a command may need, parsed. Parts that only some commands need are options; their getters say which
/// setting is missing.
#[derive(Clone, Debug)]
pub struct Config {
    /// WebSocket address of a chain node.
    pub chain_url: String,
    /// The subnet.
    pub netuid: Netuid,
    /// The hotkey's place.
    pub wallet: WalletConfig,
    /// Database, mesh key, unfinished tasks.
    pub state_dir: PathBuf,
    /// Address of the HTTP server.
    pub http_listen: SocketAddr,
    /// The mesh.
    pub mesh: MeshAddresses,
    /// Where video is scored.
    pub device: DeviceChoice,
    /// Chutes, Hugging Face, Gemini.
    pub services: ServicesConfig,
    /// Sampling.
    pub sampling: SamplingConfig,
    /// The source bucket for reading.
    pub source: Option<BucketConfig>,
    /// The source bucket for writing, on the owner's machine.
    pub source_write: Option<BucketConfig>,
    /// The own bucket for writing.
    pub own: Option<BucketConfig>,
    /// The own bucket with the read-only key that peers are given.
    pub own_read: Option<BucketConfig>,
    /// Static peers.
    pub peers: StaticPeers,
    /// Log filter.
    pub log_level: String,
    /// Whether logs are JSON lines.
    pub log_json: bool,
}

impl Config {
    /// Reads and parses all layers.
    ///
    /// # Errors
    /// The first [`ConfigError`], naming the setting, its source and the accepted form.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        parse::parse(&sources.merge()?)
    }

    /// The source bucket for reading.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] names the first unset setting.
    pub fn need_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.source.as_ref().ok_or_else(|| missing("R2_SOURCE_BUCKET"))
    }

    /// The own bucket for writing.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] names the first unset setting.
    pub fn need_own(&self) -> Result<&BucketConfig, ConfigError> {
        self.own.as_ref().ok_or_else(|| missing("R2_OWN_BUCKET"))
    }
}

/// The error for an unset setting.
pub(crate) fn missing(name: &'static str) -> ConfigError {
    let setting = settings::find(name);
    ConfigError::Missing {
        name,
        accepted: setting.map_or("set", |setting| setting.accepted),
        help: setting.map_or("", |setting| setting.help),
    }
}

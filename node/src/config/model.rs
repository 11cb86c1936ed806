//! The configuration as the rest of the program uses it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use leoma_chain::ChainSettings;
use leoma_protocol::Netuid;
use leoma_scoring::{DeviceChoice, JudgeChoice, TaskType};
use leoma_storage::{BucketConfig, Secret, StaticPeers};
use leoma_wallet::WalletSettings;
use libp2p::Multiaddr;

use super::error::{ConfigError, missing};

/// The three services that miners and prompts depend on.
#[derive(Clone, Debug)]
pub struct ServicesConfig {
    /// Base of the Chutes API.
    pub chutes_api_url: String,
    /// Address of a miner's endpoint, with `{slug}`.
    pub chutes_generate_url: String,
    /// Key for the API and the miners' endpoints.
    pub chutes_api_key: Option<Secret>,
    /// Base of the Hugging Face API.
    pub hf_api_url: String,
    /// Token for the Hugging Face API.
    pub hf_token: Option<Secret>,
    /// Base of the judge's API.
    pub gemini_api_url: String,
    /// The judge's model.
    pub gemini_model: String,
    /// Key for the judge's API.
    pub gemini_api_key: Option<Secret>,
    /// How long a chute's state is cached.
    pub chute_ttl: Duration,
    /// How long a model's hash is cached.
    pub model_hash_ttl: Duration,
}

/// Limits and sizes of sampling.
#[derive(Clone, Debug)]
pub struct SamplingConfig {
    /// How often source videos are listed.
    pub poll_interval: Duration,
    /// How often miners are checked.
    pub validation_interval: Duration,
    /// Miners asked at a time.
    pub concurrent_miners: usize,
    /// Time a miner has.
    pub request_timeout: Duration,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Largest difference of an answer's width or height, in pixels.
    pub size_tolerance: u32,
    /// Smallest and largest source video in bytes.
    pub source_bytes: (u64, u64),
}

/// The mesh's addresses.
#[derive(Clone, Debug)]
pub struct MeshAddresses {
    /// Where to listen.
    pub listen: Vec<Multiaddr>,
    /// The addresses at which peers reach us, where they differ from `listen`.
    pub external: Vec<Multiaddr>,
    /// The peers to dial first.
    pub bootnodes: Vec<Multiaddr>,
    /// Whether to relay connections of validators that cannot be dialled.
    pub relay_serve: bool,
    /// The relays through which to be reached.
    pub relay_via: Vec<Multiaddr>,
    /// Whether to find peers on the local network.
    pub mdns: bool,
}

/// All settings, parsed. Those that only some commands need are options; their getters name the
/// missing setting.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain's nodes.
    pub chain: ChainSettings,
    /// The subnet.
    pub netuid: Netuid,
    /// The wallet.
    pub wallet: WalletSettings,
    /// Database, mesh key, unfinished tasks.
    pub state_dir: PathBuf,
    /// Address of the HTTP server.
    pub http_listen: SocketAddr,
    /// The mesh.
    pub mesh: MeshAddresses,
    /// The device that scores video.
    pub device: DeviceChoice,
    /// What miners are given.
    pub task: TaskType,
    /// Who judges it.
    pub judge: JudgeChoice,
    /// The folder of the model that compares videos with prompts.
    pub text_model: Option<PathBuf>,
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
    /// The own bucket with the read-only key for peers.
    pub own_read: Option<BucketConfig>,
    /// Static peers.
    pub peers: StaticPeers,
    /// Log filter.
    pub log_level: String,
    /// Whether logs are JSON lines.
    pub log_json: bool,
}

impl Config {
    /// The source bucket for reading.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] names the first unset setting.
    pub fn need_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.source.as_ref().ok_or_else(|| missing("R2_SOURCE_BUCKET"))
    }

    /// The source bucket with whichever keys are set: an owner may have only the write keys.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] names the first unset setting.
    pub fn need_readable_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.source
            .as_ref()
            .or(self.source_write.as_ref())
            .ok_or_else(|| missing("R2_SOURCE_BUCKET"))
    }

    /// Checks that something can write the prompts for the task's miners.
    ///
    /// # Errors
    /// [`ConfigError::NoDescriber`].
    pub fn need_describer(&self) -> Result<(), ConfigError> {
        // Our own description says what moves, not what is to be seen: the first frame shows that.
        let needed = self.task.gives_prompt() && !self.task.gives_first_frame();
        if needed && !self.judge.asks_gemini() {
            Err(ConfigError::NoDescriber { task: self.task })
        } else {
            Ok(())
        }
    }

    /// The own bucket for writing.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] names the first unset setting.
    pub fn need_own(&self) -> Result<&BucketConfig, ConfigError> {
        self.own.as_ref().ok_or_else(|| missing("R2_OWN_BUCKET"))
    }
}

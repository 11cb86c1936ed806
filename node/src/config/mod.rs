//! Configuration: one table of settings, read in layers, parsed once into [`Config`].

mod layers;
mod parse;
pub mod settings;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use leoma_chain::ChainSettings;
use leoma_protocol::Netuid;
use leoma_scoring::{DeviceChoice, JudgeChoice, TaskType};
use leoma_storage::{BucketConfig, Secret, StaticPeers};
use leoma_wallet::WalletSettings;
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
    #[error(
        "{name} is not set: {help}; it must be {accepted}. Set it in the environment, in .env or in the file given with --config"
    )]
    Missing {
        /// The setting.
        name: &'static str,
        /// The accepted form.
        accepted: &'static str,
        /// What it is for.
        help: &'static str,
    },
    /// Nobody could write the prompts of the tasks.
    #[error(
        "LEOMA_TASK is {task}, and nothing here can say in words what is to be seen: set LEOMA_JUDGE to gemini or both"
    )]
    NoDescriber {
        /// What miners are given.
        task: TaskType,
    },
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
    /// Whether to pass on connections of validators that cannot be dialled.
    pub relay_serve: bool,
    /// Through whom to be reached.
    pub relay_via: Vec<Multiaddr>,
    /// Whether to find peers on the local network.
    pub mdns: bool,
}

/// Everything that a command may need, parsed. Parts that only some commands need are options;
/// their getters say which setting is missing.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain's nodes.
    pub chain: ChainSettings,
    /// The subnet.
    pub netuid: Netuid,
    /// The hotkey's place.
    pub wallet: WalletSettings,
    /// Database, mesh key, unfinished tasks.
    pub state_dir: PathBuf,
    /// Address of the HTTP server.
    pub http_listen: SocketAddr,
    /// The mesh.
    pub mesh: MeshAddresses,
    /// Where video is scored.
    pub device: DeviceChoice,
    /// What miners are given.
    pub task: TaskType,
    /// Who judges it.
    pub judge: JudgeChoice,
    /// The folder of the model that reads prompts.
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

    /// The source bucket with whichever keys this machine has: an owner may have the write keys
    /// only.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] names the first unset setting.
    pub fn need_readable_source(&self) -> Result<&BucketConfig, ConfigError> {
        self.source
            .as_ref()
            .or(self.source_write.as_ref())
            .ok_or_else(|| missing("R2_SOURCE_BUCKET"))
    }

    /// Checks that there is someone to write the prompts that the task's miners are given.
    ///
    /// # Errors
    /// [`ConfigError::NoDescriber`].
    pub fn need_describer(&self) -> Result<(), ConfigError> {
        // Our own description says what moves, and leaves what is to be seen to the first frame.
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

/// The error for an unset setting.
pub(crate) fn missing(name: &'static str) -> ConfigError {
    let setting = settings::find(name);
    ConfigError::Missing {
        name,
        accepted: setting.map_or("set", |setting| setting.accepted),
        help: setting.map_or("", |setting| setting.help),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Sources {
        let environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { environment, ..Sources::default() }
    }

    #[test]
    fn defaults_suit_production_and_secrets_are_never_shown() {
        let config = Config::load(&Sources::default()).unwrap();
        assert_eq!(config.netuid, Netuid(99));
        assert!(config.chain.urls[0].starts_with("wss://") && config.chain.genesis.is_some());
        assert_eq!(config.services.chutes_generate_url, "https://{slug}.chutes.ai/generate");
        assert!(config.source.is_none() && config.own.is_none());
        let sources = environment(&[
            ("GEMINI_API_KEY", "planted-secret"),
            ("R2_ENDPOINT", "https://a.example"),
        ]);
        let listing = serde_json::to_string(&show(&sources.merge().unwrap())).unwrap();
        assert!(listing.contains("(hidden)") && listing.contains("https://a.example"));
        assert!(!listing.contains("planted-secret"));
        assert!(!format!("{:?}", Config::load(&sources).unwrap()).contains("planted-secret"));
    }

    #[test]
    fn a_task_of_words_alone_needs_someone_who_describes_pictures() {
        let task = |judge| {
            Config::load(&environment(&[("LEOMA_TASK", "t2v"), ("LEOMA_JUDGE", judge)])).unwrap()
        };
        let refused = task("local").need_describer().unwrap_err().to_string();
        assert!(refused.contains("LEOMA_JUDGE") && refused.contains("gemini"), "{refused}");
        assert_eq!(["both", "gemini"].map(|judge| task(judge).need_describer().is_ok()), [true; 2]);
        assert!(Config::load(&Sources::default()).unwrap().need_describer().is_ok());
    }

    #[test]
    fn flags_win_over_environment_over_dotenv_over_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, dotenv) = (folder.path().join("leoma.toml"), folder.path().join(".env"));
        std::fs::write(
            &file,
            "netuid = 1\nwallet_name = \"file\"\nhotkey_name = \"file\"\nleoma_device = \"cpu\"\n",
        )
        .unwrap();
        std::fs::write(&dotenv, "NETUID=2\nWALLET_NAME=dotenv\nHOTKEY_NAME=dotenv\nUNRELATED=1\n")
            .unwrap();
        let mut sources = environment(&[("NETUID", "3"), ("WALLET_NAME", "environment")]);
        (sources.file, sources.dotenv) = (Some(file), Some(dotenv));
        sources.flags = BTreeMap::from([("NETUID".to_owned(), "4".to_owned())]);
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.netuid, Netuid(4));
        assert_eq!(config.wallet.wallet, "environment");
        assert_eq!(config.wallet.hotkey, "dotenv");
        assert_eq!(config.device, DeviceChoice::Cpu);
    }

    #[test]
    fn an_error_names_setting_source_and_accepted_form() {
        for (name, value, accepted) in [
            ("NETUID", "seventy", "a number from 0 to 65535"),
            ("NETUID", "65536", "a number from 0 to 65535"),
            ("NETWORK", "http://x", "ws:// or wss://"),
            ("LEOMA_HTTP_LISTEN", "9090", "127.0.0.1:9090"),
            ("LEOMA_BOOTNODES", "/ip4/1.2.3.4/tcp/1", "/p2p/"),
            ("LEOMA_TASK", "v2v", "ti2v, t2v or i2v"),
            ("LEOMA_DEVICE", "tpu", "auto, cuda, cuda:N or cpu"),
            ("CHUTES_GENERATE_URL", "https://chutes.ai/generate", "{slug}"),
            ("MAX_VIDEO_SIZE", "many", "MB"),
            ("WALLET_NAME", "../other", "folder's name"),
            ("LOG_FORMAT", "xml", "text or json"),
        ] {
            let error = Config::load(&environment(&[(name, value)])).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("environment") && error.contains(accepted),
                "{error}"
            );
            assert!(error.contains(value), "{error}");
        }
    }

    #[test]
    fn a_malformed_secret_is_named_and_not_shown() {
        let error = Config::load(&environment(&[("PEER_VALIDATORS", "{planted-secret")]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("PEER_VALIDATORS") && !error.contains("planted-secret"), "{error}");
    }

    #[test]
    fn a_wallets_password_is_taken_as_it_is_and_hidden() {
        let sources = environment(&[
            ("WALLET_PASSWORD", " planted secret "),
            ("WALLET_PASSWORD_FILE", "/run/secrets/password"),
        ]);
        let config = Config::load(&sources).unwrap();
        let coldkey = &config.wallet.coldkey_passwords;
        assert!(
            coldkey.value.is_none() && coldkey.file.is_none(),
            "what unlocks the hotkey unlocks no money"
        );
        let passwords = &config.wallet.passwords;
        assert_eq!(passwords.value.as_ref().unwrap().as_bytes(), b" planted secret ");
        assert_eq!(passwords.file.as_deref(), Some(std::path::Path::new("/run/secrets/password")));
        let listing = serde_json::to_string(&show(&sources.merge().unwrap())).unwrap();
        assert!(!listing.contains("planted") && !format!("{config:?}").contains("planted"));
        let none = Config::load(&Sources::default()).unwrap().wallet.passwords;
        assert!(none.value.is_none() && none.file.is_none());
    }

    #[test]
    fn half_a_bucket_names_the_missing_half() {
        let mut pairs = vec![
            ("R2_ENDPOINT", "https://a.example"),
            ("R2_OWN_BUCKET", "b"),
            ("R2_OWN_WRITE_ACCESS_KEY", "k"),
        ];
        let error = Config::load(&environment(&pairs)).unwrap_err();
        assert!(
            matches!(error, ConfigError::Missing { name: "R2_OWN_WRITE_SECRET_KEY", .. }),
            "{error}"
        );
        pairs.push(("R2_OWN_WRITE_SECRET_KEY", "s"));
        let config = Config::load(&environment(&pairs)).unwrap();
        assert_eq!(config.need_own().unwrap().endpoint, "https://a.example");
        assert!(matches!(
            config.need_source(),
            Err(ConfigError::Missing { name: "R2_SOURCE_BUCKET", .. })
        ));
    }

    #[test]
    fn an_unknown_name_in_a_file_is_an_error_and_known_ones_of_other_tools_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("leoma.toml");
        let sources = Sources { file: Some(file.clone()), ..Sources::default() };
        std::fs::write(&file, "epoch_len = 180\n").unwrap();
        Config::load(&sources).unwrap();
        std::fs::write(&file, "netiud = 3\n").unwrap();
        assert!(Config::load(&sources).unwrap_err().to_string().contains("`netiud`"));
        std::fs::write(&file, "gemini_api_key = planted-secret\n").unwrap();
        let error = Config::load(&sources).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("planted-secret"), "{error}");
    }
}

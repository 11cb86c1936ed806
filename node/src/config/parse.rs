//! From text to [`Config`]: each value is parsed once, and every error names the setting, its source
//! and the accepted form.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use leoma_chain::{Beacon, ChainSettings};
use leoma_protocol::{Digest, Netuid};
use leoma_storage::{BucketConfig, Secret, StaticPeers};
use leoma_wallet::{KeyKind, Password, PasswordSources, WalletSettings};
use libp2p::Multiaddr;

use super::error::{ConfigError, missing};
use super::layers::{Sources, Values};
use super::model::{Config, MeshAddresses, SamplingConfig, ServicesConfig};
use super::settings;

/// Nodes of the networks that are known by name.
const FINNEY: &str = "wss://entrypoint-finney.opentensor.ai:443";
const TEST: &str = "wss://test.finney.opentensor.ai:443";
const LOCAL: &str = "ws://127.0.0.1:9944";
/// Genesis hashes of the networks that are known by name: a node of another chain is refused.
const FINNEY_GENESIS: &str = "2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03";
const TEST_GENESIS: &str = "8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105";
/// Most chain nodes: each is followed continuously.
const MAX_ENDPOINTS: usize = 8;

impl Config {
    /// Reads and parses all layers.
    ///
    /// # Errors
    /// The first [`ConfigError`], naming the setting, its source and the accepted form.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        parse(&sources.merge()?)
    }
}

fn parse(values: &Values) -> Result<Config, ConfigError> {
    let reader = Reader(values);
    let seconds = |name, range| reader.number(name, range).map(Duration::from_secs);
    // The subnet's rules fix the length of a clip. Operators may still have this set, so another
    // value is refused rather than ignored.
    reader.number("CLIP_DURATION", 5..=5)?;
    Ok(Config {
        chain: reader.chain()?,
        netuid: Netuid(reader.number("NETUID", 0..=65_535)? as u16),
        wallet: WalletSettings {
            path: reader.path("WALLET_PATH")?,
            wallet: reader.parsed("WALLET_NAME", file_name)?,
            hotkey: reader.parsed("HOTKEY_NAME", file_name)?,
            passwords: PasswordSources {
                kind: KeyKind::Hotkey,
                // Not trimmed: a password may begin or end with a space.
                value: values.get("WALLET_PASSWORD").map(|found| Password::new(&*found.text)),
                file: reader.optional_path("WALLET_PASSWORD_FILE")?,
            },
            coldkey_passwords: PasswordSources {
                kind: KeyKind::Coldkey,
                value: None,
                file: reader.optional_path("COLDKEY_PASSWORD_FILE")?,
            },
        },
        state_dir: reader.path("LEOMA_STATE_DIR")?,
        http_listen: reader.parsed("LEOMA_HTTP_LISTEN", |text| text.parse().ok())?,
        mesh: MeshAddresses {
            listen: reader.addresses("LEOMA_MESH_LISTEN")?,
            external: reader.addresses("LEOMA_MESH_EXTERNAL")?,
            bootnodes: reader.bootnodes("LEOMA_BOOTNODES")?,
            relay_serve: reader.parsed("LEOMA_MESH_RELAY_SERVE", flag)?,
            relay_via: reader.bootnodes("LEOMA_MESH_RELAY_VIA")?,
            mdns: reader.parsed("LEOMA_MDNS", flag)?,
        },
        device: reader.parsed("LEOMA_DEVICE", |text| text.parse().ok())?,
        task: reader.parsed("LEOMA_TASK", |text| text.parse().ok())?,
        judge: reader.parsed("LEOMA_JUDGE", |text| text.parse().ok())?,
        text_model: reader.optional_path("LEOMA_TEXT_MODEL")?,
        services: ServicesConfig {
            chutes_api_url: reader.parsed("CHUTES_API_URL", http_url)?,
            chutes_generate_url: reader.parsed("CHUTES_GENERATE_URL", |text| {
                http_url(&text.replace("{slug}", "slug"))
                    .filter(|_| text.contains("{slug}"))
                    .map(|_| text.to_owned())
            })?,
            chutes_api_key: reader.secret("CHUTES_API_KEY"),
            hf_api_url: reader.parsed("HF_API_URL", http_url)?,
            hf_token: reader.secret("HF_TOKEN"),
            gemini_api_url: reader.parsed("GEMINI_API_URL", http_url)?,
            gemini_model: reader.parsed("GEMINI_MODEL", file_name)?,
            gemini_api_key: reader.secret("GEMINI_API_KEY"),
            chute_ttl: seconds("CHUTE_CACHE_TTL", 0..=86_400)?,
            model_hash_ttl: seconds("MODEL_HASH_CACHE_TTL", 0..=86_400)?,
        },
        sampling: SamplingConfig {
            poll_interval: seconds("SAMPLER_POLL_INTERVAL", 1..=3600)?,
            validation_interval: seconds("MINER_VALIDATION_INTERVAL", 1..=86_400)?,
            concurrent_miners: reader.number("MAX_CONCURRENT_MINERS", 1..=256)? as usize,
            request_timeout: seconds("REQUEST_TIMEOUT", 1..=3600)?,
            size: (
                reader.number("REQUIRED_VIDEO_WIDTH", 16..=4096)? as u32,
                reader.number("REQUIRED_VIDEO_HEIGHT", 16..=4096)? as u32,
            ),
            size_tolerance: reader.number("VIDEO_RESOLUTION_TOLERANCE", 0..=512)? as u32,
            source_bytes: (
                reader.parsed("MIN_VIDEO_SIZE", bytes)?,
                reader.parsed("MAX_VIDEO_SIZE", bytes)?,
            ),
        },
        source: reader.bucket(
            ["R2_ENDPOINT", "R2_REGION", "R2_SOURCE_BUCKET"],
            ["R2_VIDEOS_READ_ACCESS_KEY", "R2_VIDEOS_READ_SECRET_KEY"],
        )?,
        source_write: reader.bucket(
            ["R2_ENDPOINT", "R2_REGION", "R2_SOURCE_BUCKET"],
            ["R2_VIDEOS_WRITE_ACCESS_KEY", "R2_VIDEOS_WRITE_SECRET_KEY"],
        )?,
        own: reader.bucket(
            ["R2_OWN_ENDPOINT", "R2_OWN_REGION", "R2_OWN_BUCKET"],
            ["R2_OWN_WRITE_ACCESS_KEY", "R2_OWN_WRITE_SECRET_KEY"],
        )?,
        own_read: reader.bucket(
            ["R2_OWN_ENDPOINT", "R2_OWN_REGION", "R2_OWN_BUCKET"],
            ["R2_OWN_READ_ACCESS_KEY", "R2_OWN_READ_SECRET_KEY"],
        )?,
        peers: reader.peers()?,
        log_level: reader.parsed("LOG_LEVEL", log_filter)?,
        log_json: reader.parsed("LOG_FORMAT", |text| match text {
            "text" => Some(false),
            "json" => Some(true),
            _ => None,
        })?,
    })
}

struct Reader<'a>(&'a Values);

impl Reader<'_> {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(|found| found.text.trim())
    }

    fn refuse(&self, name: &'static str) -> ConfigError {
        self.refuse_because(name, None)
    }

    fn refuse_because(&self, name: &'static str, reason: Option<String>) -> ConfigError {
        let (Some(found), Some(setting)) = (self.0.get(name), settings::find(name)) else {
            return missing(name);
        };
        let shown = match reason {
            Some(reason) => reason,
            None if setting.secret => "malformed (its value is not shown)".to_owned(),
            None => format!(
                "`{}`",
                leoma_chain::without_keys(&found.text).chars().take(80).collect::<String>()
            ),
        };
        ConfigError::Value {
            name,
            accepted: setting.accepted,
            found_in: found.source.clone(),
            shown,
        }
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let text = self.text(name).ok_or_else(|| missing(name))?;
        parse(text).ok_or_else(|| self.refuse(name))
    }

    fn number(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        self.parsed(name, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    fn secret(&self, name: &'static str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    fn path(&self, name: &'static str) -> Result<PathBuf, ConfigError> {
        self.parsed(name, |text| match text.strip_prefix("~/") {
            Some(rest) => Some(PathBuf::from(std::env::var_os("HOME")?).join(rest)),
            None => Some(PathBuf::from(text)),
        })
    }

    fn optional_path(&self, name: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        self.text(name).map(|_| self.path(name)).transpose()
    }

    fn chain(&self) -> Result<ChainSettings, ConfigError> {
        let network = self.parsed("NETWORK", |text| {
            known_network(text).or_else(|| Some((chain_url(text)?, None)))
        })?;
        let beacon = self.parsed("LEOMA_DRAND_PUBLIC_KEY", |text| {
            let mut key = [0; 96];
            hex::decode_to_slice(text, &mut key).ok().and_then(|()| Beacon::new(key))
        })?;
        let Some(text) = self.text("CHAIN_ENDPOINTS") else {
            return Ok(ChainSettings { urls: vec![network.0], genesis: network.1, beacon });
        };
        let urls: Option<Vec<String>> =
            text.split(',').map(|part| chain_url(part.trim())).collect();
        let urls = urls
            .filter(|urls| urls.len() <= MAX_ENDPOINTS)
            .ok_or_else(|| self.refuse("CHAIN_ENDPOINTS"))?;
        Ok(ChainSettings { urls, genesis: network.1, beacon })
    }

    fn addresses(&self, name: &'static str) -> Result<Vec<Multiaddr>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        text.split(',')
            .map(|part| Multiaddr::from_str(part.trim()).map_err(|_| self.refuse(name)))
            .collect()
    }

    fn bootnodes(&self, name: &'static str) -> Result<Vec<Multiaddr>, ConfigError> {
        let addresses = self.addresses(name)?;
        let named = |address: &Multiaddr| {
            matches!(address.iter().last(), Some(libp2p::multiaddr::Protocol::P2p(_)))
        };
        if addresses.iter().all(named) { Ok(addresses) } else { Err(self.refuse(name)) }
    }

    /// A bucket, or `None` when its name or both of its keys are unset.
    fn bucket(
        &self,
        [endpoint, region, bucket]: [&'static str; 3],
        [access_key, secret_key]: [&'static str; 2],
    ) -> Result<Option<BucketConfig>, ConfigError> {
        let Some(bucket) = self.text(bucket) else { return Ok(None) };
        let (access, secret) = match (self.text(access_key), self.secret(secret_key)) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(missing(access_key)),
            (Some(_), None) => return Err(missing(secret_key)),
            (Some(access), Some(secret)) => (access, secret),
        };
        let endpoint = if self.text(endpoint).is_some() { endpoint } else { "R2_ENDPOINT" };
        Ok(Some(BucketConfig {
            endpoint: self.parsed(endpoint, http_url)?,
            bucket: bucket.to_owned(),
            region: self.parsed(region, |text| Some(text.to_owned()))?,
            access_key: Secret::new(access),
            secret_key: secret,
        }))
    }

    fn peers(&self) -> Result<StaticPeers, ConfigError> {
        let Some(text) = self.text("PEER_VALIDATORS") else { return Ok(StaticPeers::default()) };
        StaticPeers::parse(text).map_err(|error| {
            self.refuse_because("PEER_VALIDATORS", Some(format!("malformed ({})", error.reason)))
        })
    }
}

/// Address and genesis of a network known by name.
fn known_network(name: &str) -> Option<(String, Option<Digest>)> {
    match name {
        "finney" => Some((FINNEY.to_owned(), FINNEY_GENESIS.parse().ok())),
        "test" => Some((TEST.to_owned(), TEST_GENESIS.parse().ok())),
        "local" => Some((LOCAL.to_owned(), None)),
        _ => None,
    }
}

fn chain_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "ws" | "wss") && url.has_host()).then(|| text.to_owned())
}

/// An address without its trailing slash, so that paths can be appended.
fn http_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host())
        .then(|| text.trim_end_matches('/').to_owned())
}

/// One path component: a wallet's name must not lead out of the wallets' folder.
fn file_name(text: &str) -> Option<String> {
    let plain = !text.contains(['/', '\\', '\0']) && text != "." && text != "..";
    plain.then(|| text.to_owned())
}

fn flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Bytes, or a number with `KB` or `MB` in powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let upper = text.to_uppercase();
    let (number, unit) = match (upper.strip_suffix("MB"), upper.strip_suffix("KB")) {
        (Some(number), _) => (number, 1024 * 1024),
        (None, Some(number)) => (number, 1024),
        (None, None) => (upper.as_str(), 1),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

fn log_filter(text: &str) -> Option<String> {
    tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_lowercase())
}

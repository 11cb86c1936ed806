//! The environment of validators and of the subnet's owner, under the names that operators use.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use leoma_protocol::faulty;
use leoma_scoring::{JudgeChoice, TaskType};

use super::accounts::HOTKEY_NAME;
use super::mechanism::Mechanism;
use super::plan::{NETUID, Place, SubnetPlan, ValidatorPlan};
use super::weights::WeightMode;
use crate::chain::beacon_public_key;
use crate::miners::VIDEO;
use crate::services::ServicesReport;
use crate::storage::BucketKeys;

/// Where the parts of a running subnet answer.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The chain's `ws://` address.
    pub chain: String,
    /// The S3 server.
    pub storage: String,
    /// Where faults of the S3 server are ordered.
    pub storage_admin: String,
    /// The stand-in services.
    pub services: ServicesReport,
    /// The feed of the market that is forecast; empty on other subnets.
    pub market: String,
}

/// High enough not to matter: the stand-ins have no limit, and a local task has no time to wait.
const REQUESTS_PER_MINUTE: &str = "6000";
/// The key that every validator has for Chutes.
pub(super) const CHUTES_KEY_PURPOSE: &str = "chutes-api-key";
/// The key that every validator has for the language model.
pub(super) const GEMINI_KEY_PURPOSE: &str = "gemini-api-key";
/// Eighths of the time for attestations that a miner has to answer. A turn that ends before a miner
/// has had its time makes no file, so the rest is for the clip before, the scores after, and peers.
const REQUEST_EIGHTHS: u32 = 5;
/// The same where miners answer through their axons: one that says nothing takes all of its time, and a
/// validator that is killed meanwhile shall come back and finish its turn.
const AXON_EIGHTHS: u32 = 3;

/// Where one validator listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// Address of the mesh.
    pub(super) ip: Ipv4Addr,
    /// TCP and QUIC port of the mesh.
    pub(super) mesh: u16,
    /// Port of the status pages.
    pub(super) http: u16,
}

/// Names and values.
pub(super) type Environment = Vec<(String, String)>;

fn owned(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn on_chain(addresses: &Addresses, wallets: &Path, wallet: &str) -> Environment {
    owned(&[
        ("NETWORK", &addresses.chain),
        ("NETUID", &NETUID.to_string()),
        ("WALLET_PATH", &wallets.display().to_string()),
        ("WALLET_NAME", wallet),
        ("HOTKEY_NAME", HOTKEY_NAME),
    ])
}

fn source_bucket(addresses: &Addresses, source: &BucketKeys) -> Environment {
    owned(&[
        ("R2_ENDPOINT", &addresses.storage),
        ("R2_REGION", "auto"),
        ("R2_SOURCE_BUCKET", &source.bucket),
        ("R2_VIDEOS_READ_ACCESS_KEY", &source.read.access),
        ("R2_VIDEOS_READ_SECRET_KEY", &source.read.secret),
    ])
}

/// The environment of the owner's commands.
pub(super) fn of_owner(
    plan: &SubnetPlan,
    addresses: &Addresses,
    wallets: &Path,
    state: &Path,
) -> Environment {
    let mut environment = on_chain(addresses, wallets, &plan.owner.wallet);
    environment.extend(source_bucket(addresses, &plan.source));
    environment.extend(owned(&[
        ("R2_VIDEOS_WRITE_ACCESS_KEY", &plan.source.write.access),
        ("R2_VIDEOS_WRITE_SECRET_KEY", &plan.source.write.secret),
        ("LEOMA_STATE_DIR", &state.display().to_string()),
    ]));
    environment
}

/// What a validator's environment is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValidatorSettings<'a> {
    pub(super) plan: &'a SubnetPlan,
    pub(super) validator: &'a ValidatorPlan,
    /// Where it serves the mechanism.
    pub(super) place: &'a Place,
    pub(super) mechanism: Mechanism,
    /// A policy record, where it is not the mechanism's own.
    pub(super) record: Option<&'a Path>,
    /// Where everything else answers.
    pub(super) addresses: &'a Addresses,
    /// Where it listens.
    pub(super) ports: Ports,
    /// The addresses that it dials first.
    pub(super) bootnodes: &'a str,
    /// Folder of all wallets.
    pub(super) wallets: &'a Path,
    pub(super) state: &'a Path,
    /// The time from a task's start in which peers attest to its file.
    pub(super) attested: Duration,
    /// `auto`, `cuda` or `cpu`.
    pub(super) device: &'a str,
    /// What miners are given.
    pub(super) task: TaskType,
    /// Who judges.
    pub(super) judge: JudgeChoice,
}

/// The environment of `leoma serve`.
pub(super) fn of_validator(settings: ValidatorSettings<'_>) -> Environment {
    let ValidatorSettings { plan, validator, place, addresses, ports, .. } = settings;
    let bucket = &place.bucket;
    let mut environment = on_chain(addresses, settings.wallets, &validator.account.wallet);
    environment.extend(source_bucket(addresses, &plan.source));
    let mesh = format!("/ip4/{0}/tcp/{1},/ip4/{0}/udp/{1}/quic-v1", ports.ip, ports.mesh);
    let services = &addresses.services;
    let eighths = if settings.mechanism.asks_axons() { AXON_EIGHTHS } else { REQUEST_EIGHTHS };
    let timeout = (settings.attested * eighths / 8).as_secs().max(1);
    let mechanism = settings.record.map_or_else(
        || settings.mechanism.name().to_owned(),
        |record| record.display().to_string(),
    );
    environment.extend(owned(&[
        ("LEOMA_STATE_DIR", &settings.state.display().to_string()),
        ("LEOMA_MESH_LISTEN", &mesh),
        ("LEOMA_BOOTNODES", settings.bootnodes),
        ("LEOMA_HTTP_LISTEN", &format!("127.0.0.1:{}", ports.http)),
        ("LEOMA_DEVICE", settings.device),
        ("MECHANISM", &mechanism),
        ("R2_OWN_ENDPOINT", &addresses.storage),
        ("R2_OWN_REGION", "auto"),
        ("R2_OWN_BUCKET", &bucket.bucket),
        ("R2_OWN_WRITE_ACCESS_KEY", &bucket.write.access),
        ("R2_OWN_WRITE_SECRET_KEY", &bucket.write.secret),
        ("R2_OWN_READ_ACCESS_KEY", &bucket.read.access),
        ("R2_OWN_READ_SECRET_KEY", &bucket.read.secret),
        ("LEOMA_LOCAL_NETWORK", "true"),
        ("COLD_START_PAUSE", "1"),
        ("MINER_VALIDATION_INTERVAL", "10"),
        ("SAMPLER_POLL_INTERVAL", "5"),
        ("REQUEST_TIMEOUT", &timeout.to_string()),
        ("LOG_LEVEL", "info"),
    ]));
    if !settings.mechanism.asks_axons() {
        environment.extend(owned(&[
            ("CHUTES_API_URL", &services.chutes_api),
            ("CHUTES_GENERATE_URL", &services.chutes_generate),
            ("CHUTES_API_KEY", &plan.seed.hex(CHUTES_KEY_PURPOSE)),
            ("HF_API_URL", &services.hugging_face),
            ("CHUTES_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE),
            ("HF_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE),
            ("REQUIRED_VIDEO_WIDTH", &VIDEO.0.to_string()),
            ("REQUIRED_VIDEO_HEIGHT", &VIDEO.1.to_string()),
            ("LEOMA_JUDGE", &settings.judge.to_string()),
        ]));
    }
    if settings.mechanism == Mechanism::Oracle {
        environment.extend(market(plan, validator, &addresses.market));
    }
    if settings.mechanism == Mechanism::Video {
        environment.extend(owned(&[("LEOMA_TASK", &settings.task.to_string())]));
    }
    if settings.judge.asks_gemini() && !settings.mechanism.asks_axons() {
        environment.extend(owned(&[
            ("GEMINI_API_URL", &services.gemini),
            ("GEMINI_API_KEY", &plan.seed.hex(GEMINI_KEY_PURPOSE)),
        ]));
    }
    environment.extend(beacon(plan.weights));
    environment
}

/// Where a validator reads prices. The last of four or more has a feed that lies: that many outvote
/// it.
fn market(plan: &SubnetPlan, validator: &ValidatorPlan, feed: &str) -> Environment {
    let count = plan.validators.len();
    let lies = faulty(count) > 0 && usize::from(validator.uid) == count;
    let path = if lies { "lies" } else { "closes" };
    owned(&[("MARKET_URL", &format!("{feed}/{path}")), ("MARKET_HOURS", "always")])
}

/// The public key under which a validator encrypts timelocked weights: not that of the live chain's
/// beacon.
fn beacon(weights: WeightMode) -> Environment {
    match weights {
        WeightMode::Timelocked => {
            owned(&[("LEOMA_DRAND_PUBLIC_KEY", &hex::encode(beacon_public_key()))])
        }
        WeightMode::Plain | WeightMode::CommitReveal => Environment::new(),
    }
}

/// An environment as the text of a `.env` file.
pub(super) fn dotenv(environment: &Environment) -> String {
    environment.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_feed_lies_where_it_is_outvoted() {
        let feeds = |validators: usize| {
            let options = crate::launch::Options { validators, ..Default::default() };
            let plan = SubnetPlan::draw(&options);
            let urls =
                plan.validators.iter().map(|one| market(&plan, one, "http://a")[0].1.clone());
            urls.collect::<Vec<_>>()
        };
        assert_eq!(feeds(3), ["http://a/closes"; 3]);
        let four = feeds(4);
        assert_eq!((&four[..3], four[3].as_str()), (&feeds(3)[..], "http://a/lies"));
    }

    #[test]
    fn only_who_encrypts_weights_is_told_of_the_beacon() {
        assert!(
            beacon(WeightMode::Plain).is_empty() && beacon(WeightMode::CommitReveal).is_empty()
        );
        let told = beacon(WeightMode::Timelocked);
        assert_eq!(
            (told.len(), told[0].0.as_str(), told[0].1.len()),
            (1, "LEOMA_DRAND_PUBLIC_KEY", 192)
        );
    }
}

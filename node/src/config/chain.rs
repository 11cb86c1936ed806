//! The chain and the subnet on it.

use leoma_chain::{Beacon, ChainSettings};
use leoma_protocol::{Digest, Hotkey, Netuid};

use super::error::ConfigError;
use super::values::Values;

/// Nodes of the networks that are known by name.
const FINNEY: &str = "wss://entrypoint-finney.opentensor.ai:443";
const TEST: &str = "wss://test.finney.opentensor.ai:443";
const LOCAL: &str = "ws://127.0.0.1:9944";
/// Genesis hashes of the networks that are known by name: a node of another chain is refused.
const FINNEY_GENESIS: &str = "2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03";
const TEST_GENESIS: &str = "8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105";
/// Most chain nodes: each is followed continuously.
const MAX_ENDPOINTS: usize = 8;
/// Public key of drand's quicknet, whose signatures the live chain keeps.
const QUICKNET: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451\
                        0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";

super::declare::settings! {
    /// the chain
    NETWORK = setting("finney, test, local or a ws:// or wss:// address", Some("finney"));
    /// chain nodes to use instead of the network's own, the preferred one first; with several, a
    /// failing one is passed over and one that contradicts the others dropped
    CHAIN_ENDPOINTS = setting("ws:// or wss:// addresses, separated by commas", None);
    /// public key of the drand beacon that opens timelocked weights; change it only for a local
    /// chain
    LEOMA_DRAND_PUBLIC_KEY =
        setting("192 hexadecimal digits, a compressed point of G2", Some(QUICKNET));
    /// the subnet
    NETUID = setting("a number from 0 to 4095", Some("99"));
    /// who is expected to own the subnet; preflight warns where the chain names another hotkey
    LEOMA_SUBNET_OWNER = setting("a hotkey's SS58 address", None);
}

pub(super) fn expected_owner(values: &Values) -> Result<Option<Hotkey>, ConfigError> {
    values.optional(&LEOMA_SUBNET_OWNER, |text| text.parse().ok())
}

pub(super) fn read(values: &Values) -> Result<ChainSettings, ConfigError> {
    let (url, genesis) = values
        .parsed(&NETWORK, |text| known_network(text).or_else(|| Some((chain_url(text)?, None))))?;
    let beacon = values.parsed(&LEOMA_DRAND_PUBLIC_KEY, |text| {
        let mut key = [0; 96];
        hex::decode_to_slice(text, &mut key).ok().and_then(|()| Beacon::new(key))
    })?;
    let urls = values.optional(&CHAIN_ENDPOINTS, |text| {
        let urls: Option<Vec<String>> =
            text.split(',').map(|part| chain_url(part.trim())).collect();
        urls.filter(|urls| urls.len() <= MAX_ENDPOINTS)
    })?;
    Ok(ChainSettings { urls: urls.unwrap_or_else(|| vec![url]), genesis, beacon })
}

pub(super) fn netuid(values: &Values) -> Result<Netuid, ConfigError> {
    // Above lie the indices of mechanisms.
    values.parsed(&NETUID, |text| {
        text.parse().ok().map(Netuid).filter(|netuid| netuid.subnet() == *netuid)
    })
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

/// The name of a known network.
pub(crate) fn name_of(genesis: &Digest) -> Option<&'static str> {
    let text = genesis.to_string();
    let known = [("finney", FINNEY_GENESIS), ("test", TEST_GENESIS)];
    known
        .into_iter()
        .find(|(_, known)| text.trim_start_matches("0x") == *known)
        .map(|(name, _)| name)
}

fn chain_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "ws" | "wss") && url.has_host()).then(|| text.to_owned())
}

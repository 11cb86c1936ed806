//! A small chain for tests: keys, a genesis, signed transactions as bytes and plain JSON-RPC.

use leoma_testnet::chain::{
    self, ChainConfig, ChainHandle, GenesisConfig, NeuronGenesis, SubnetGenesis,
};
use node_subtensor_runtime::AccountId;
use serde_json::Value as Json;
use sp_core::{Pair, sr25519};
use std::path::Path;
use std::time::Duration;
use subxt::config::DefaultExtrinsicParamsBuilder as Params;
use subxt::dynamic::{self, Value};
use subxt::rpcs::client::{RpcParams, RpcSubscription};
use subxt::rpcs::{RpcClient, rpc_params};
use subxt::utils::{AccountId32, MultiSignature};
use subxt::{OnlineClient, PolkadotConfig};

pub(crate) const NETUID: u16 = 7;
/// Long enough for a busy machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Client = OnlineClient<PolkadotConfig>;

#[derive(Clone)]
pub(crate) struct Key(pub(crate) sr25519::Pair);

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        Self(sr25519::Pair::from_string(&format!("//{name}"), None).unwrap())
    }

    pub(crate) fn account(&self) -> AccountId {
        AccountId::from(self.0.public().0)
    }
}

impl subxt::tx::Signer<PolkadotConfig> for Key {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0.public().0)
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload).0)
    }
}

pub(crate) fn neuron(name: &str, stake: u64) -> NeuronGenesis<AccountId> {
    let (hotkey, coldkey) = (Key::new(name).account(), Key::new("coldkey").account());
    NeuronGenesis { hotkey, coldkey, stake, validator_permit: stake > 0 }
}

/// A subnet of these names with their stakes; those with any have a permit, and `owner` owns it.
pub(crate) fn subnet(tempo: u16, neurons: &[(&str, u64)]) -> SubnetGenesis<AccountId> {
    let neurons = neurons.iter().map(|(name, stake)| neuron(name, *stake)).collect();
    SubnetGenesis::new(
        NETUID,
        Key::new("coldkey").account(),
        Key::new("owner").account(),
        tempo,
        neurons,
    )
}

/// Owner on uid 0, validators on 1 and 2, miners on 3 and 4.
pub(crate) fn five_neurons() -> SubnetGenesis<AccountId> {
    subnet(360, &[("owner", 0), ("first", 50), ("second", 40), ("miner", 0), ("other", 0)])
}

pub(crate) fn genesis() -> GenesisConfig {
    GenesisConfig {
        name: "test".to_owned(),
        subnets: vec![five_neurons()],
        ..GenesisConfig::default()
    }
}

/// A chain that makes blocks only when asked, and may be steered.
pub(crate) fn on_demand(dir: &Path) -> ChainConfig {
    ChainConfig { block_time: Duration::ZERO, controls: true, ..ChainConfig::new(dir, genesis()) }
}

/// A chain of quick blocks, so that an epoch passes in a second; without a genesis the one that the
/// folder holds.
pub(crate) fn ticking(dir: &Path, genesis: Option<GenesisConfig>) -> ChainConfig {
    ChainConfig { block_time: Duration::from_millis(100), genesis, ..ChainConfig::resume(dir) }
}

pub(crate) async fn start(config: ChainConfig) -> (ChainHandle, Client, RpcClient) {
    let chain = chain::spawn(config).await.unwrap();
    let client = Client::from_insecure_url(&chain.ws_url).await.unwrap();
    let rpc = RpcClient::from_insecure_url(&chain.ws_url).await.unwrap();
    (chain, client, rpc)
}

pub(crate) fn commitment(text: &str) -> impl subxt::tx::Payload {
    let field = Value::unnamed_variant(format!("Raw{}", text.len()), [Value::from_bytes(text)]);
    let info = Value::named_composite([("fields", Value::unnamed_composite([field]))]);
    dynamic::tx("Commitments", "set_commitment", (NETUID, info))
}

pub(crate) fn set_weights(
    dests: &[u16],
    weights: &[u16],
    version_key: u64,
) -> impl subxt::tx::Payload {
    dynamic::tx(
        "SubtensorModule",
        "set_weights",
        (NETUID, dests.to_vec(), weights.to_vec(), version_key),
    )
}

/// Submits a transaction and waits until it is in a final block and has succeeded.
pub(crate) async fn include(
    client: &Client,
    key: &Key,
    call: &impl subxt::tx::Payload,
) -> Result<(), String> {
    let at = client.at_current_block().await.unwrap();
    let progress = at
        .transactions()
        .sign_and_submit_then_watch_default(call, key)
        .await
        .map_err(|error| words(&error))?;
    progress.wait_for_finalized_success().await.map(|_| ()).map_err(|error| words(&error))
}

/// The message, and the details that only `Debug` carries: the data of an RPC error.
pub(crate) fn words(error: &(impl std::error::Error + ?Sized)) -> String {
    format!("{error} {error:?}")
}

/// Weights of a uid at a block, or at the newest final one.
pub(crate) async fn weights_of(client: &Client, at: Option<u64>, uid: u16) -> Vec<(u16, u16)> {
    let entry = dynamic::storage::<(u16, u16), Vec<(u16, u16)>>("SubtensorModule", "Weights");
    let state = match at {
        Some(number) => client.at_block(number).await.unwrap(),
        None => client.at_current_block().await.unwrap(),
    };
    // The entry has a default, an empty list.
    state.storage().fetch(entry, (NETUID, uid)).await.unwrap().decode().unwrap()
}

/// Number of the newest final block.
pub(crate) async fn final_number(client: &Client) -> u64 {
    client.at_current_block().await.unwrap().block_number()
}

/// Waits for a final block of this number.
pub(crate) async fn reach(client: &Client, number: u64) {
    let mut blocks = client.stream_blocks().await.unwrap();
    while blocks.next().await.expect("the chain goes on").unwrap().number() < number {}
}

/// A signed transaction in hex, valid for `mortal` blocks.
pub(crate) async fn signed(
    client: &Client,
    key: &Key,
    call: &impl subxt::tx::Payload,
    nonce: u64,
    mortal: u64,
) -> String {
    let mut transactions = client.at_current_block().await.unwrap().transactions();
    let params = Params::new().nonce(nonce).mortal(mortal).build();
    let transaction = transactions.create_signed(call, key, params).await.unwrap();
    format!("0x{}", hex::encode(transaction.encoded()))
}

pub(crate) async fn ask(rpc: &RpcClient, method: &str, params: RpcParams) -> Json {
    let answered = tokio::time::timeout(PATIENCE, rpc.request(method, params)).await;
    answered.expect("an answer in time").unwrap()
}

/// The error that a request is refused with, as text with code and data.
pub(crate) async fn refusal(rpc: &RpcClient, method: &str, params: RpcParams) -> String {
    words(&rpc.request::<Json>(method, params).await.unwrap_err())
}

pub(crate) async fn submit(rpc: &RpcClient, transaction: &str) -> Result<(), String> {
    let submitted = rpc.request::<Json>("author_submitExtrinsic", rpc_params![transaction]).await;
    submitted.map(|_| ()).map_err(|error| words(&error))
}

pub(crate) async fn watch(rpc: &RpcClient, transaction: &str) -> RpcSubscription<Json> {
    let params = rpc_params![transaction];
    rpc.subscribe("author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic")
        .await
        .unwrap()
}

pub(crate) async fn follow(rpc: &RpcClient, kind: &str) -> RpcSubscription<Json> {
    let (subscribe, unsubscribe) =
        (format!("chain_subscribe{kind}"), format!("chain_unsubscribe{kind}"));
    rpc.subscribe(&subscribe, rpc_params![], &unsubscribe).await.unwrap()
}

pub(crate) async fn next(updates: &mut RpcSubscription<Json>) -> Json {
    let update = tokio::time::timeout(PATIENCE, updates.next()).await.expect("an update in time");
    update.expect("more updates").unwrap()
}

/// Number of a header.
pub(crate) async fn next_number(heads: &mut RpcSubscription<Json>) -> u32 {
    number(&next(heads).await)
}

pub(crate) fn number(header: &Json) -> u32 {
    let text = header["number"].as_str().unwrap();
    u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// Timestamp of a block, ms.
pub(crate) async fn timestamp(client: &Client, number: u32) -> u64 {
    let at = client.at_block(u64::from(number)).await.unwrap();
    let now = dynamic::storage::<(), u64>("Timestamp", "Now");
    at.storage().fetch(now, ()).await.unwrap().decode().unwrap()
}

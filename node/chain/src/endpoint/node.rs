//! One chain node behind subxt.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use codec::{Compact, Decode as _};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use leoma_protocol::{BlockNumber, Digest, Hotkey, HotkeySigner, Netuid, Network, Uid};
use subxt::backend::LegacyBackend;
use subxt::client::{OnlineClient, OnlineClientAtBlock};
use subxt::config::substrate::{AccountId32, MultiSignature, SubstrateConfig, SubstrateHeader};
use subxt::config::{DefaultExtrinsicParamsBuilder, RpcConfigFor};
use subxt::ext::jsonrpsee::core::client::Client;
use subxt::ext::jsonrpsee::ws_client::{PingConfig, WsClientBuilder};
use subxt::rpcs::RpcClient;
use subxt::rpcs::methods::legacy::LegacyRpcMethods;
use subxt::transactions::Signer;
use subxt::utils::H256;

use super::address::without_keys;
use super::pace::{Pace, Paced};
use super::source::{Chain, HashCommit, Nonces, Signed, TimelockedCommit};
use crate::error::{CALL_TIMEOUT, ChainError, Result, SubmitError, causes, limited, read_error};
use crate::head::Head;
use crate::read::values::Values;
use crate::read::{Hyperparameters, Metagraph, entries, hyperparameters, metagraph, registration};
use crate::submit::Call;

/// Largest answer: a full subnet's metagraph with commitments stays below 2 MiB, metadata near 1
/// MiB.
const MAX_ANSWER_BYTES: u32 = 16 * 1024 * 1024;
/// Fewest and most blocks of a mortal transaction's life.
const LIFE: (u64, u64) = (4, 1 << 16);
/// Longest wait for a transaction to be in a final block: five blocks of the live chain and its
/// finality lag.
const INCLUSION_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a connection is probed, and how long it may stay silent: a socket that is open and
/// dead is closed well within two minutes.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// Heads that are queued for the task that follows them.
const WAITING_HEADS: usize = 1024;

/// A chain's storage, runtime calls and transactions at one block.
type AtBlock = OnlineClientAtBlock<SubstrateConfig>;

/// A node's connection. Clones share it. A lost connection does not come back: its holder connects
/// again after a pause of its own.
#[derive(Clone)]
pub struct Endpoint {
    connection: Arc<Client>,
    api: OnlineClient<SubstrateConfig>,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    network: Network,
    /// The block that was read last: most reads of a block follow each other.
    read: Arc<Mutex<Option<(Head, AtBlock)>>>,
    /// The hotkeys that were on the subnet when it was read last.
    hotkeys: Arc<Mutex<BTreeSet<Hotkey>>>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("network", &self.network).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Connects to the node at `url` for subnet `netuid`, or for the mechanism of that index.
    ///
    /// # Errors
    /// [`ChainError::Connect`] when the node does not answer in time.
    pub async fn connect(url: &str, netuid: Netuid) -> Result<Self> {
        Self::connect_paced(url, netuid, Arc::default()).await
    }

    /// Connects at a pace that earlier connections to this node share.
    pub(super) async fn connect_paced(url: &str, netuid: Netuid, pace: Arc<Pace>) -> Result<Self> {
        let refuse = |reason: String| ChainError::Connect { url: without_keys(url), reason };
        let connecting = async {
            pace.turn().await;
            let ping = PingConfig::new().ping_interval(PING_EVERY).inactive_limit(SILENCE_LIMIT);
            let client: Client = WsClientBuilder::new()
                .max_response_size(MAX_ANSWER_BYTES)
                .request_timeout(CALL_TIMEOUT)
                .enable_ws_ping(ping.max_failures(1))
                .max_buffer_capacity_per_subscription(WAITING_HEADS)
                .build(url)
                .await
                .map_err(|error| refuse(causes(&error)))?;
            let connection = Arc::new(client);
            let client = RpcClient::new(Paced { client: Arc::clone(&connection), pace });
            let rpc = LegacyRpcMethods::new(client.clone());
            // Only the old RPC methods: with the newer ones each block costs several requests.
            let backend = LegacyBackend::builder().build(client);
            let api = OnlineClient::<SubstrateConfig>::from_backend(Arc::new(backend))
                .await
                .map_err(|error| refuse(causes(&error)))?;
            let genesis = Digest(api.genesis_hash().0);
            let network = Network { genesis, netuid };
            let (read, hotkeys) = (Arc::default(), Arc::default());
            Ok(Self { connection, api, rpc, network, read, hotkeys })
        };
        tokio::time::timeout(CALL_TIMEOUT, connecting)
            .await
            .map_err(|_| refuse("no answer".to_owned()))?
    }

    async fn at(&self, block: Head) -> Result<AtBlock> {
        let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, client)) = kept.filter(|(kept, _)| *kept == block) {
            return Ok(client);
        }
        let hash = H256(block.hash.0);
        let client =
            limited("a block", self.api.at_block_hash_and_number(hash, block.number.0)).await?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((block, client.clone()));
        Ok(client)
    }

    /// The newest final block, to sign and send at.
    async fn current(&self) -> Result<AtBlock> {
        self.at(self.head().await?).await
    }

    /// The subnet's name at a block, empty where it has none.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::NoSubnet`] where there is no such subnet.
    pub async fn subnet_name(&self, at: Head) -> Result<String> {
        let client = self.at(at).await?;
        metagraph::read_name(&client, &self.rpc, self.network.netuid, at).await
    }

    /// The subnet of this connection, or the index of its mechanism.
    pub const fn netuid(&self) -> Netuid {
        self.network.netuid
    }
}

/// The runtime call that says what a transaction costs.
const QUERY_FEE: &str = "TransactionPaymentApi_query_info";

/// The largest life of a transaction that ends within `blocks`: lives are powers of two.
fn life(blocks: u64) -> u64 {
    let largest = if blocks == 0 { 0 } else { 1 << blocks.ilog2() };
    largest.clamp(LIFE.0, LIFE.1)
}

/// Reads a `RuntimeDispatchInfo`: weight, class and fee. The fee has 64 or 128 bits, depending on
/// the chain's balance type.
fn fee_of(mut answer: &[u8]) -> Option<u64> {
    let _weight = <(Compact<u64>, Compact<u64>, u8)>::decode(&mut answer).ok()?;
    match answer.len() {
        8 => u64::decode(&mut answer).ok(),
        16 => u64::try_from(u128::decode(&mut answer).ok()?).ok(),
        _ => None,
    }
}

/// The block of a header. Its hash is that of the chain's headers, blake2-256.
fn head_of(header: &SubstrateHeader<H256>) -> Head {
    let hash = sp_crypto_hashing::blake2_256(&codec::Encode::encode(header));
    Head { number: BlockNumber(header.number), hash: Digest(hash) }
}

pub(crate) struct ChainSigner<'a>(pub(crate) &'a HotkeySigner);

impl Signer<SubstrateConfig> for ChainSigner<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(*self.0.hotkey().as_bytes())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        // subxt never makes a payload that the signer would mistake for one of our messages. If it
        // did, the chain would refuse the all-zero signature.
        MultiSignature::Sr25519(
            self.0.sign_extrinsic(payload).map_or([0; 64], |signature| signature.0),
        )
    }
}

#[async_trait::async_trait]
impl Chain for Endpoint {
    fn genesis(&self) -> Digest {
        self.network.genesis
    }

    fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    async fn head(&self) -> Result<Head> {
        const WHAT: &str = "the newest block";
        let hash = limited(WHAT, self.rpc.chain_get_finalized_head()).await?;
        let kept =
            self.read.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|kept| kept.0);
        if let Some(kept) = kept.filter(|kept| kept.hash.0 == hash.0) {
            return Ok(kept);
        }
        let header = limited(WHAT, self.rpc.chain_get_header(Some(hash))).await?;
        let reason = || "the node does not know the block that it named".to_owned();
        let header = header.ok_or_else(|| ChainError::Read { what: WHAT, reason: reason() })?;
        Ok(Head { number: BlockNumber(header.number), hash: Digest(hash.0) })
    }

    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>> {
        const WHAT: &str = "new blocks";
        let headers = limited(WHAT, self.rpc.chain_subscribe_finalized_heads()).await?;
        let read = |header: Result<SubstrateHeader<H256>, subxt::rpcs::Error>| match header {
            Ok(header) => Ok(head_of(&header)),
            Err(error) => Err(read_error(WHAT, &error)),
        };
        Ok(headers.map(read).boxed())
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Digest> {
        let hash =
            limited("a block's hash", self.rpc.chain_get_block_hash(Some(number.0.into()))).await?;
        hash.map(|hash| Digest(hash.0)).ok_or(ChainError::NotReached { number })
    }

    async fn has_block(&self, block: Head) -> Result<bool> {
        let header =
            limited("a block's header", self.rpc.chain_get_header(Some(H256(block.hash.0))))
                .await?;
        // The header is hashed here: a node cannot show a header for an invented hash.
        Ok(header.is_some_and(|header| head_of(&header) == block))
    }

    async fn timestamp(&self, at: Head) -> Result<u64> {
        let client = self.at(at).await?;
        Values::new(&client, "the chain's clock").need(entries::NOW, ()).await
    }

    async fn metagraph(&self, at: Head) -> Result<Metagraph> {
        let client = self.at(at).await?;
        let known = self.hotkeys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = metagraph::read(&client, &self.rpc, self.network.netuid, at, &known).await?;
        let hotkeys = read.neurons.iter().map(|neuron| neuron.hotkey).chain([read.owner]).collect();
        *self.hotkeys.lock().unwrap_or_else(PoisonError::into_inner) = hotkeys;
        Ok(read)
    }

    async fn hyperparameters(&self, at: Head) -> Result<Hyperparameters> {
        let client = self.at(at).await?;
        hyperparameters::read(&client, &self.rpc, self.network.netuid.subnet(), at).await
    }

    async fn weights(&self, at: Head, uid: Uid) -> Result<Vec<(Uid, u16)>> {
        let client = self.at(at).await?;
        let key = (self.network.netuid.0, uid.0);
        let weights = Values::new(&client, "weights").need(entries::WEIGHTS, key).await?;
        Ok(weights.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect())
    }

    async fn hash_commits(&self, at: Head, hotkey: &Hotkey) -> Result<Vec<HashCommit>> {
        let client = self.at(at).await?;
        let key = (self.network.netuid.0, *hotkey.as_bytes());
        let stored =
            Values::new(&client, "weight commits").get(entries::WEIGHT_COMMITS, key).await?;
        let commit = |(hash, epoch, block, _)| HashCommit {
            hash: Digest(hash),
            epoch,
            block: BlockNumber(block),
        };
        Ok(stored.unwrap_or_default().into_iter().map(commit).collect())
    }

    async fn timelocked_commits(
        &self,
        at: Head,
        hotkey: &Hotkey,
        epoch: u64,
    ) -> Result<Vec<TimelockedCommit>> {
        let client = self.at(at).await?;
        let key = (self.network.netuid.0, epoch);
        let stored = Values::new(&client, "timelocked commits")
            .get(entries::TIMELOCKED_WEIGHT_COMMITS, key)
            .await?;
        let own = stored
            .unwrap_or_default()
            .into_iter()
            .filter(|(account, ..)| account == hotkey.as_bytes());
        Ok(own
            .map(|(_, _, commit, reveal_round)| TimelockedCommit { commit, reveal_round, epoch })
            .collect())
    }

    async fn newest_drand_round(&self, at: Head) -> Result<Option<u64>> {
        let client = self.at(at).await?;
        Values::new(&client, "the newest drand round").get(entries::LAST_STORED_ROUND, ()).await
    }

    async fn registration_burn(&self, at: Head) -> Result<u64> {
        registration::burn(&self.at(at).await?, self.network.netuid.subnet()).await
    }

    async fn free_balance(&self, at: Head, account: &Hotkey) -> Result<u64> {
        registration::free_balance(&self.at(at).await?, account).await
    }

    async fn nonces(&self, account: &Hotkey) -> Result<Nonces> {
        const WHAT: &str = "the account's nonce";
        let account = AccountId32(*account.as_bytes());
        let client = self.current().await?;
        let transactions = client.transactions();
        // The final count is certain; the pool's count includes transactions that are pending.
        let (finalized, next) = tokio::try_join!(
            limited(WHAT, transactions.account_nonce(&account)),
            limited(WHAT, self.rpc.system_account_next_index(&account)),
        )?;
        Ok(Nonces { at: BlockNumber(client.block_number()), finalized, next })
    }

    async fn sign(
        &self,
        signer: &HotkeySigner,
        call: &Call,
        nonce: u64,
        blocks: u64,
    ) -> Result<Signed, SubmitError> {
        let what = call.name();
        let life = life(blocks);
        let payload = call.payload(self.network.netuid)?;
        let client = self.current().await?;
        let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
            .nonce(nonce)
            .mortal(life)
            .build();
        let valid_until = BlockNumber(client.block_number().saturating_add(life));
        let mut transactions = client.transactions();
        let signed =
            limited(what, transactions.create_signed(&payload, &ChainSigner(signer), params))
                .await?;
        Ok(Signed { what, bytes: signed.into_encoded(), nonce, valid_until })
    }

    async fn fee(&self, transaction: &Signed) -> Result<u64> {
        const WHAT: &str = "a transaction's fee";
        let head = limited(WHAT, self.rpc.chain_get_finalized_head()).await?;
        let length = u32::try_from(transaction.bytes.len()).unwrap_or(u32::MAX);
        let arguments = [&transaction.bytes[..], &length.to_le_bytes()].concat();
        let call = self.rpc.state_call(QUERY_FEE, Some(&arguments), Some(head));
        let answer = limited(WHAT, call).await?;
        fee_of(&answer).ok_or_else(|| ChainError::Read {
            what: WHAT,
            reason: format!("{QUERY_FEE} answered {} bytes in an unknown form", answer.len()),
        })
    }

    async fn send(&self, transaction: &Signed) -> Result<Digest, SubmitError> {
        let what = transaction.what;
        let client = self.current().await.map_err(SubmitError::Unsent)?;
        let submittable = client.transactions().from_bytes(transaction.bytes.clone());
        let progress = tokio::time::timeout(CALL_TIMEOUT, submittable.submit_and_watch())
            .await
            .map_err(|_| ChainError::Timeout { what })?
            .map_err(|error| SubmitError::of_sending(what, &error))?;
        let included =
            tokio::time::timeout(INCLUSION_TIMEOUT, progress.wait_for_finalized_success())
                .await
                .map_err(|_| ChainError::Timeout { what })?
                .map_err(|error| SubmitError::of_inclusion(what, &error))?;
        Ok(Digest(included.extrinsic_hash().0))
    }
}

#[cfg(test)]
mod tests {
    use codec::Encode as _;

    use super::*;

    #[test]
    fn a_transaction_lives_no_longer_than_asked_for() {
        let lives = [0, 1, 4, 7, 8, 31, 32, 33, u64::MAX].map(life);
        assert_eq!(lives, [4, 4, 4, 4, 8, 16, 32, 32, 1 << 16]);
    }

    #[test]
    fn a_fee_is_read_with_either_balance_type() {
        let weight = (Compact(1_000_000_u64), Compact(7_u64), 0_u8).encode();
        assert_eq!(fee_of(&[weight.clone(), 125_000_u64.encode()].concat()), Some(125_000));
        assert_eq!(fee_of(&[weight.clone(), 125_000_u128.encode()].concat()), Some(125_000));
        assert_eq!(fee_of(&weight), None);
        assert_eq!(fee_of(&[]), None);
    }
}

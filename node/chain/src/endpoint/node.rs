//! One chain node behind subxt.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use leoma_protocol::{BlockNumber, Digest, Hotkey, HotkeySigner, Netuid, Network, Uid};
use subxt::client::{OnlineClient, OnlineClientAtBlock};
use subxt::config::substrate::{AccountId32, MultiSignature, SubstrateConfig};
use subxt::config::{DefaultExtrinsicParamsBuilder, Hasher as _, Header as _, RpcConfigFor};
use subxt::rpcs::client::reconnecting_rpc_client::{self, FixedInterval};
use subxt::rpcs::methods::legacy::LegacyRpcMethods;
use subxt::transactions::Signer;
use subxt::utils::H256;

use super::address::without_keys;
use super::source::{Chain, HashCommit, Nonces, Signed, TimelockedCommit};
use crate::error::{CALL_TIMEOUT, ChainError, Result, SubmitError, causes, limited, read_error};
use crate::head::Head;
use crate::read::values::Values;
use crate::read::{Hyperparameters, Metagraph, entries, hyperparameters, metagraph, registration};
use crate::submit::Call;

/// Largest answer: a full subnet's metagraph with commitments stays below 2 MiB, metadata near 1 MiB.
const MAX_ANSWER_BYTES: u32 = 16 * 1024 * 1024;
/// Blocks for which a transaction stays valid: enough to be included, less than a retry interval.
const MORTAL_BLOCKS: u64 = 32;
/// Longest wait for a transaction to be in a final block: five blocks of the live chain and its
/// finality lag.
const INCLUSION_TIMEOUT: Duration = Duration::from_secs(120);
/// Pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Attempts before a connection is given up; following heads then starts again.
const RECONNECTS: usize = 10;

/// A node's connection. Clones share it; it reconnects by itself.
#[derive(Clone)]
pub struct Endpoint {
    api: OnlineClient<SubstrateConfig>,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    /// The chain at the time of the connection.
    known: OnlineClientAtBlock<SubstrateConfig>,
    network: Network,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("network", &self.network).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Connects to the node at `url` for subnet `netuid`.
    ///
    /// # Errors
    /// [`ChainError::Connect`] when the node does not answer in time.
    pub async fn connect(url: &str, netuid: Netuid) -> Result<Self> {
        let refuse = |reason: String| ChainError::Connect { url: without_keys(url), reason };
        let connecting = async {
            let client = reconnecting_rpc_client::RpcClient::builder()
                .max_response_size(MAX_ANSWER_BYTES)
                .request_timeout(CALL_TIMEOUT)
                .retry_policy(FixedInterval::new(RECONNECT_PAUSE).take(RECONNECTS))
                .build(url)
                .await
                .map_err(|error| refuse(causes(&error)))?;
            let client = subxt::rpcs::RpcClient::new(client);
            let rpc = LegacyRpcMethods::new(client.clone());
            let api = OnlineClient::<SubstrateConfig>::from_rpc_client(client)
                .await
                .map_err(|error| refuse(causes(&error)))?;
            let known = api.at_current_block().await.map_err(|error| refuse(causes(&error)))?;
            let genesis = Digest(api.genesis_hash().0);
            Ok(Self { api, rpc, known, network: Network { genesis, netuid } })
        };
        tokio::time::timeout(CALL_TIMEOUT, connecting)
            .await
            .map_err(|_| refuse("no answer".to_owned()))?
    }

    async fn at(&self, block: Head) -> Result<OnlineClientAtBlock<SubstrateConfig>> {
        let hash = H256(block.hash.0);
        limited("a block", self.api.at_block_hash_and_number(hash, block.number.0)).await
    }

    /// The subnet of this connection.
    pub const fn netuid(&self) -> Netuid {
        self.network.netuid
    }
}

pub(crate) struct ChainSigner<'a>(pub(crate) &'a HotkeySigner);

impl Signer<SubstrateConfig> for ChainSigner<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(*self.0.hotkey().as_bytes())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        // subxt makes no payload that the signer takes for one of our messages. If it did, the chain
        // would refuse the all-zero signature.
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

    async fn head(&self) -> Result<Head> {
        let block = limited("the newest block", self.api.at_current_block()).await?;
        Ok(Head {
            number: BlockNumber(block.block_number()),
            hash: Digest(block.block_ref().hash().0),
        })
    }

    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>> {
        let blocks = limited("new blocks", self.api.stream_blocks()).await?;
        let read = |block: Result<
            subxt::client::Block<SubstrateConfig>,
            subxt::error::BlocksError,
        >| match block {
            Ok(block) => {
                Ok(Head { number: BlockNumber(block.number()), hash: Digest(block.hash().0) })
            }
            Err(error) => Err(read_error("new blocks", &error)),
        };
        Ok(blocks.map(read).boxed())
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Digest> {
        let hash =
            limited("a block's hash", self.rpc.chain_get_block_hash(Some(number.0.into()))).await?;
        hash.map(|hash| Digest(hash.0)).ok_or(ChainError::NotReached { number })
    }

    async fn has_block(&self, block: Head) -> Result<bool> {
        let client = self.at(block).await?;
        let header =
            limited("a block's header", self.rpc.chain_get_header(Some(H256(block.hash.0))))
                .await?;
        // The header is hashed here: a node cannot show a header for an invented hash.
        let is_it = |header: &subxt::config::substrate::SubstrateHeader<H256>| {
            let bytes = codec::Encode::encode(header);
            header.number() == block.number.0 && client.hasher().hash(&bytes).0 == block.hash.0
        };
        Ok(header.as_ref().is_some_and(is_it))
    }

    async fn timestamp(&self, at: Head) -> Result<u64> {
        let client = self.at(at).await?;
        Values::new(&client, "the chain's clock").need(entries::NOW, ()).await
    }

    async fn metagraph(&self, at: Head) -> Result<Metagraph> {
        metagraph::read(&self.api, &self.rpc, &self.known, self.network.netuid, at).await
    }

    async fn hyperparameters(&self, at: Head) -> Result<Hyperparameters> {
        hyperparameters::read(&self.at(at).await?, self.network.netuid).await
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
        registration::burn(&self.at(at).await?, self.network.netuid).await
    }

    async fn free_balance(&self, at: Head, account: &Hotkey) -> Result<u64> {
        registration::free_balance(&self.at(at).await?, account).await
    }

    async fn nonces(&self, account: &Hotkey) -> Result<Nonces> {
        const WHAT: &str = "the account's nonce";
        let account = AccountId32(*account.as_bytes());
        let client = limited("the newest block", self.api.at_current_block()).await?;
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
    ) -> Result<Signed, SubmitError> {
        let what = call.name();
        let payload = call.payload(self.network.netuid)?;
        let client = limited("the newest block", self.api.at_current_block()).await?;
        let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
            .nonce(nonce)
            .mortal(MORTAL_BLOCKS)
            .build();
        let valid_until = BlockNumber(client.block_number().saturating_add(MORTAL_BLOCKS));
        let mut transactions = client.transactions();
        let signed =
            limited(what, transactions.create_signed(&payload, &ChainSigner(signer), params))
                .await?;
        Ok(Signed { what, bytes: signed.into_encoded(), nonce, valid_until })
    }

    async fn send(&self, transaction: &Signed) -> Result<Digest, SubmitError> {
        let what = transaction.what;
        let client = limited("the newest block", self.api.at_current_block())
            .await
            .map_err(SubmitError::Unsent)?;
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

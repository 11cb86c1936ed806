//! The chain through subxt: heads, the metagraph at a block, commitments, and the few transactions a validator makes.
//!
//! Everything is keyed by name and decoded by the chain's own metadata, so an upgrade that renumbers pallets or errors
//! changes nothing here. Consensus reads take a block hash; nothing that validators must agree on is read at "now".

mod commitments;
mod metagraph;
mod registration;
mod transactions;

use std::time::Duration;

use leoma_protocol::{BlockNumber, Digest, Netuid, Network};
use subxt::client::{OnlineClient, OnlineClientAtBlock};
use subxt::config::RpcConfigFor;
use subxt::config::substrate::SubstrateConfig;
use subxt::rpcs::client::reconnecting_rpc_client;
use subxt::rpcs::methods::legacy::LegacyRpcMethods;
use subxt::utils::H256;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use commitments::{Commitment, CommitmentDecodeError, decode_registration, encode_text_fields};
pub use metagraph::{Axon, Metagraph, Neuron};
pub use transactions::{Rejection, SubmitError};

/// Longest wait for one answer of the node, reconnecting included.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer: a full subnet's metagraph with commitments stays below 2 MiB, metadata near 1 MiB.
const MAX_ANSWER_BYTES: u32 = 16 * 1024 * 1024;
/// Pause before heads are subscribed to anew after the stream broke.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(2);
/// A head that has not moved for so long is a fault worth a log line: ten blocks of the live chain.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// A block that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: Digest,
}

/// Why the chain could not be read. The causes are the client's own errors; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No connection to the node.
    #[error("cannot connect to the chain at {url}: {reason} (is NETWORK right, and the node running?)")]
    Connect {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A read that failed.
    #[error("cannot read {what} from the chain: {reason}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("the chain gave no answer for {what} in {} s", CALL_TIMEOUT.as_secs())]
    Timeout {
        /// What was asked for.
        what: &'static str,
    },
    /// The subnet does not exist at that block.
    #[error("subnet {netuid} does not exist on this chain (is NETUID right?)")]
    NoSubnet {
        /// The subnet.
        netuid: Netuid,
    },
}

/// The error and its causes in one line: subxt's own messages often say little without them.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

/// Waits for `call` within the time limit.
async fn limited<T, E: std::error::Error>(
    what: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, ChainError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ChainError::Read { what, reason: causes(&error) }),
        Err(_) => Err(ChainError::Timeout { what }),
    }
}

/// A connection to a chain node. Clones share it; it reconnects by itself.
#[derive(Clone)]
pub struct ChainClient {
    api: OnlineClient<SubstrateConfig>,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    network: Network,
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainClient").field("network", &self.network).finish_non_exhaustive()
    }
}

impl ChainClient {
    /// Connects to the node at `url` for subnet `netuid`.
    ///
    /// # Errors
    /// [`ChainError::Connect`] when the node does not answer in time.
    pub async fn connect(url: &str, netuid: Netuid) -> Result<Self, ChainError> {
        let refuse = |reason: String| ChainError::Connect { url: crate::config::without_keys(url), reason };
        let connecting = async {
            let client = reconnecting_rpc_client::RpcClient::builder()
                .max_response_size(MAX_ANSWER_BYTES)
                .request_timeout(CALL_TIMEOUT)
                .build(url)
                .await
                .map_err(|error| refuse(causes(&error)))?;
            let client = subxt::rpcs::RpcClient::new(client);
            let rpc = LegacyRpcMethods::new(client.clone());
            let api = OnlineClient::<SubstrateConfig>::from_rpc_client(client)
                .await
                .map_err(|error| refuse(causes(&error)))?;
            let genesis = Digest(api.genesis_hash().0);
            Ok(Self { api, rpc, network: Network { genesis, netuid } })
        };
        tokio::time::timeout(CALL_TIMEOUT, connecting).await.map_err(|_| refuse("no answer".to_owned()))?
    }

    /// Genesis hash and subnet.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The newest final block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn head(&self) -> Result<Head, ChainError> {
        let block = limited("the newest block", self.api.at_current_block()).await?;
        Ok(Head { number: BlockNumber(block.block_number()), hash: Digest(block.block_ref().hash().0) })
    }

    /// The hash of the block at a height.
    ///
    /// # Errors
    /// [`ChainError`], also for a height that the chain has not reached.
    pub async fn block_hash(&self, number: BlockNumber) -> Result<Digest, ChainError> {
        let hash = limited("a block's hash", self.rpc.chain_get_block_hash(Some(number.0.into()))).await?;
        let missing = || ChainError::Read { what: "a block's hash", reason: format!("no block {number}") };
        hash.map(|hash| Digest(hash.0)).ok_or_else(missing)
    }

    async fn at(&self, block: Head) -> Result<OnlineClientAtBlock<SubstrateConfig>, ChainError> {
        let hash = H256(block.hash.0);
        limited("a block", self.api.at_block_hash_and_number(hash, block.number.0)).await
    }

    /// Follows final blocks in the background until `stop`; the receiver always holds the newest one.
    ///
    /// # Errors
    /// [`ChainError`] when not even the first block can be read.
    pub async fn follow_heads(&self, stop: CancellationToken) -> Result<watch::Receiver<Head>, ChainError> {
        let first = self.head().await?;
        let (sender, receiver) = watch::channel(first);
        let client = self.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = client.forward_heads(&sender) => {}
                }
                tokio::time::sleep(RESUBSCRIBE_AFTER).await;
            }
        });
        Ok(receiver)
    }

    async fn forward_heads(&self, sender: &watch::Sender<Head>) {
        let mut blocks = match limited("new blocks", self.api.stream_blocks()).await {
            Ok(blocks) => blocks,
            Err(error) => return tracing::warn!(%error, "cannot follow the chain, trying again"),
        };
        loop {
            match tokio::time::timeout(STALLED_AFTER, blocks.next()).await {
                Ok(Some(Ok(block))) => {
                    let head = Head { number: BlockNumber(block.number()), hash: Digest(block.hash().0) };
                    // Heads of a node that lags behind another one must not turn time back.
                    sender.send_if_modified(|current| {
                        let newer = head.number > current.number;
                        if newer {
                            *current = head;
                        }
                        newer
                    });
                }
                Ok(Some(Err(error))) => {
                    return tracing::warn!(error = causes(&error), "the stream of blocks broke, following anew");
                }
                Ok(None) => return tracing::warn!("the stream of blocks ended, following anew"),
                Err(_) => return tracing::warn!(seconds = STALLED_AFTER.as_secs(), "no new block, following anew"),
            }
        }
    }
}

//! What every RPC method can reach, and the answers that methods have in common.

use super::super::control::Controls;
use super::super::entries::StoredBlock;
use super::super::shared::Shared;
use jsonrpsee::types::{ErrorCode, ErrorObjectOwned};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use node_subtensor_runtime::executor::Snapshot;
use serde::Serialize;
use sp_core::H256;
use std::sync::Arc;

/// The runtime or the store failed, or a block is unknown.
pub(super) const SERVER_ERROR: i32 = 4_003;

pub(super) type Module = RpcModule<Context>;
pub(super) type Registered = Result<(), jsonrpsee::core::RegisterMethodError>;
pub(super) type Answer<T> = Result<T, ErrorObjectOwned>;

/// What every method can reach.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    /// Absent where clients may not steer the chain.
    pub(super) controls: Option<Controls>,
}

impl Context {
    /// The block with this hash, or the newest.
    pub(super) fn block(&self, hash: Option<H256>) -> Answer<StoredBlock> {
        let Some(hash) = hash else { return Ok(self.shared.ledger.best()) };
        let block = self.shared.ledger.by_hash(&hash).map_err(failed)?;
        block.ok_or_else(|| {
            failed(format!(
                "Client error: UnknownBlock: Header was not found in the database: {hash:?}"
            ))
        })
    }

    /// The block with this hash whose state is asked for, or the newest; `discarded` is the wording
    /// of the error if the state is gone.
    pub(super) fn block_with_state(
        &self,
        hash: Option<H256>,
        discarded: &str,
    ) -> Answer<StoredBlock> {
        let block = self.block(hash)?;
        if self.shared.ledger.keeps(&block) {
            return Ok(block);
        }
        Err(failed(format!(
            "Client error: {discarded}: State already discarded for {:?}",
            block.hash
        )))
    }

    /// The state after the block with this hash, or after the newest.
    pub(super) fn state(&self, hash: Option<H256>) -> Answer<(StoredBlock, Snapshot)> {
        let block = self.block_with_state(hash, "UnknownBlock")?;
        let state = self.shared.ledger.state(&block);
        Ok((block, state))
    }
}

pub(super) fn failed(error: impl ToString) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(SERVER_ERROR, error.to_string(), None::<()>)
}

pub(super) fn bad_parameter(reason: impl ToString) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(ErrorCode::InvalidParams.code(), reason.to_string(), None::<()>)
}

/// Accepts a subscription; `None` where the client has gone.
pub(super) async fn accept(pending: PendingSubscriptionSink) -> Option<SubscriptionSink> {
    pending.accept().await.ok()
}

/// Sends one update; `false` where the client has gone.
pub(super) async fn send(sink: &SubscriptionSink, update: &(impl Serialize + Sync)) -> bool {
    match serde_json::value::to_raw_value(update) {
        Ok(message) => sink.send(message).await.is_ok(),
        Err(error) => {
            tracing::error!(%error, "cannot serialize an update");
            false
        }
    }
}

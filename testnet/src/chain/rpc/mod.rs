//! The JSON-RPC server: Substrate's methods, as many as clients use.

mod author;
mod chain;
mod hex_bytes;
mod state;
mod system;
mod testnet;

use super::control::Controls;
use super::entries::StoredBlock;
use super::error::ChainError;
use super::node::Shared;
use hex_bytes::HexBytes;
use jsonrpsee::server::{Server, ServerConfig, ServerHandle};
use jsonrpsee::types::{ErrorCode, ErrorObjectOwned};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use node_subtensor_runtime::executor::Snapshot;
use serde::Serialize;
use sp_core::H256;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
pub(super) use testnet::MAX_STEPS;

/// Connections at once: every process of a local subnet with some to spare.
const MAX_CONNECTIONS: u32 = 512;
/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: u32 = 256;
/// Largest request: a transaction is a few kilobytes.
const MAX_REQUEST: u32 = 4 << 20;
/// Largest response: metadata is about half a megabyte in hex.
const MAX_RESPONSE: u32 = 32 << 20;
/// Messages a slow connection may leave unread.
const MESSAGE_BACKLOG: u32 = 1_024;

/// The runtime or the store failed, or a block is unknown.
const SERVER_ERROR: i32 = 4_003;

type Module = RpcModule<Context>;
type Registered = Result<(), jsonrpsee::core::RegisterMethodError>;
type Answer<T> = Result<T, ErrorObjectOwned>;

/// What every method can reach.
#[derive(Debug, Clone)]
struct Context {
    shared: Arc<Shared>,
    /// Absent where clients may not steer the chain.
    controls: Option<Controls>,
}

/// Starts the server and returns its address.
pub(super) async fn serve(
    shared: Arc<Shared>,
    port: u16,
    controls: Option<Controls>,
) -> Result<(SocketAddr, ServerHandle), ChainError> {
    let config = ServerConfig::builder()
        .max_connections(MAX_CONNECTIONS)
        .max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
        .max_request_body_size(MAX_REQUEST)
        .max_response_body_size(MAX_RESPONSE)
        .set_message_buffer_capacity(MESSAGE_BACKLOG)
        .build();
    let listen = |source| ChainError::Listen { port, source };
    let server = Server::builder()
        .set_config(config)
        .build((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(listen)?;
    let address = server.local_addr().map_err(listen)?;
    let open = controls.is_some();
    let mut module = RpcModule::new(Context { shared, controls });
    chain::register(&mut module)?;
    state::register(&mut module)?;
    author::register(&mut module)?;
    system::register(&mut module)?;
    testnet::register(&mut module)?;
    system::register_list(&mut module, open)?;
    Ok((address, server.start(module)))
}

impl Context {
    /// The block with this hash, or the newest.
    fn block(&self, hash: Option<H256>) -> Answer<StoredBlock> {
        let Some(hash) = hash else { return Ok(self.shared.ledger.best()) };
        let block = self.shared.ledger.by_hash(&hash).map_err(failed)?;
        block.ok_or_else(|| {
            failed(format!(
                "Client error: UnknownBlock: Header was not found in the database: {hash:?}"
            ))
        })
    }

    /// The block with this hash whose state is asked for, or the newest; what a node without that
    /// state answers is worded by `discarded`.
    fn block_with_state(&self, hash: Option<H256>, discarded: &str) -> Answer<StoredBlock> {
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
    fn state(&self, hash: Option<H256>) -> Answer<(StoredBlock, Snapshot)> {
        let block = self.block_with_state(hash, "UnknownBlock")?;
        let state = self.shared.ledger.state(&block);
        Ok((block, state))
    }
}

fn failed(error: impl ToString) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(SERVER_ERROR, error.to_string(), None::<()>)
}

fn bad_parameter(reason: impl ToString) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(ErrorCode::InvalidParams.code(), reason.to_string(), None::<()>)
}

/// Accepts a subscription; `None` where the client has gone.
async fn accept(pending: PendingSubscriptionSink) -> Option<SubscriptionSink> {
    pending.accept().await.ok()
}

/// Sends one update; `false` where the client has gone.
async fn send(sink: &SubscriptionSink, update: &(impl Serialize + Sync)) -> bool {
    match serde_json::value::to_raw_value(update) {
        Ok(message) => sink.send(message).await.is_ok(),
        Err(error) => {
            tracing::error!(%error, "an update does not serialize");
            false
        }
    }
}

//! The JSON-RPC server: those of Substrate's methods that clients use.

mod author;
mod chain;
mod context;
mod hex_bytes;
mod state;
mod system;
mod testnet;

use super::control::Controls;
use super::error::ChainError;
use super::shared::Shared;
pub(super) use chain::block_number;
use context::Context;
use jsonrpsee::RpcModule;
use jsonrpsee::server::{Server, ServerConfig, ServerHandle};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

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

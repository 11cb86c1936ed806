//! `state_*`: storage, runtime calls and metadata, at any block.

use super::super::entries::StoredBlock;
use super::super::shared::News;
use super::context::{Answer, Context, Module, Registered, accept, bad_parameter, failed, send};
use super::hex_bytes::HexBytes;
use codec::Decode;
use jsonrpsee::PendingSubscriptionSink;
use serde::Serialize;
use serde_json::{Value, json};
use sp_core::H256;
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Most keys of one page, as on other nodes.
const MAX_PAGE: u32 = 1_000;
/// Most keys of one `state_queryStorageAt`.
const MAX_QUERIED: usize = 8_192;

/// How other nodes word a runtime call at a block whose state is gone.
const RUNTIME_CALL: &str = "Api called for an unknown Block";

/// Values of storage keys at one block.
#[derive(Debug, Clone, Serialize)]
struct StorageChangeSet {
    block: H256,
    changes: Vec<(HexBytes, Option<HexBytes>)>,
}

pub(super) fn register(module: &mut Module) -> Registered {
    module.register_blocking_method(
        "state_getStorage",
        |params, context, _| -> Answer<Option<HexBytes>> {
            let mut params = params.sequence();
            let HexBytes(key) = params.next()?;
            let (_, state) = context.state(params.optional_next()?)?;
            Ok(state.storage(&key).map_err(failed)?.map(HexBytes))
        },
    )?;
    module.register_alias("state_getStorageAt", "state_getStorage")?;
    module.register_blocking_method(
        "state_getKeysPaged",
        |params, context, _| -> Answer<Vec<HexBytes>> {
            let mut params = params.sequence();
            let prefix = params
                .optional_next::<HexBytes>()?
                .map(|HexBytes(prefix)| prefix)
                .unwrap_or_default();
            let count: u32 = params.next()?;
            let after: Option<HexBytes> = params.optional_next()?;
            let at: Option<H256> = params.optional_next()?;
            if count > MAX_PAGE {
                return Err(bad_parameter(format!(
                    "count exceeds maximum value. value: {count}, max: {MAX_PAGE}"
                )));
            }
            let after = after.as_ref().map(|HexBytes(after)| &after[..]);
            let (_, state) = context.state(at)?;
            let keys = state.keys(&prefix, after, count as usize).map_err(failed)?;
            Ok(keys.into_iter().map(HexBytes).collect())
        },
    )?;
    module.register_alias("state_getKeysPagedAt", "state_getKeysPaged")?;
    module.register_blocking_method(
        "state_queryStorageAt",
        |params, context, _| -> Answer<[StorageChangeSet; 1]> {
            let mut params = params.sequence();
            let keys: Vec<HexBytes> = params.next()?;
            let at: Option<H256> = params.optional_next()?;
            if keys.len() > MAX_QUERIED {
                return Err(bad_parameter(format!("more than {MAX_QUERIED} keys")));
            }
            let (block, state) = context.state(at)?;
            let read = |key: HexBytes| {
                Ok((key.clone(), state.storage(&key.0).map_err(failed)?.map(HexBytes)))
            };
            let changes = keys.into_iter().map(read).collect::<Answer<_>>()?;
            Ok([StorageChangeSet { block: block.hash, changes }])
        },
    )?;
    register_runtime(module)
}

fn register_runtime(module: &mut Module) -> Registered {
    module.register_blocking_method("state_call", |params, context, _| -> Answer<HexBytes> {
        let mut params = params.sequence();
        let method: String = params.next()?;
        let HexBytes(arguments) = params.next()?;
        call(&context, &method, &arguments, params.optional_next()?).map(HexBytes)
    })?;
    module.register_alias("state_callAt", "state_call")?;
    module.register_blocking_method(
        "state_getMetadata",
        |params, context, _| -> Answer<HexBytes> {
            let bytes =
                call(&context, "Metadata_metadata", &[], params.sequence().optional_next()?)?;
            // The answer is the metadata wrapped once more as bytes.
            Vec::<u8>::decode(&mut &bytes[..]).map(HexBytes).map_err(failed)
        },
    )?;
    module.register_blocking_method(
        "state_getRuntimeVersion",
        |params, context, _| -> Answer<Value> {
            let block =
                context.block_with_state(params.sequence().optional_next()?, RUNTIME_CALL)?;
            runtime_version(&context, &block)
        },
    )?;
    module.register_alias("chain_getRuntimeVersion", "state_getRuntimeVersion")?;
    module.register_subscription(
        "state_subscribeRuntimeVersion",
        "state_runtimeVersion",
        "state_unsubscribeRuntimeVersion",
        |_, pending, context, _| runtime_versions(pending, context),
    )?;
    Ok(())
}

fn call(context: &Context, method: &str, arguments: &[u8], at: Option<H256>) -> Answer<Vec<u8>> {
    let block = context.block_with_state(at, RUNTIME_CALL)?;
    let answer = context.shared.ledger.state(&block).call(method, arguments).map_err(failed)?;
    answer.ok_or_else(|| {
        failed(format!("Client error: Execution failed: Exported method {method} is not found"))
    })
}

/// The version now, and each that differs from the one before.
async fn runtime_versions(pending: PendingSubscriptionSink, context: Arc<Context>) {
    let mut news = context.shared.news.subscribe();
    let mut block = context.shared.ledger.best();
    let Some(sink) = accept(pending).await else { return };
    let mut known = Value::Null;
    loop {
        let reading = Arc::clone(&context);
        let version = tokio::task::spawn_blocking(move || runtime_version(&reading, &block)).await;
        match version {
            Ok(Ok(version)) if version != known => {
                if !send(&sink, &version).await {
                    return;
                }
                known = version;
            }
            Ok(Ok(_)) => {}
            // The state is gone by now, or the chain is stopping; the next block shows which.
            _ => tracing::debug!("cannot read the runtime version"),
        }
        block = loop {
            let announcement = tokio::select! {
                () = sink.closed() => return,
                () = context.shared.stop.cancelled() => return,
                news = news.recv() => news,
            };
            match announcement.map(|announcement| announcement.news) {
                Ok(News::Imported { block, best: true }) => break block,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        };
    }
}

fn runtime_version(context: &Context, block: &StoredBlock) -> Answer<Value> {
    let version = context.shared.ledger.state(block).version().map_err(failed)?;
    let apis = version.apis.iter().map(|(id, version)| {
        let text = id.iter().fold("0x".to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        json!([text, version])
    });
    Ok(json!({
        "specName": version.spec_name,
        "implName": version.impl_name,
        "authoringVersion": version.authoring_version,
        "specVersion": version.spec_version,
        "implVersion": version.impl_version,
        "apis": apis.collect::<Vec<_>>(),
        "transactionVersion": version.transaction_version,
        "systemVersion": version.system_version,
        "stateVersion": version.system_version,
    }))
}

//! `state_*`: storage, runtime calls and metadata, at any block.

use super::{Answer, Context, HexBytes, Module, Registered, accept, bad_parameter, failed, send};
use codec::Decode;
use node_subtensor_runtime::VERSION;
use serde::Serialize;
use serde_json::{Value, json};
use sp_core::H256;
use std::fmt::Write;
use std::sync::Arc;

/// Most keys of one page, as on other nodes.
const MAX_PAGE: u32 = 1_000;
/// Most keys of one `state_queryStorageAt`.
const MAX_QUERIED: usize = 8_192;

/// Values of storage keys at one block.
#[derive(Debug, Clone, Serialize)]
struct StorageChangeSet {
    block: H256,
    changes: Vec<(HexBytes, Option<HexBytes>)>,
}

pub(super) fn register(module: &mut Module) -> Registered {
    module.register_blocking_method("state_getStorage", |params, context, _| -> Answer<Option<HexBytes>> {
        let mut params = params.sequence();
        let HexBytes(key) = params.next()?;
        let block = context.block(params.optional_next()?)?;
        Ok(context.shared.ledger.state(&block).storage(&key).map_err(failed)?.map(HexBytes))
    })?;
    module.register_alias("state_getStorageAt", "state_getStorage")?;
    module.register_blocking_method("state_getKeysPaged", |params, context, _| -> Answer<Vec<HexBytes>> {
        let mut params = params.sequence();
        let prefix = params.optional_next::<HexBytes>()?.map(|HexBytes(prefix)| prefix).unwrap_or_default();
        let count: u32 = params.next()?;
        let after: Option<HexBytes> = params.optional_next()?;
        let block = context.block(params.optional_next()?)?;
        if count > MAX_PAGE {
            return Err(bad_parameter(format!("count exceeds maximum value. value: {count}, max: {MAX_PAGE}")));
        }
        let after = after.as_ref().map(|HexBytes(after)| &after[..]);
        let keys = context.shared.ledger.state(&block).keys(&prefix, after, count as usize).map_err(failed)?;
        Ok(keys.into_iter().map(HexBytes).collect())
    })?;
    module.register_alias("state_getKeysPagedAt", "state_getKeysPaged")?;
    module.register_blocking_method("state_queryStorageAt", |params, context, _| -> Answer<[StorageChangeSet; 1]> {
        let mut params = params.sequence();
        let keys: Vec<HexBytes> = params.next()?;
        let block = context.block(params.optional_next()?)?;
        if keys.len() > MAX_QUERIED {
            return Err(bad_parameter(format!("more than {MAX_QUERIED} keys")));
        }
        let state = context.shared.ledger.state(&block);
        let read = |key: HexBytes| Ok((key.clone(), state.storage(&key.0).map_err(failed)?.map(HexBytes)));
        let changes = keys.into_iter().map(read).collect::<Answer<_>>()?;
        Ok([StorageChangeSet { block: block.hash, changes }])
    })?;
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
    module.register_blocking_method("state_getMetadata", |params, context, _| -> Answer<HexBytes> {
        let bytes = call(&context, "Metadata_metadata", &[], params.sequence().optional_next()?)?;
        // The answer is the metadata wrapped once more as bytes.
        Vec::<u8>::decode(&mut &bytes[..]).map(HexBytes).map_err(failed)
    })?;
    module.register_method("state_getRuntimeVersion", |params, context, _| -> Answer<Value> {
        context.block(params.sequence().optional_next()?)?;
        Ok(runtime_version())
    })?;
    module.register_alias("chain_getRuntimeVersion", "state_getRuntimeVersion")?;
    module.register_subscription(
        "state_subscribeRuntimeVersion",
        "state_runtimeVersion",
        "state_unsubscribeRuntimeVersion",
        |_, pending, context: Arc<Context>, _| async move {
            let Some(sink) = accept(pending).await else { return };
            if send(&sink, &runtime_version()).await {
                // The runtime of a running node never changes.
                tokio::select! {
                    () = sink.closed() => {}
                    () = context.stop.cancelled() => {}
                }
            }
        },
    )?;
    Ok(())
}

fn call(context: &Context, method: &str, arguments: &[u8], at: Option<H256>) -> Answer<Vec<u8>> {
    let block = context.block(at)?;
    let answer = context.shared.ledger.state(&block).call(method, arguments).map_err(failed)?;
    answer.ok_or_else(|| failed(format!("Client error: Execution failed: Exported method {method} is not found")))
}

fn runtime_version() -> Value {
    let apis = VERSION.apis.iter().map(|(id, version)| {
        let text = id.iter().fold("0x".to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        json!([text, version])
    });
    json!({
        "specName": VERSION.spec_name,
        "implName": VERSION.impl_name,
        "authoringVersion": VERSION.authoring_version,
        "specVersion": VERSION.spec_version,
        "implVersion": VERSION.impl_version,
        "apis": apis.collect::<Vec<_>>(),
        "transactionVersion": VERSION.transaction_version,
        "systemVersion": VERSION.system_version,
        "stateVersion": VERSION.system_version,
    })
}
